"""What holds in every template of Kennel, and what public checkers do not know: one function for each rule.

A rule takes a stack and yields one line for each fault. ``EVERYWHERE`` holds in all environments, ``PRODUCTION`` where
people are served.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Properties = dict[str, Any]
Rule = Callable[["Stack"], Iterator[str]]


@dataclass(frozen=True)
class Stack:
    """A template and the environment that it is for."""

    template: dict[str, Any]
    environment: str

    def of_type(self, *kinds: str) -> Iterator[tuple[str, Properties]]:
        """Yield the logical id and the properties of each resource of some types."""
        for name, resource in self.template["Resources"].items():
            if resource["Type"] in kinds:
                yield name, resource.get("Properties", {})

    def statements(self) -> Iterator[tuple[str, Properties]]:
        """Yield each statement that allows something to a role of this template."""
        for name, role in self.of_type("AWS::IAM::Role"):
            for policy in role.get("Policies", []):
                yield from ((name, s) for s in listed(policy["PolicyDocument"]["Statement"]) if s["Effect"] == "Allow")
        for name, policy in self.of_type("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
            yield from ((name, s) for s in listed(policy["PolicyDocument"]["Statement"]) if s["Effect"] == "Allow")

    def grants(self) -> Iterator[tuple[str, str, str]]:
        """Yield each pair of an action and a resource that a statement allows, with where it is written."""
        for name, statement in self.statements():
            where = f"{name}.{statement.get('Sid', '(no Sid)')}"
            for action in listed(statement.get("Action", [])):
                for resource in listed(statement.get("Resource", [])):
                    yield where, action, text(resource)


def listed(value: Any) -> list[Any]:
    """Return a list, as IAM lets a list of one be written without its brackets."""
    return value if isinstance(value, list) else [value]


def text(value: Any) -> str:
    """Put a string that CloudFormation would join into one: ``arn:${AWS::Partition}:s3:::name``."""
    match value:
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(map(text, parts))
        case {"Fn::Sub": str(pattern)}:
            return pattern
        case {"Fn::FindInMap": [name, *_]}:
            return f"${{{name}}}"
        case _:
            return str(value)


# ---- access


WITHOUT_RESOURCE = {
    "cloudwatch:PutMetricData",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "ecr:GetAuthorizationToken",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
"""Actions that support no resource but ``*`` (Service Authorization Reference)."""

RESOURCE_OF = {
    r"ecr:(Batch.*|GetDownloadUrlForLayer)": r"ecr:repository/",
    r"kms:.*": r"kms:key/",
    r"logs:.*": r"logs:log-group:",
    r"s3:(GetObject|Put|Delete|AbortMultipart).*": r"s3:[^/]+/.+",
    r"s3:(List|GetBucket).*": r"s3:[^/]+$",
    r"sagemaker:InvokeEndpoint.*": r"sagemaker:endpoint/",
    r"ssm:GetParameters?": r"ssm:parameter/",
    r"ssm:UpdateInstanceInformation": r"ec2:instance/",
}
"""The type of resource of an action, as the ARN's service and resource (Service Authorization Reference).

For an action that is not here the service must be its own.
"""


def an_action_is_allowed_on_its_own_kind_of_resource(stack: Stack) -> Iterator[str]:
    """An action on another type of resource allows nothing: it is a slip, and something else does not work."""
    for where, action, resource in stack.grants():
        if resource == "*":
            continue  # The next rule's.
        if action in WITHOUT_RESOURCE:
            yield f"{where}: {action} supports no resource, not {resource}"
        if resource.startswith("${") and resource.endswith(("Arn}", "Arn}:*")):
            continue  # An attribute of a resource of this template.
        _, _, service, _, _, name, *_ = [*re.sub(r"\$\{[^}]*\}", "$", resource).split(":", 5), *[""] * 6]
        kinds = [kind for pattern, kind in RESOURCE_OF.items() if re.fullmatch(pattern, action)]
        kinds = kinds or [rf"{action.partition(':')[0]}:."]
        if not any(re.match(kind, f"{service}:{name}") for kind in kinds):
            yield f"{where}: {action} on {resource}"


def a_wildcard_stands_only_where_nothing_narrower_exists(stack: Stack) -> Iterator[str]:
    """No wildcard in an action, and ``*`` as a resource only for actions that support no other.

    cdk-nag finds both, but an acknowledged ``*`` of a role hides the next one of the same role.
    """
    for where, action, resource in stack.grants():
        if "*" in action or (resource == "*" and action not in WITHOUT_RESOURCE):
            yield f"{where}: {action} on {resource}"


def reads_of_s3_are_of_named_objects(stack: Stack) -> Iterator[str]:
    """A role reads the artifact of a model of its stack, or a folder of Kennel's own bucket; no other bucket."""
    artifacts = {
        text(container["ModelDataUrl"]).removeprefix("s3://")
        for _, model in stack.of_type("AWS::SageMaker::Model")
        for container in [model["PrimaryContainer"]]
    }
    own = f"kennel-{stack.environment}-${{AWS::AccountId}}-${{AWS::Region}}"
    for where, action, resource in stack.grants():
        if not re.match(r"s3:(Get|List|\*)|\*", action):
            continue
        name = resource.rpartition(":::")[2]
        if name not in artifacts and name != own and not re.fullmatch(rf"{re.escape(own)}/[a-z]+/.*", name):
            yield f"{where}: {action} on {resource}"


