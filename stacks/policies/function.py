"""What the prediction function and who calls it for AWS may do."""

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.policies.arns import log_group_arn


def invoke_endpoint(scope: Construct, endpoint_name: str) -> iam.PolicyStatement:
    """Ask one endpoint for a prediction (SageMaker Runtime API reference, InvokeEndpoint)."""
    arn = Stack.of(scope).format_arn(service="sagemaker", resource="endpoint", resource_name=endpoint_name)
    return iam.PolicyStatement(sid="InvokeEndpoint", actions=["sagemaker:InvokeEndpoint"], resources=[arn])


def write_function_logs(scope: Construct, log_group_name: str) -> iam.PolicyStatement:
    """Write to the function's own log group, which the stack creates.

    Wildcard: Lambda names the log streams of the group.

    Source: Lambda guide, "Execution role".
    """
    return iam.PolicyStatement(
        sid="WriteFunctionLogs",
        actions=["logs:CreateLogStream", "logs:PutLogEvents"],
        resources=[f"{log_group_arn(scope, log_group_name)}:*"],
    )


def send_failures(queue_arn: str) -> iam.PolicyStatement:
    """Put failed asynchronous invocations in one queue, which Lambda does with the function's role.

    Source: Lambda guide, "Retaining records of asynchronous invocations".
    """
    return iam.PolicyStatement(sid="SendFailures", actions=["sqs:SendMessage"], resources=[queue_arn])


def use_queue_key(scope: Construct, key_arn: str) -> iam.PolicyStatement:
    """Use a customer-managed key for messages of a queue, through Amazon SQS only: what a sender needs.

    Source: SQS guide, "Key management", "Configure AWS KMS permissions"; KMS guide, ``kms:ViaService``.
    """
    stack = Stack.of(scope)
    return iam.PolicyStatement(
        sid="UseQueueKey",
        actions=["kms:Decrypt", "kms:GenerateDataKey"],
        resources=[key_arn],
        conditions={"StringEquals": {"kms:ViaService": f"sqs.{stack.region}.{stack.url_suffix}"}},
    )


def send_traces() -> iam.PolicyStatement:
    """Send the function's traces.

    Wildcard: neither action supports a resource or has a condition key that could narrow it.

    Source: Lambda guide, "Visualize Lambda function invocations using AWS X-Ray"; Service Authorization Reference,
    AWS X-Ray.
    """
    return iam.PolicyStatement(
        sid="SendTraces", actions=["xray:PutTelemetryRecords", "xray:PutTraceSegments"], resources=["*"]
    )
