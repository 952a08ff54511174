"""Physical names that stacks and callers agree on, so that no stack exports anything to another."""

from aws_cdk import ArnFormat, Stack
from constructs import Construct

ALIAS = "live"
"""The alias of the function that callers ask."""


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


def state_rule_name(environment: str) -> str:
    """Return the name of the rule on the endpoint's state, which the alarm topic lets in."""
    return f"kennel-{environment}-endpoint-state"


def failure_queue_name(environment: str) -> str:
    """Return the name of the queue that keeps the asynchronous invocations that failed."""
    return f"kennel-{environment}-failures"


def alarm_name(environment: str, name: str) -> str:
    """Return the name of an alarm, by which people know it and the topic lets it in."""
    return f"kennel-{environment}-{name}"


def alarm_arn(scope: Construct, environment: str, name: str) -> str:
    """Return the ARN of an alarm."""
    return Stack.of(scope).format_arn(
        service="cloudwatch",
        resource="alarm",
        resource_name=alarm_name(environment, name),
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )


def alarm_arns(scope: Construct, environment: str) -> str:
    """Return the ARN pattern of an environment's alarms, all of which are named ``kennel-<environment>-...``."""
    return Stack.of(scope).format_arn(
        service="cloudwatch",
        resource="alarm",
        resource_name=f"kennel-{environment}-*",
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )


DATA, MODELS, TRAINING, CAPTURE = "data/", "models/", "training/", "capture/"
"""The bucket's prefixes: photos; finished artifacts; code and output of training; captured requests."""

CHECKPOINTS = f"{TRAINING}checkpoints/"
"""Where training keeps what it resumes from; the only part of ``training/`` that expires."""


def training_log_group(environment: str) -> str:
    """Return the log group that the EC2 instances of training write to."""
    return f"/kennel/{environment}/training"


def notebook_name(environment: str) -> str:
    """Return the name of the workbench notebook, which its own role must know to stop it."""
    return f"kennel-{environment}-workbench"
