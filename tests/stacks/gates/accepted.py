"""What cdk-nag's AwsSolutions rules find in the stacks and Kennel accepts, each with its reason.

The tests ask cdk-nag (``tests/stacks/gates/test_nag.py``) about every settings file; synth alone does not need it. A
finding that is not here fails them, and so does an entry here that meets no finding.

The rule about wildcards (IAM5) has no entry here: a wildcard is accepted if the golden policy of its role has it, for
the reason that the docstring of its statement gives.
"""

from tests.stacks.iam import golden_policies
from tests.stacks.iam.reasons import reason_of, wildcards

WILDCARD = "AwsSolutions-IAM5"

ACCEPTED = {
    ("KennelStorage-dev/Bucket/Resource", "AwsSolutions-S1"): (
        "storage.access_log_days is not set in dev, as the log's bucket would outlive `make destroy`."
    ),
    ("KennelTraining-{environment}/Notebook/Instance", "AwsSolutions-SM1"): (
        "training.network is not set, so that there is no VPC to put the workbench in."
    ),
    ("KennelTraining-{environment}/Notebook/Instance", "AwsSolutions-SM2"): (
        "SageMaker encrypts the volume with a key of its own; storage.kms_key_arn puts one of yours there."
    ),
    ("KennelTraining-{environment}/Notebook/Instance", "AwsSolutions-SM3"): (
        "Without a VPC SageMaker demands direct internet access; training.network switches it off."
    ),
    ("KennelApi-{environment}/Failures/Resource", "AwsSolutions-SQS3"): (
        "It is itself where failed invocations end: an on-failure destination, which cdk-nag does not recognise."
    ),
}
"""The reason of each accepted finding, by the construct's path in the app and the rule."""


def accepted_wildcards(environment: str) -> dict[tuple[str, str], str]:
    """Return the reason of each wildcard of the golden policies, by the role and the rule in cdk-nag's words."""
    return {
        (name, f"{WILDCARD}[Resource::{resource.replace('${', '<').replace('}', '>')}]"): reason_of(statement)
        for name, role in golden_policies.read(environment).items()
        if role.trust
        for statement in role.permissions
        for resource in statement["Resource"]
        if resource in wildcards(statement)
    }


def role_at(path: str) -> str:
    """Return the role that a finding about a wildcard speaks of, as the golden policies call it."""
    stack, *ids, _ = path.split("/")
    if ids[-1].startswith("Access"):  # a policy of the role beside it
        ids[-1] = "Role"
    return f"{stack.removeprefix('Kennel').partition('-')[0]}-{''.join(ids)}"