def one_endpoint_is_invoked(stack: Stack) -> Iterator[str]:
    """A role asks the endpoint of its environment, and no other."""
    for where, action, resource in stack.grants():
        if action.startswith("sagemaker:InvokeEndpoint") and not resource.endswith(
            f":${{AWS::AccountId}}:endpoint/kennel-{stack.environment}"
        ):
            yield f"{where}: {action} on {resource}"


def resource_policies_let_nobody_in(stack: Stack) -> Iterator[str]:
    """A policy of a bucket, a queue or a topic allows nothing to everybody."""
    kinds = ("AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy")
    for name, policy in stack.of_type(*kinds):
        for statement in listed(policy["PolicyDocument"]["Statement"]):
            everybody = statement.get("Principal") in ("*", {"AWS": "*"})
            if statement["Effect"] == "Allow" and everybody and not statement.get("Condition"):
                yield f"{name}.{statement.get('Sid', '(no Sid)')}: everybody may {statement['Action']}"


CONFUSED_DEPUTIES = {"cloudtrail", "scheduler", "application-autoscaling", "sagemaker", "sns", "states"}
"""Services that act for many accounts and send ``aws:SourceArn`` when they assume a role.

Not Lambda or EC2: they assume a role for a function or an instance that ``iam:PassRole`` has bound to it.
"""


def trust_names_its_source(stack: Stack) -> Iterator[str]:
    """A service assumes a role for this account's resources only (IAM guide, "The confused deputy problem")."""
    for name, role in stack.of_type("AWS::IAM::Role"):
        for statement in listed(role["AssumeRolePolicyDocument"]["Statement"]):
            principal = statement["Principal"]
            services = [] if principal == "*" else listed(principal.get("Service", []))
            keys = {key for condition in statement.get("Condition", {}).values() for key in condition}
            if "*" in (principal, principal.get("AWS") if isinstance(principal, dict) else principal):
                yield f"{name}: anybody may assume it"
            for service in services:
                if text(service).partition(".")[0] in CONFUSED_DEPUTIES and "aws:SourceArn" not in keys:
                    yield f"{name}: {text(service)} may assume it for any source"


# ---- capacity


def capacity_has_a_range(stack: Stack) -> Iterator[str]:
    """Application Auto Scaling refuses a minimum above the maximum, at deployment."""
    for name, target in stack.of_type("AWS::ApplicationAutoScaling::ScalableTarget"):
        if target["MinCapacity"] > target["MaxCapacity"]:
            yield f"{name}: MinCapacity {target['MinCapacity']} is above MaxCapacity {target['MaxCapacity']}"


def provisioned_concurrency_fits_the_reserved(stack: Stack) -> Iterator[str]:
    """Lambda refuses more provisioned than reserved concurrency, at deployment, and as much when it scales out."""
    reserved = [
        function["ReservedConcurrentExecutions"]
        for _, function in stack.of_type("AWS::Lambda::Function")
        if "ReservedConcurrentExecutions" in function
    ]
    provisioned = {
        name: alias.get("ProvisionedConcurrencyConfig", {}).get("ProvisionedConcurrentExecutions", 0)
        for name, alias in stack.of_type("AWS::Lambda::Alias")
    }
    provisioned |= {
        name: target["MaxCapacity"]
        for name, target in stack.of_type("AWS::ApplicationAutoScaling::ScalableTarget")
        if target["ScalableDimension"] == "lambda:function:ProvisionedConcurrency"
    }
    for name, count in provisioned.items():
        if reserved and count > min(reserved):
            yield f"{name}: {count} provisioned, {min(reserved)} reserved"


