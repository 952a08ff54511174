"""What cdk-nag's AwsSolutions rules find in the stacks and Kennel accepts, each with its reason.

The tests attach cdk-nag to the app (``tests/stacks/gates/test_nag.py``), over every settings file; synth alone does not
need it. A finding that is not here fails them, and so does an entry here that meets no finding.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import aws_cdk as cdk

LOGS = "arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:log-group:"
BUCKET = "arn:<AWS::Partition>:s3:::kennel-{environment}-<AWS::AccountId>-<AWS::Region>"


@dataclass(frozen=True)
class Accepted:
    """One finding that is accepted.

    Attributes
    ----------
    path
        The construct's path in the app; ``*`` stands for what differs by artifact.
    rule
        The rule's id as cdk-nag reports it; both may hold ``{environment}``.
    reason
        Why it is right here.
    """

    path: str
    rule: str
    reason: str

    def covers(self, path: str, rule: str, environment: str) -> bool:
        """Tell whether a finding of an environment is the one that is meant."""
        return fnmatchcase(path, self.path.format(environment=environment)) and rule == self.rule.format(
            environment=environment
        )


def _wildcard(path: str, resource: str, reason: str) -> Accepted:
    return Accepted(path, f"AwsSolutions-IAM5[Resource::{resource}]", reason)


def _streams(path: str, log_group: str) -> Accepted:
    reason = "The wildcard is the log streams of one log group, whose names the service makes up."
    return _wildcard(path, f"{LOGS}{log_group}:*", reason)


def _folder(path: str, prefix: str, reason: str) -> Accepted:
    return _wildcard(path, f"{BUCKET}/{prefix}/*", reason)


def _interfaces(path: str) -> Accepted:
    return _wildcard(
        path,
        "arn:<AWS::Partition>:ec2:<AWS::Region>:<AWS::AccountId>:network-interface/*",
        "In a VPC: an interface has no id before it exists; its subnet and security groups are named.",
    )


HOST = "KennelEndpoint-{environment}/*Hosting/Role/Resource"
HOST_ACCESS = "KennelEndpoint-{environment}/*Hosting/Access*/Resource"
LOG_RETENTION = "KennelEndpoint-{environment}/LogRetention/Role/Resource"
JOB = "KennelTraining-{environment}/JobRole/Resource"
NOTEBOOK = "KennelTraining-{environment}/Notebook"
INSTANCE = "KennelTraining-{environment}/Instance/Role/Resource"
FUNCTION = "KennelApi-{environment}/Role/Resource"

ACCEPTED = (
    Accepted(
        "KennelStorage-dev/Bucket/Resource",
        "AwsSolutions-S1",
        "storage.access_log_days is not set in dev, as the log's bucket would outlive `make destroy`.",
    ),
    _wildcard(
        HOST, "*", "cloudwatch:PutMetricData supports no resource; a condition holds it to SageMaker's namespace."
    ),
    _wildcard(HOST_ACCESS, "*", "ecr:GetAuthorizationToken supports no narrower resource."),
    _streams(HOST, "/aws/sagemaker/Endpoints/kennel-{environment}"),
    _streams(LOG_RETENTION, "/aws/sagemaker/Endpoints/kennel-{environment}"),
    _folder(HOST, "capture", "SageMaker makes up the keys under which it captures requests."),
    _wildcard(
        JOB,
        "*",
        "ecr:GetAuthorizationToken, cloudwatch:PutMetricData (held to one namespace) and, in a VPC, ec2:Describe... "
        "support no resource.",
    ),
    _interfaces(JOB),
    _streams(JOB, "/aws/sagemaker/TrainingJobs"),
    _folder(JOB, "data", "A job reads a folder of photos, whose names nobody knows here."),
    _folder(JOB, "models", "A job writes its artifact under its own name, which is given when it starts."),
    _folder(JOB, "training", "A job writes its results under its own name, which is given when it starts."),
    _folder(JOB, "training/checkpoints", "A job that was interrupted replaces and removes its own checkpoints."),
    _wildcard(f"{NOTEBOOK}/Role/Resource", "*", "In a VPC: the ec2:Describe... actions support no resource."),
    _interfaces(f"{NOTEBOOK}/Role/Resource"),
    _streams(f"{NOTEBOOK}/Role/Resource", "/aws/sagemaker/NotebookInstances"),
    _folder(f"{NOTEBOOK}/Role/Resource", "data", "People look at a folder of photos, whose names nobody knows here."),
    _folder(f"{NOTEBOOK}/Role/Resource", "training", "People keep their work in a folder, under names of their own."),
    Accepted(
        f"{NOTEBOOK}/Instance",
        "AwsSolutions-SM1",
        "training.network is not set, so that there is no VPC to put the workbench in.",
    ),
    Accepted(
        f"{NOTEBOOK}/Instance",
        "AwsSolutions-SM2",
        "SageMaker encrypts the volume with a key of its own; storage.kms_key_arn puts one of yours there.",
    ),
    Accepted(
        f"{NOTEBOOK}/Instance",
        "AwsSolutions-SM3",
        "Without a VPC SageMaker demands direct internet access; training.network switches it off.",
    ),
    _wildcard(INSTANCE, "*", "ssmmessages (Session Manager) and ecr:GetAuthorizationToken support no resource."),
    _wildcard(
        INSTANCE,
        "arn:<AWS::Partition>:ec2:<AWS::Region>:<AWS::AccountId>:instance/*",
        "An instance tells Systems Manager that it is there; its id is unknown when the role is made.",
    ),
    _streams(INSTANCE, "/kennel/{environment}/training"),
    _folder(INSTANCE, "data", "Training reads a folder of photos, whose names nobody knows here."),
    _folder(INSTANCE, "models", "Training writes its artifact under a name that is given when it starts."),
    _folder(INSTANCE, "training", "Training writes its results under a name that is given when it starts."),
    _folder(INSTANCE, "training/checkpoints", "Training replaces and removes its own checkpoints."),
    _wildcard(FUNCTION, "*", "The X-Ray actions that send a trace support no resource."),
    _streams(FUNCTION, "/aws/lambda/kennel-{environment}"),
    Accepted(
        "KennelApi-{environment}/Failures/Resource",
        "AwsSolutions-SQS3",
        "It is itself where failed invocations end: an on-failure destination, which cdk-nag does not recognise.",
    ),
)


def acknowledge(app: cdk.App, environment: str, accepted: Iterable[Accepted] = ACCEPTED) -> None:
    """Write the accepted findings on the constructs that they concern, where cdk-nag reads them."""
    for construct in app.node.find_all():
        path = construct.node.path
        for item in accepted:
            if fnmatchcase(path, item.path.format(environment=environment)):
                rule = item.rule.format(environment=environment)
                cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=rule, reason=item.reason))
