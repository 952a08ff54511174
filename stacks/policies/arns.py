"""ARNs that several statements name."""

from aws_cdk import ArnFormat, Stack
from constructs import Construct


def log_group_arn(scope: Construct, name: str) -> str:
    """Return the ARN of a log group, without the streams in it."""
    return Stack.of(scope).format_arn(
        service="logs", resource="log-group", resource_name=name, arn_format=ArnFormat.COLON_RESOURCE_NAME
    )


def ec2_arn(scope: Construct, resource: str) -> str:
    """Return the ARN of an EC2 resource of this account and region, such as ``subnet/ID``."""
    return Stack.of(scope).format_arn(service="ec2", resource=resource, arn_format=ArnFormat.NO_RESOURCE_NAME)
