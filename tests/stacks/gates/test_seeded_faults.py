"""Faults put into the templates of production, one at a time: each is found, and by the gate that is named for it."""

import copy
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.stacks.gates import invariants
from tests.stacks.gates.checkers import Template, cdk_nag, cdk_validation, cfn_lint, golden, own_invariants

ENVIRONMENT = "prod"


class Fault(NamedTuple):
    """A fault: what it is, the stack that it is put in, the beginning of the finding that must name it, and how."""

    name: str
    stack: str
    catcher: str
    put: Callable[[Template], Any]


def properties(template: Template, kind: str, holding: str = "") -> Template:
    """Return the properties of the first resource of a type, or of the first that holds a property."""
    for resource in template["Resources"].values():
        if resource["Type"] == kind and (not holding or holding in resource["Properties"]):
            found: Template = resource["Properties"]
            return found
    raise LookupError(f"no {kind} with {holding!r}")


def statement(template: Template, sid: str) -> Template:
    """Return the statement of that name."""
    for resource in template["Resources"].values():
        for policy in [resource["Properties"], *resource["Properties"].get("Policies", [])]:
            found: Template
            for found in policy.get("PolicyDocument", {}).get("Statement", []):
                if found.get("Sid") == sid:
                    return found
    raise LookupError(sid)


def add(kind: str, **fields: Any) -> Callable[[Template], Any]:
    """Add a resource."""
    return lambda template: template["Resources"].update({"Seeded": {"Type": kind, "Properties": fields}})


def change(kind: str, holding: str = "", **fields: Any) -> Callable[[Template], Any]:
    """Set properties of a resource."""
    return lambda template: properties(template, kind, holding).update(fields)


def drop(kind: str, field: str) -> Callable[[Template], Any]:
    """Remove a property of a resource that has it."""
    return lambda template: properties(template, kind, field).pop(field)


def remove(kind: str) -> Callable[[Template], Any]:
    """Remove every resource of a type."""

    def put(template: Template) -> None:
        template["Resources"] = {n: r for n, r in template["Resources"].items() if r["Type"] != kind}

    return put


def forget_the_source(template: Template) -> None:
    """Let SageMaker assume the role for anybody's resources."""
    for _, role in invariants.Stack(template, ENVIRONMENT).of_type("AWS::IAM::Role"):
        for trust in role["AssumeRolePolicyDocument"]["Statement"]:
            if "ArnLike" in trust.get("Condition", {}):
                del trust["Condition"]["ArnLike"]
                return
    raise LookupError("aws:SourceArn")


def invoke_another(template: Template) -> None:
    """Add an endpoint to those that the function may ask."""
    found = statement(template, "InvokeEndpoint")
    other = json.loads(json.dumps(found["Resource"]).replace("endpoint/kennel-prod", "endpoint/kennel-other"))
    found["Resource"] = [found["Resource"], other]


def shrink_the_variant(template: Template) -> None:
    """Start production on one instance."""
    properties(template, "AWS::SageMaker::EndpointConfig")["ProductionVariants"][0]["InitialInstanceCount"] = 1


def shorten_the_cooldown(template: Template) -> None:
    """Set a cooldown that never binds."""
    policy = properties(
        template, "AWS::ApplicationAutoScaling::ScalingPolicy", "TargetTrackingScalingPolicyConfiguration"
    )
    policy["TargetTrackingScalingPolicyConfiguration"]["ScaleOutCooldown"] = 30


def forget_the_alarms(template: Template) -> None:
    """Update the endpoint with no alarm watching."""
    del properties(template, "AWS::SageMaker::Endpoint")["DeploymentConfig"]["AutoRollbackConfiguration"]


def delete_with_the_stack(template: Template) -> None:
    """Remove the bucket with its stack."""
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::S3::Bucket":
            resource["DeletionPolicy"] = "Delete"


