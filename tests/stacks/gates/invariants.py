"""What holds in every template of Kennel, and what public checkers do not know: one function for each rule.

Permissions have no rule here: the golden policies hold them (``tests/stacks/iam``). A rule takes a stack and yields one
line for each fault. ``EVERYWHERE`` holds in all environments, ``PRODUCTION`` where people are served.
"""

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


def text(value: Any) -> str:
    """Return a reference within the template as a text: ``${Bucket}``, ``${Model.ModelName}``."""
    match value:
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case _:
            return str(value)


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