def cooldowns_can_bind(stack: Stack) -> Iterator[str]:
    """Target tracking reads one-minute metrics: a shorter cooldown never binds."""
    for name, policy in stack.of_type("AWS::ApplicationAutoScaling::ScalingPolicy"):
        tracking = policy.get("TargetTrackingScalingPolicyConfiguration", {})
        for field in ("ScaleInCooldown", "ScaleOutCooldown"):
            if tracking.get(field, 60) < 60:
                yield f"{name}: {field} = {tracking[field]}"


def an_update_keeps_the_scaled_out_fleet(stack: Stack) -> Iterator[str]:
    """Without it, an update under load falls back to the initial instance count; a serverless one has no count."""
    configs = [config for _, config in stack.of_type("AWS::SageMaker::EndpointConfig")]
    counts = not any("ServerlessConfig" in variant for config in configs for variant in config["ProductionVariants"])
    for name, endpoint in stack.of_type("AWS::SageMaker::Endpoint"):
        if endpoint.get("RetainAllVariantProperties", False) is not counts:
            yield f"{name}: RetainAllVariantProperties"


def a_bad_update_rolls_back(stack: Stack) -> Iterator[str]:
    """Alarms watch an update and undo it (SageMaker guide, "Auto-Rollback Configuration and Monitoring")."""
    for name, endpoint in stack.of_type("AWS::SageMaker::Endpoint"):
        if not endpoint.get("DeploymentConfig", {}).get("AutoRollbackConfiguration", {}).get("Alarms"):
            yield f"{name}: DeploymentConfig.AutoRollbackConfiguration.Alarms"


def several_instances_serve(stack: Stack) -> Iterator[str]:
    """SageMaker's service level agreement asks for more than one instance."""
    for name, config in stack.of_type("AWS::SageMaker::EndpointConfig"):
        for variant in config["ProductionVariants"]:
            if "ServerlessConfig" not in variant and variant["InitialInstanceCount"] < 2:
                yield f"{name}.{variant['VariantName']}: {variant['InitialInstanceCount']} instance"
    for name, target in stack.of_type("AWS::ApplicationAutoScaling::ScalableTarget"):
        if target["ScalableDimension"] == "sagemaker:variant:DesiredInstanceCount" and target["MinCapacity"] < 2:
            yield f"{name}: scales in to {target['MinCapacity']} instance"


# ---- data


def buckets_are_private(stack: Stack) -> Iterator[str]:
    """No list of grantees opens a bucket, and nothing can open it later."""
    parts = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    for name, bucket in stack.of_type("AWS::S3::Bucket"):
        block = bucket.get("PublicAccessBlockConfiguration", {})
        if any(block.get(part) is not True for part in parts):
            yield f"{name}: PublicAccessBlockConfiguration"
        if "AccessControl" in bucket:
            yield f"{name}: AccessControl = {bucket['AccessControl']}"


def data_is_encrypted_at_rest(stack: Stack) -> Iterator[str]:
    """Each store says how it encrypts, whatever the service's default is or becomes."""
    for name, bucket in stack.of_type("AWS::S3::Bucket"):
        if "BucketEncryption" not in bucket:
            yield f"{name}: BucketEncryption"
    for name, queue in stack.of_type("AWS::SQS::Queue"):
        if queue.get("SqsManagedSseEnabled") is not True and "KmsMasterKeyId" not in queue:
            yield f"{name}: SqsManagedSseEnabled or KmsMasterKeyId"


def what_is_overwritten_can_come_back(stack: Stack) -> Iterator[str]:
    """Every bucket keeps versions, but the one that only collects access logs."""
    collectors = {
        text(bucket["LoggingConfiguration"]["DestinationBucketName"])
        for _, bucket in stack.of_type("AWS::S3::Bucket")
        if "DestinationBucketName" in bucket.get("LoggingConfiguration", {})
    }
    for name, bucket in stack.of_type("AWS::S3::Bucket"):
        if f"${{{name}}}" not in collectors and bucket.get("VersioningConfiguration") != {"Status": "Enabled"}:
            yield f"{name}: VersioningConfiguration"


