"""No wildcard without a reason, no managed policy, no orphan role, no statement that nothing needs."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.stacks.iam.golden_policies import Granted, general
from tests.stacks.iam.needs import NEEDS, View
from tests.stacks.iam.policy_model import POLICY_TYPES, Access, Template, access, render

Templates = dict[str, Template]

NO_RESOURCE = "the actions support no resource"
STREAMS = "log streams are named by the service that writes them"
INTERFACES = "an interface has no id before it exists; subnets and security groups are named"
PREFIX = "objects under one prefix, which is what the role is for"
CONFUSED = "AWS says not to name a model or endpoint in a SageMaker role's trust"

WILDCARDS: dict[tuple[str, str], dict[str, str]] = {
    ("Endpoint-AllTrafficHostingRole", "trust"): {":sagemaker:${AWS::Region}:${AWS::AccountId}:*": CONFUSED},
    ("Endpoint-AllTrafficHostingRole", "LogInToEcr"): {"*": NO_RESOURCE},
    ("Endpoint-AllTrafficHostingRole", "PublishInstanceMetrics"): {"*": f"{NO_RESOURCE}; the namespace narrows it"},
    ("Endpoint-AllTrafficHostingRole", "WriteEndpointLogs"): {
        ":log-group:/aws/sagemaker/Endpoints/{kennel}:*": STREAMS
    },
    ("Endpoint-AllTrafficHostingRole", "WriteCapture"): {":s3:::{bucket}/capture/*": PREFIX},
    ("Endpoint-NextHostingRole", "trust"): {":sagemaker:${AWS::Region}:${AWS::AccountId}:*": CONFUSED},
    ("Endpoint-NextHostingRole", "LogInToEcr"): {"*": NO_RESOURCE},
    ("Endpoint-NextHostingRole", "PublishInstanceMetrics"): {"*": f"{NO_RESOURCE}; the namespace narrows it"},
    ("Endpoint-NextHostingRole", "WriteEndpointLogs"): {":log-group:/aws/sagemaker/Endpoints/{kennel}:*": STREAMS},
    ("Endpoint-NextHostingRole", "WriteCapture"): {":s3:::{bucket}/capture/*": PREFIX},
    ("Endpoint-LogRetentionRole", "KeepEndpointLogs"): {":log-group:/aws/sagemaker/Endpoints/{kennel}:*": STREAMS},
    ("Endpoint-LogRetentionRole", "EncryptEndpointLogs"): {":log-group:/aws/sagemaker/Endpoints/{kennel}:*": STREAMS},
    ("Api-Role", "WriteFunctionLogs"): {":log-group:/aws/lambda/{kennel}:*": STREAMS},
    ("Api-Role", "SendTraces"): {"*": NO_RESOURCE},
    ("Training-JobRole", "trust"): {":sagemaker:${AWS::Region}:${AWS::AccountId}:*": CONFUSED},
    ("Training-JobRole", "ListPrefixes"): {"data/*": PREFIX, "training/*": PREFIX},
    ("Training-JobRole", "ReadObjects"): {":s3:::{bucket}/data/*": PREFIX, ":s3:::{bucket}/training/*": PREFIX},
    ("Training-JobRole", "WriteObjects"): {":s3:::{bucket}/models/*": PREFIX, ":s3:::{bucket}/training/*": PREFIX},
    ("Training-JobRole", "DeleteCheckpoints"): {":s3:::{bucket}/training/checkpoints/*": PREFIX},
    ("Training-JobRole", "LogInToEcr"): {"*": NO_RESOURCE},
    ("Training-JobRole", "WriteTrainingJobLogs"): {":log-group:/aws/sagemaker/TrainingJobs:*": STREAMS},
    ("Training-JobRole", "PublishTrainingMetrics"): {"*": f"{NO_RESOURCE}; the namespace narrows it"},
    ("Training-JobRole", "DescribeNetwork"): {"*": NO_RESOURCE},
    ("Training-JobRole", "CreateNetworkInterfaces"): {":network-interface/*": INTERFACES},
    ("Training-JobRole", "ManageNetworkInterfaces"): {":network-interface/*": INTERFACES},
    ("Training-NotebookRole", "trust"): {":sagemaker:${AWS::Region}:${AWS::AccountId}:*": CONFUSED},
    ("Training-NotebookRole", "ListPrefixes"): {"data/*": PREFIX, "training/*": PREFIX},
    ("Training-NotebookRole", "ReadObjects"): {":s3:::{bucket}/data/*": PREFIX, ":s3:::{bucket}/training/*": PREFIX},
    ("Training-NotebookRole", "WriteObjects"): {":s3:::{bucket}/training/*": PREFIX},
    ("Training-NotebookRole", "WriteNotebookLogs"): {":log-group:/aws/sagemaker/NotebookInstances:*": STREAMS},
    ("Training-NotebookRole", "DescribeNetwork"): {"*": NO_RESOURCE},
    ("Training-NotebookRole", "CreateNetworkInterfaces"): {":network-interface/*": INTERFACES},
    ("Training-NotebookRole", "ManageNetworkInterfaces"): {":network-interface/*": INTERFACES},
    ("Training-InstanceRole", "ListPrefixes"): {"data/*": PREFIX, "training/*": PREFIX},
    ("Training-InstanceRole", "ReadObjects"): {":s3:::{bucket}/data/*": PREFIX, ":s3:::{bucket}/training/*": PREFIX},
    ("Training-InstanceRole", "WriteObjects"): {
        ":s3:::{bucket}/models/*": PREFIX,
        ":s3:::{bucket}/training/*": PREFIX,
    },
    ("Training-InstanceRole", "DeleteCheckpoints"): {":s3:::{bucket}/training/checkpoints/*": PREFIX},
    ("Training-InstanceRole", "WriteInstanceLogs"): {":log-group:/kennel/{environment}/training:*": STREAMS},
    ("Training-InstanceRole", "RegisterInstance"): {":instance/*": "an instance has no id before it starts"},
    ("Training-InstanceRole", "OpenSessionChannels"): {"*": NO_RESOURCE},
    ("Api-HttpApiPOSTpredictFunctionPermission", ""): {"/*/*/predict": "the one route, of every stage and method"},
    ("Monitoring-TopicPolicy", "TellOfAlarms"): {":alarm:{kennel}-*": "every alarm of this environment tells people"},
    ("Monitoring-TopicPolicy", "TellOfBudget"): {":budget/*": "CloudFormation names the budget"},
    ("Storage-AccessLogPolicy", ""): {"${AccessLogD598EBE9.Arn}/bucket/*": "log objects are named by Amazon S3"},
}
"""Each acknowledged wildcard: role and Sid, the end of what carries it, and why nothing narrower exists."""

MANAGED_POLICIES: dict[tuple[str, str], str] = {}
"""Each acknowledged managed policy: role and ARN, and why. There is none."""

HANDED_OUT = {"Training-JobRole": "people pass it to the jobs they start"}
"""Roles that no resource of a template assumes, and who does."""


def wildcards(role: Access, environment: str) -> Iterator[tuple[tuple[str, str], str]]:
    for section, statements in (("trust", role.trust), ("permissions", role.permissions)):
        for statement in statements:
            if statement["Effect"] == "Deny":
                continue
            values = [*statement["Action"], *statement.get("Resource", []), *statement.get("Principal", [])]
            for operator, clause in statement.get("Condition", {}).items():
                if "Like" in operator or "Arn" in operator:
                    values += [value for listed in clause.values() for value in listed]
            where = "trust" if section == "trust" else statement["Sid"]
            for value in values:
                if "*" in value or "?" in value:
                    yield (role.name, where), _plain(value, environment)


def _plain(value: str, environment: str) -> str:
    value = value.replace(f"kennel-{environment}-${{AWS::AccountId}}-${{AWS::Region}}", "{bucket}")
    text: str = general(value, environment)
    return text.replace("kennel-{environment}", "{kennel}")


def test_every_wildcard_is_acknowledged_with_a_reason_and_no_reason_is_stale(
    environments: list[str], granted: Callable[[str], Granted]
) -> None:
    used, unexplained = set(), set()
    for environment in environments:
        for role in granted(environment).values():
            for where, value in wildcards(role, environment):
                known = WILDCARDS.get(where, {})
                # "*" is acknowledged as itself only, a longer value by its end.
                ends = [end for end in known if value == end or (len(end) > 1 and value.endswith(end))]
                used |= {(where, end) for end in ends}
                if not ends:
                    unexplained.add(f"{where}: {value}")
    assert not unexplained, "narrow it, or add it to WILDCARDS with a reason: " + "; ".join(sorted(unexplained))
    stale = {(where, end) for where, known in WILDCARDS.items() for end in known} - used
    assert not stale, f"no template has these any more: {stale}"


def test_no_managed_policy_without_a_reason_and_never_full_access(
    environments: list[str], granted: Callable[[str], Granted], templates: Callable[[str], Templates]
) -> None:
    attached = {
        (role.name, arn)
        for environment in environments
        for role in granted(environment).values()
        for arn in role.managed_policies
    }
    assert attached == MANAGED_POLICIES.keys()
    for environment in environments:
        text = json.dumps(templates(environment))
        assert "FullAccess" not in text
        assert "AdministratorAccess" not in text


def test_nobody_gets_a_policy_but_roles_of_the_same_template(
    environment: str, templates: Callable[[str], Templates]
) -> None:
    for template in templates(environment).values():
        kinds = {name: item["Type"] for name, item in template["Resources"].items()}
        assert not {"AWS::IAM::User", "AWS::IAM::Group", "AWS::IAM::AccessKey"} & set(kinds.values())
        for name, kind in kinds.items():
            if kind in POLICY_TYPES:
                properties = template["Resources"][name]["Properties"]
                assert not properties.get("Users")
                assert not properties.get("Groups")
                roles = properties.get("Roles", [properties.get("RoleName")])
                assert roles, f"{name} is attached to nothing"
                assert {kinds[role["Ref"]] for role in roles} == {"AWS::IAM::Role"}


def orphans(stack: str, template: Template) -> list[str]:
    """Return the roles that nothing assumes: a policy attached to a role is no use of it."""
    resources = template["Resources"]

    def used(logical_id: str) -> bool:
        for name, item in resources.items():
            if name == logical_id or item["Type"] in POLICY_TYPES or not _names(item.get("Properties", {}), logical_id):
                continue
            if item["Type"] != "AWS::IAM::InstanceProfile" or used(name):
                return True
        return False

    def handed_out(role: Access) -> bool:
        return role.name in HANDED_OUT and _names(template.get("Outputs", {}), role.logical_id)

    roles = [role for role in access(stack, template).values() if role.trust]
    return [role.name for role in roles if not used(role.logical_id) and not handed_out(role)]


def _names(value: Any, logical_id: str) -> bool:
    text = json.dumps(value)
    return f'{{"Ref": "{logical_id}"}}' in text or f'{{"Fn::GetAtt": ["{logical_id}", "Arn"]}}' in text


def test_no_role_is_an_orphan(environment: str, templates: Callable[[str], Templates]) -> None:
    for stack, template in templates(environment).items():
        assert not orphans(stack, template)


def test_a_role_whose_users_are_gone_is_an_orphan(environment: str, templates: Callable[[str], Templates]) -> None:
    for stack, template in templates(environment).items():
        lonely = {name: item for name, item in template["Resources"].items() if item["Type"].startswith("AWS::IAM::")}
        roles = [name for name, role in access(stack, template).items() if role.trust]
        assert orphans(stack, {"Resources": lonely}) == roles


def unneeded(role: Access, view: View) -> list[str]:
    """Return the statements of a role that name other resources than their need, or have none."""
    needs = NEEDS.get(role.name, {})
    missing = [statement["Sid"] for statement in role.permissions if statement["Sid"] not in needs]
    assert not missing, f"{role.name}: say in needs.py which fact of the template needs {missing}"
    wrong = [one for one in role.permissions if set(one["Resource"]) != needs[one["Sid"]](view)]
    return [f"{one['Sid']} {one['Resource']}, needed {needs[one['Sid']](view)}" for one in wrong]


def needy(templates: Templates) -> Iterator[tuple[Access, Template, str | None]]:
    """Yield each role with its template, and with the key of the bucket."""
    key = bucket_key(templates)
    for stack, template in templates.items():
        for role in access(stack, template).values():
            if role.trust:
                yield role, template, key


def bucket_key(templates: Templates) -> str | None:
    for item in templates.get("Storage", {"Resources": {}})["Resources"].values():
        for rule in item.get("Properties", {}).get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", []):
            if "KMSMasterKeyID" in rule["ServerSideEncryptionByDefault"]:
                return render(rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"])
    return None


def test_every_statement_is_needed_by_a_fact_of_its_template_and_names_no_more(
    environment: str, templates: Callable[[str], Templates]
) -> None:
    for role, template, key in needy(templates(environment)):
        assert not unneeded(role, View(template, role.logical_id, key)), role.name


def test_no_need_is_stale(environments: list[str], granted: Callable[[str], Granted]) -> None:
    sids = {
        (role.name, statement["Sid"])
        for environment in environments
        for role in granted(environment).values()
        if role.trust
        for statement in role.permissions
    }
    assert sids == {(role, sid) for role, needs in NEEDS.items() for sid in needs}


SPEAKERS = {
    "TellOfAlarms": "AWS::CloudWatch::Alarm",
    "TellOfState": "AWS::Events::Rule",
    "TellOfBudget": "AWS::Budgets::Budget",
}
"""Who publishes to the topic, by the statement that lets it."""


def test_the_topic_lets_in_only_what_its_template_has(environment: str, templates: Callable[[str], Templates]) -> None:
    template = templates(environment)["Monitoring"]
    kinds = {item["Type"] for item in template["Resources"].values()}
    # The rule is the endpoint's: it names the configuration.
    kinds |= {item["Type"] for item in templates(environment)["Endpoint"]["Resources"].values()} & {"AWS::Events::Rule"}
    policy = access("Monitoring", template)["Monitoring-TopicPolicy"]
    let_in = {statement["Sid"] for statement in policy.permissions if statement["Effect"] == "Allow"}
    assert let_in == {sid for sid, kind in SPEAKERS.items() if kind in kinds}


@pytest.mark.parametrize("what", ["gone", "empty"])
def test_a_statement_fails_when_what_needs_it_is_gone(
    environment: str, what: str, templates: Callable[[str], Templates]
) -> None:
    for role, template, key in needy(templates(environment)):
        changed = copy.deepcopy(template) | {"Outputs": {}}
        for name in [name for name, item in changed["Resources"].items() if not item["Type"].startswith("AWS::IAM::")]:
            if what == "gone":
                del changed["Resources"][name]
            else:
                changed["Resources"][name]["Properties"] = {}
        assert len(unneeded(role, View(changed, role.logical_id, key))) == len(role.permissions), role.name


CHANGES = [
    ("prod", "Endpoint", "AWS::SageMaker::Model", ("PrimaryContainer", "ModelDataUrl"), "ReadArtifact"),
    ("prod", "Endpoint", "AWS::SageMaker::Model", ("PrimaryContainer", "Image"), "PullImage"),
    ("prod", "Endpoint", "AWS::SageMaker::Endpoint", ("EndpointName",), "WriteEndpointLogs"),
    ("prod", "Endpoint", "AWS::SageMaker::Endpoint", ("DeploymentConfig",), "ReadAlarms"),
    ("prod", "Endpoint", "AWS::SageMaker::EndpointConfig", ("DataCaptureConfig", "DestinationS3Uri"), "WriteCapture"),
    ("prod", "Api", "AWS::Lambda::Function", ("Environment", "Variables", "ENDPOINT_NAME"), "InvokeEndpoint"),
    ("prod", "Api", "AWS::Lambda::Function", ("TracingConfig",), "SendTraces"),
    ("prod", "Api", "AWS::Lambda::Function", ("LoggingConfig", "LogGroup"), "WriteFunctionLogs"),
    ("prod", "Api", "AWS::Lambda::EventInvokeConfig", ("DestinationConfig",), "SendFailures"),
    ("everything", "Api", "AWS::SQS::Queue", ("KmsMasterKeyId",), "UseQueueKey"),
    ("everything", "Endpoint", "AWS::SageMaker::EndpointConfig", ("DataCaptureConfig", "EnableCapture"), "UseKey"),
    ("everything", "Training", "AWS::SageMaker::NotebookInstance", ("NotebookInstanceName",), "StopItself"),
    ("everything", "Training", "AWS::SageMaker::NotebookInstance", ("SubnetId",), "CreateNetworkInterfaces"),
]


@pytest.mark.parametrize(("chosen", "stack", "kind", "path", "sid"), CHANGES, ids=[change[-1] for change in CHANGES])
def test_a_statement_fails_when_what_needs_it_asks_for_something_else(
    chosen: str, stack: str, kind: str, path: tuple[str, ...], sid: str, templates: Callable[[str], Templates]
) -> None:
    changed = copy.deepcopy(templates(chosen)[stack])
    for item in changed["Resources"].values():
        if item["Type"] == kind:
            place = item["Properties"]
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = {} if isinstance(place[path[-1]], dict) and len(path) == 1 else "s3://elsewhere/x"
    wrong = [
        one.split()[0]
        for role, template, key in needy({**templates(chosen), stack: changed})
        if template is changed
        for one in unneeded(role, View(template, role.logical_id, key))
    ]
    assert sid in wrong
