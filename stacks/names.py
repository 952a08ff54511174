"""Physical names that stacks and callers agree on, so that no stack exports anything to another."""

from aws_cdk import ArnFormat, Stack
from constructs import Construct


def bucket_name(scope: Construct, environment: str) -> str:
    """Return the bucket's name: unique in the world by account and region."""
    stack = Stack.of(scope)
    return f"kennel-{environment}-{stack.account}-{stack.region}"


def bucket_arn(scope: Construct, environment: str) -> str:
    """Return the ARN of the bucket."""
    name = bucket_name(scope, environment)
    return Stack.of(scope).format_arn(
        service="s3", region="", account="", resource=name, arn_format=ArnFormat.NO_RESOURCE_NAME
    )


def alarm_topic_name(environment: str) -> str:
    """Return the name of the SNS topic that tells people of alarms."""
    return f"kennel-{environment}-alarms"


def alarm_topic_arn(scope: Construct, environment: str) -> str:
    """Return the ARN of that topic."""
    return Stack.of(scope).format_arn(
        service="sns", resource=alarm_topic_name(environment), arn_format=ArnFormat.NO_RESOURCE_NAME
    )


def failure_queue_name(environment: str) -> str:
    """Return the name of the queue that keeps the asynchronous invocations that failed."""
    return f"kennel-{environment}-failures"
