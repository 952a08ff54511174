"""What the notebook instance may do."""

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.policies.sagemaker_logs import write_sagemaker_logs


def write_notebook_logs(scope: Construct) -> iam.PolicyStatement:
    """Write the notebook's Jupyter and lifecycle logs to the group that SageMaker creates.

    Wildcard: SageMaker names the log streams of the group.

    Source: SageMaker guide, "Log groups and streams that Amazon SageMaker AI sends to CloudWatch Logs".
    """
    return write_sagemaker_logs(scope, "WriteNotebookLogs", "/aws/sagemaker/NotebookInstances")


def stop_notebook(scope: Construct, name: str) -> iam.PolicyStatement:
    """Let the notebook stop itself when idle, and nothing else (SageMaker API reference, StopNotebookInstance)."""
    arn = Stack.of(scope).format_arn(service="sagemaker", resource="notebook-instance", resource_name=name)
    return iam.PolicyStatement(sid="StopItself", actions=["sagemaker:StopNotebookInstance"], resources=[arn])