def data_outlives_the_stack(stack: Stack) -> Iterator[str]:
    """`cdk destroy` leaves the buckets of production."""
    for name, resource in stack.template["Resources"].items():
        if resource["Type"] == "AWS::S3::Bucket" and {
            resource.get("DeletionPolicy"),
            resource.get("UpdateReplacePolicy"),
        } - {"Retain", "RetainExceptOnCreate"}:
            yield f"{name}: DeletionPolicy"


def logs_end(stack: Stack) -> Iterator[str]:
    """Logs without a retention are kept, and paid, for ever."""
    for name, group in stack.of_type("AWS::Logs::LogGroup"):
        if "RetentionInDays" not in group:
            yield f"{name}: RetentionInDays"


# ---- network


def models_have_no_network(stack: Stack) -> Iterator[str]:
    """The container of a model gets no network and no credentials (CreateModel API, EnableNetworkIsolation).

    Serverless inference does not offer that (SageMaker guide, "Serverless Inference", "Feature exclusions").
    """
    serverless = {
        text(variant["ModelName"])
        for _, config in stack.of_type("AWS::SageMaker::EndpointConfig")
        for variant in config["ProductionVariants"]
        if "ServerlessConfig" in variant
    }
    for name, model in stack.of_type("AWS::SageMaker::Model"):
        if f"${{{name}.ModelName}}" not in serverless and model.get("EnableNetworkIsolation") is not True:
            yield f"{name}: EnableNetworkIsolation"


def callers_prove_who_they_are(stack: Stack) -> Iterator[str]:
    """Function URLs and routes of HTTP APIs let nobody in without a signature or a token."""
    for name, url in stack.of_type("AWS::Lambda::Url"):
        if url["AuthType"] != "AWS_IAM":
            yield f"{name}: AuthType = {url['AuthType']}"
    for name, route in stack.of_type("AWS::ApiGatewayV2::Route"):
        if route.get("AuthorizationType", "NONE") == "NONE":
            yield f"{name}: AuthorizationType"


def browsers_are_let_in_by_name(stack: Stack) -> Iterator[str]:
    """No allow-list of origins is ``*``."""
    for name, front in stack.of_type("AWS::Lambda::Url", "AWS::ApiGatewayV2::Api"):
        cors = front.get("Cors") or front.get("CorsConfiguration") or {}
        if "*" in cors.get("AllowOrigins", []):
            yield f"{name}: AllowOrigins *"


def no_port_is_open_to_the_world(stack: Stack) -> Iterator[str]:
    """Instances are reached by Session Manager, which needs no inbound port."""
    for name, group in stack.of_type("AWS::EC2::SecurityGroup"):
        if group.get("SecurityGroupIngress"):
            yield f"{name}: SecurityGroupIngress"
    for name, _ in stack.of_type("AWS::EC2::SecurityGroupIngress"):
        yield f"{name}: an ingress rule"


def instances_guard_their_credentials_and_disks(stack: Stack) -> Iterator[str]:
    """Instance metadata only with a session token (IMDSv2); disks encrypted."""
    for name, template in stack.of_type("AWS::EC2::LaunchTemplate"):
        data = template["LaunchTemplateData"]
        if data.get("MetadataOptions", {}).get("HttpTokens") != "required":
            yield f"{name}: HttpTokens"
        disks = [mapping["Ebs"] for mapping in data.get("BlockDeviceMappings", []) if "Ebs" in mapping]
        if not disks or any(disk.get("Encrypted") is not True for disk in disks):
            yield f"{name}: BlockDeviceMappings.Ebs.Encrypted"


EVERYWHERE: tuple[Rule, ...] = (
    an_action_is_allowed_on_its_own_kind_of_resource,
    a_wildcard_stands_only_where_nothing_narrower_exists,
    reads_of_s3_are_of_named_objects,
    one_endpoint_is_invoked,
    resource_policies_let_nobody_in,
    trust_names_its_source,
    capacity_has_a_range,
    provisioned_concurrency_fits_the_reserved,
    cooldowns_can_bind,
    an_update_keeps_the_scaled_out_fleet,
    buckets_are_private,
    data_is_encrypted_at_rest,
    what_is_overwritten_can_come_back,
    logs_end,
    models_have_no_network,
    callers_prove_who_they_are,
    browsers_are_let_in_by_name,
    no_port_is_open_to_the_world,
    instances_guard_their_credentials_and_disks,
)
PRODUCTION: tuple[Rule, ...] = (a_bad_update_rolls_back, several_instances_serve, data_outlives_the_stack)
