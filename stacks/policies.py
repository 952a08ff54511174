"""Every IAM statement of the stacks, written by hand: one function each, with what needs it and the source.

Where a statement names a resource by ``*``, its docstring says why no narrower resource exists.
"""

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

METRICS_NAMESPACE = "/aws/sagemaker/Endpoints"
"""Namespace of the instance metrics that a SageMaker host publishes with the model's role."""


def sagemaker_principal(scope: Construct) -> iam.ServicePrincipal:
    """Let SageMaker assume a role, for this account's and region's resources only.

    The wildcard after the account is AWS's own: SageMaker says not to name a model or an endpoint here
    (SageMaker guide, "Cross-service confused deputy prevention").
    """
    stack = Stack.of(scope)
    source = stack.format_arn(service="sagemaker", resource="*", arn_format=ArnFormat.NO_RESOURCE_NAME)
    return iam.ServicePrincipal(
        "sagemaker.amazonaws.com",
        conditions={
            "StringEquals": {"aws:SourceAccount": stack.account},
            "ArnLike": {"aws:SourceArn": source},
        },
    )


def read_artifact(object_arn: str) -> iam.PolicyStatement:
    """Download one artifact: SageMaker reads ``ModelDataUrl`` with the model's execution role.

    Source: SageMaker guide, "SageMaker AI roles", CreateModel API.
    """
    return iam.PolicyStatement(sid="ReadArtifact", actions=["s3:GetObject"], resources=[object_arn])


def log_in_to_ecr() -> iam.PolicyStatement:
    """Get a registry token; the action supports no resource (Service Authorization Reference, Amazon ECR)."""
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

    Source: SageMaker guide, "Log groups and streams that Amazon SageMaker AI sends to CloudWatch Logs".
    """
    group = _log_group_arn(scope, f"/aws/sagemaker/Endpoints/{endpoint_name}")
    return iam.PolicyStatement(
        sid="WriteEndpointLogs",
        actions=[
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:DescribeLogStreams",
            "logs:PutLogEvents",
        ],
        resources=[group, f"{group}:*"],
    )


def publish_instance_metrics() -> iam.PolicyStatement:
    """Publish the host's CPU, memory and disk use; only the namespace can narrow the action.

    Source: Service Authorization Reference, Amazon CloudWatch (``cloudwatch:namespace``).
    """
    return iam.PolicyStatement(
        sid="PublishInstanceMetrics",
        actions=["cloudwatch:PutMetricData"],
        resources=["*"],
        conditions={"StringEquals": {"cloudwatch:namespace": METRICS_NAMESPACE}},
    )


def invoke_endpoint(scope: Construct, endpoint_name: str) -> iam.PolicyStatement:
    """Ask one endpoint for a prediction (SageMaker Runtime API reference, InvokeEndpoint)."""
    arn = Stack.of(scope).format_arn(service="sagemaker", resource="endpoint", resource_name=endpoint_name)
    return iam.PolicyStatement(sid="InvokeEndpoint", actions=["sagemaker:InvokeEndpoint"], resources=[arn])


def write_function_logs(scope: Construct, log_group_name: str) -> iam.PolicyStatement:
    """Write to the function's own log group, which the stack creates (Lambda guide, "Execution role")."""
    return iam.PolicyStatement(
        sid="WriteFunctionLogs",
        actions=["logs:CreateLogStream", "logs:PutLogEvents"],
        resources=[f"{_log_group_arn(scope, log_group_name)}:*"],
    )


def _log_group_arn(scope: Construct, name: str) -> str:
    return Stack.of(scope).format_arn(
        service="logs", resource="log-group", resource_name=name, arn_format=ArnFormat.COLON_RESOURCE_NAME
    )


def send_failures(queue_arn: str) -> iam.PolicyStatement:
    """Put failed asynchronous invocations in one queue, which Lambda does with the function's role.

    Source: Lambda guide, "Retaining records of asynchronous invocations".
    """
    return iam.PolicyStatement(sid="SendFailures", actions=["sqs:SendMessage"], resources=[queue_arn])


def send_traces() -> iam.PolicyStatement:
    """Send the function's traces; neither action supports a resource or has a condition key that could narrow it.

    Source: Lambda guide, "Visualize Lambda function invocations using AWS X-Ray"; Service Authorization Reference,
    AWS X-Ray.
    """
    return iam.PolicyStatement(
        sid="SendTraces", actions=["xray:PutTelemetryRecords", "xray:PutTraceSegments"], resources=["*"]
    )