def put_on_the_internet(template: Template) -> None:
    """Let anybody read the bucket by its policy."""
    policy = properties(template, "AWS::S3::BucketPolicy")
    policy["PolicyDocument"]["Statement"].append(
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::kennel-public/*"}
    )


def in_a_circle(template: Template) -> None:
    """Let a role wait for the function that waits for the role."""
    resources = template["Resources"]
    (function,) = (name for name, item in resources.items() if item["Type"] == "AWS::Lambda::Function")
    role = resources[function]["Properties"]["Role"]["Fn::GetAtt"][0]
    resources[role]["DependsOn"] = [function]


def grant(sid: str, **fields: Any) -> Callable[[Template], Any]:
    """Change a statement."""
    return lambda template: statement(template, sid).update(fields)


FULL_ACCESS = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
OTHER_BUCKET = {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":s3:::somebody-elses-photos/model.tar.gz"]]}
UNSAFE_INSTANCE = {"ImageId": "ami-12345678", "MetadataOptions": {"HttpTokens": "optional"}}
LEGACY_RUNTIME = {"Runtime": "python3.7"}

FAULTS = [
    # Data
    Fault("a bucket may be made public", "Storage", "invariant buckets_are_private",
          drop("AWS::S3::Bucket", "PublicAccessBlockConfiguration")),
    Fault("a bucket is public", "Storage", "invariant buckets_are_private",
          change("AWS::S3::Bucket", AccessControl="PublicRead")),
    Fault("a bucket's policy lets everybody in", "Storage", "golden Storage-AccessLogPolicy, granted beyond",
          put_on_the_internet),
    Fault("a bucket without encryption", "Storage", "invariant data_is_encrypted_at_rest",
          drop("AWS::S3::Bucket", "BucketEncryption")),
    Fault("a bucket that answers without TLS", "Storage", "cdk-nag AwsSolutions-S10",
          remove("AWS::S3::BucketPolicy")),
    Fault("a bucket without versions", "Storage", "invariant what_is_overwritten_can_come_back",
          drop("AWS::S3::Bucket", "VersioningConfiguration")),
    Fault("production data goes with the stack", "Storage", "invariant data_outlives_the_stack",
          delete_with_the_stack),
    Fault("a queue without encryption", "Api", "invariant data_is_encrypted_at_rest",
          add("AWS::SQS::Queue", SqsManagedSseEnabled=False)),
    Fault("logs that are kept for ever", "Api", "invariant logs_end",
          drop("AWS::Logs::LogGroup", "RetentionInDays")),
    # Access
    Fault("a wildcard action", "Api", "cdk-nag AwsSolutions-IAM5[Action::sagemaker:*]",
          grant("InvokeEndpoint", Action="sagemaker:*")),
    Fault("a wildcard resource", "Api", "golden Api-Role, granted beyond",
          grant("InvokeEndpoint", Resource="*")),
    Fault("a FullAccess policy", "Api", f"cdk-nag AwsSolutions-IAM4[Policy::{FULL_ACCESS}]",
          change("AWS::IAM::Role", ManagedPolicyArns=[FULL_ACCESS])),
    Fault("trust without SourceArn", "Endpoint", "golden Endpoint-AllTrafficHostingRole, granted beyond",
          forget_the_source),
    Fault("an extra bucket is read", "Endpoint", "golden Endpoint-AllTrafficHostingRole, granted beyond",
          grant("ReadArtifact", Resource=OTHER_BUCKET)),
    Fault("a second endpoint is invoked", "Api", "golden Api-Role, granted beyond",
          invoke_another),
    Fault("an action on the wrong type of resource", "Api", "golden Api-Role, granted beyond",
          grant("InvokeEndpoint", Action="s3:GetObject")),
    # Capacity
    Fault("production on a single instance", "Endpoint", "invariant several_instances_serve",
          shrink_the_variant),
    Fault("production scales in to one instance", "Endpoint", "invariant several_instances_serve",
          change("AWS::ApplicationAutoScaling::ScalableTarget", MinCapacity=1)),
    Fault("minimum above maximum", "Endpoint", "invariant capacity_has_a_range",
          change("AWS::ApplicationAutoScaling::ScalableTarget", MinCapacity=5)),
    Fault("less concurrency reserved than provisioned", "Api", "invariant provisioned_concurrency_fits",
          change("AWS::Lambda::Function", ReservedConcurrentExecutions=1)),
    Fault("a cooldown that never binds", "Endpoint", "invariant cooldowns_can_bind",
          shorten_the_cooldown),
    Fault("an update forgets the scaled-out fleet", "Endpoint", "invariant an_update_keeps",
          drop("AWS::SageMaker::Endpoint", "RetainAllVariantProperties")),
    Fault("an update that no alarm undoes", "Endpoint", "invariant a_bad_update_rolls_back",
          forget_the_alarms),
    # Network
    Fault("a function URL without authentication", "Api", "invariant callers_prove_who_they_are",
          change("AWS::Lambda::Url", AuthType="NONE")),
    Fault("CORS for every origin", "Api", "invariant browsers_are_let_in_by_name",
          change("AWS::Lambda::Url", Cors={"AllowOrigins": ["*"]})),
    Fault("a model with a network", "Endpoint", "invariant models_have_no_network",
          drop("AWS::SageMaker::Model", "EnableNetworkIsolation")),
    Fault("instance metadata without a token", "Storage", "invariant instances_guard_their_credentials",
          add("AWS::EC2::LaunchTemplate", LaunchTemplateData=UNSAFE_INSTANCE)),
    Fault("a port open to the world", "Storage", "invariant no_port_is_open_to_the_world",
          add("AWS::EC2::SecurityGroupIngress", GroupId="sg-12345678", IpProtocol="tcp", FromPort=22, ToPort=22,
              CidrIp="0.0.0.0/0")),
    # CloudFormation
    Fault("a property of the wrong type", "Api", "cfn-lint E3012",
          change("AWS::Lambda::Function", MemorySize="large")),
    Fault("an unknown property", "Api", "cfn-lint E3002",
          change("AWS::Lambda::Function", Memory=512)),
    Fault("a required property is missing", "Api", "cfn-lint E3003",
          drop("AWS::Lambda::Function", "Role")),
    Fault("a value that does not exist", "Api", "cfn-lint E3030",
          change("AWS::Lambda::Function", Architectures=["sparc"])),
    Fault("a reference to nothing", "Api", "cfn-lint E1020",
          change("AWS::Lambda::Function", Role={"Ref": "Nobody"})),
    Fault("a circle of dependencies", "Api", "cfn-lint E3004",
          in_a_circle),
    Fault("a runtime that AWS has ended", "Api", "cdk E2531",
          change("AWS::Lambda::Function", **LEGACY_RUNTIME)),
]  # fmt: skip


def findings(template: Template, stack: str) -> set[str]:
    """Ask every gate."""
    own = own_invariants(template, ENVIRONMENT) | golden(template, stack, ENVIRONMENT)
    return cfn_lint(template) | cdk_nag(template) | cdk_validation(template) | own


@pytest.fixture(scope="module")
def clean(templates: Callable[[str], dict[str, Template]]) -> dict[str, set[str]]:
    """What the gates say of production as it is: what cdk-nag finds and accepted.py accepts, and nothing else."""
    return {stack: findings(template, stack) for stack, template in templates(ENVIRONMENT).items()}


def test_what_is_found_in_production_as_it_is_are_cdk_nags_accepted_findings(clean: dict[str, set[str]]) -> None:
    assert [finding for found in clean.values() for finding in found if not finding.startswith("cdk-nag ")] == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_found_by_its_gate(
    templates: Callable[[str], dict[str, Template]], clean: dict[str, set[str]], fault: Fault
) -> None:
    template = copy.deepcopy(templates(ENVIRONMENT)[fault.stack])
    fault.put(template)
    assert template != templates(ENVIRONMENT)[fault.stack]
    new = findings(template, fault.stack) - clean[fault.stack]
    assert any(finding.startswith(fault.catcher) for finding in new), sorted(new)


def test_every_invariant_has_a_fault_that_it_finds() -> None:
    caught = [fault.catcher for fault in FAULTS if fault.catcher.startswith("invariant ")]
    for rule in invariants.EVERYWHERE + invariants.PRODUCTION:
        assert any(f"invariant {rule.__name__}".startswith(catcher) for catcher in caught), rule.__name__
