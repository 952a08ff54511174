"""What SageMaker does with a model's execution role."""

from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.policies.arns import log_group_arn
from stacks.policies.sagemaker_logs import write_sagemaker_logs

ENDPOINTS_NAMESPACE = "/aws/sagemaker/Endpoints"
"""Namespace of the metrics that a SageMaker host publishes with the model's role, and the prefix of its log groups."""


def read_artifact(object_arn: str) -> iam.PolicyStatement:
    """Download one artifact: SageMaker reads ``ModelDataUrl`` with the model's execution role.

    Source: SageMaker guide, "SageMaker AI roles", CreateModel API.
    """
    return iam.PolicyStatement(sid="ReadArtifact", actions=["s3:GetObject"], resources=[object_arn])


def log_in_to_ecr() -> iam.PolicyStatement:
    """Get a registry token.

    Wildcard: the action supports no resource.

    Source: Service Authorization Reference, Amazon ECR.
    """
    return iam.PolicyStatement(sid="LogInToEcr", actions=["ecr:GetAuthorizationToken"], resources=["*"])


def pull_image(repository_arn: str) -> iam.PolicyStatement:
    """Pull the container of one repository (SageMaker guide, "SageMaker AI roles", CreateModel API)."""
    return iam.PolicyStatement(
        sid="PullImage",
        actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        resources=[repository_arn],
    )


def write_endpoint_logs(scope: Construct, endpoint_name: str) -> iam.PolicyStatement:
    """Write the container's output to the endpoint's own log group, which SageMaker creates.

    Wildcard: SageMaker names the log streams of the group.

    Source: SageMaker guide, "Log groups and streams that Amazon SageMaker AI sends to CloudWatch Logs".
    """
    return write_sagemaker_logs(scope, "WriteEndpointLogs", f"{ENDPOINTS_NAMESPACE}/{endpoint_name}")


def keep_endpoint_logs(scope: Construct, endpoint_name: str) -> iam.PolicyStatement:
    """Set the retention of the endpoint's own log group.

    Wildcard: CloudWatch Logs authorises the action on the group's ARN with an ending.

    Source: CloudWatch Logs API reference, PutRetentionPolicy; CloudWatch Logs guide, "Overview of managing access
    permissions".
    """
    return _on_endpoint_logs(scope, "KeepEndpointLogs", "logs:PutRetentionPolicy", endpoint_name)


def encrypt_endpoint_logs(scope: Construct, endpoint_name: str) -> iam.PolicyStatement:
    """Set the key of the endpoint's own log group.

    Wildcard: CloudWatch Logs authorises the action on the group's ARN with an ending.

    Source: CloudWatch Logs API reference, AssociateKmsKey; CloudWatch Logs guide, "Overview of managing access
    permissions".
    """
    return _on_endpoint_logs(scope, "EncryptEndpointLogs", "logs:AssociateKmsKey", endpoint_name)


def _on_endpoint_logs(scope: Construct, sid: str, action: str, endpoint_name: str) -> iam.PolicyStatement:
    group = log_group_arn(scope, f"{ENDPOINTS_NAMESPACE}/{endpoint_name}")
    return iam.PolicyStatement(sid=sid, actions=[action], resources=[group, f"{group}:*"])


def publish_instance_metrics() -> iam.PolicyStatement:
    """Publish the host's CPU, memory and disk use.

    Wildcard: the action supports no resource; the condition restricts it to SageMaker's namespace.

    Source: Service Authorization Reference, Amazon CloudWatch (``cloudwatch:namespace``).
    """
    return iam.PolicyStatement(
        sid="PublishInstanceMetrics",
        actions=["cloudwatch:PutMetricData"],
        resources=["*"],
        conditions={"StringEquals": {"cloudwatch:namespace": ENDPOINTS_NAMESPACE}},
    )


def write_capture(bucket_arn: str) -> iam.PolicyStatement:
    """Store captured requests, which SageMaker does with the model's role.

    Wildcard: SageMaker names the objects that hold captured requests.

    Source: SageMaker guide, "Capture data from real-time endpoint".
    """
    return iam.PolicyStatement(sid="WriteCapture", actions=["s3:PutObject"], resources=[f"{bucket_arn}/capture/*"])


def read_alarms(alarm_arns: list[str]) -> iam.PolicyStatement:
    """Look at the alarms that take an update back; SageMaker does so with the execution role.

    Source: SageMaker guide, "Auto-Rollback Configuration and Monitoring".
    """
    return iam.PolicyStatement(sid="ReadAlarms", actions=["cloudwatch:DescribeAlarms"], resources=alarm_arns)
