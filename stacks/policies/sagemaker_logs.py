"""The log groups that SageMaker creates by itself."""

from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.policies.arns import log_group_arn


def write_sagemaker_logs(scope: Construct, sid: str, log_group_name: str) -> iam.PolicyStatement:
    """Write to a log group that SageMaker makes, in its account-wide name space."""
    group = log_group_arn(scope, log_group_name)
    return iam.PolicyStatement(
        sid=sid,
        actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
        resources=[group, f"{group}:*"],
    )
