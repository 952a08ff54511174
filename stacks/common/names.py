"""Physical names that stacks and callers agree on, so that no stack exports anything to another."""

from aws_cdk import ArnFormat, Stack, region_info
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


def dlc_repository_uri(scope: Construct, repository: str) -> str:
    """Return the URI, without a tag, of a repository of AWS's Deep Learning Containers in the stack's region."""
    stack = Stack.of(scope)
    return f"{_dlc_account(stack)}.dkr.ecr.{stack.region}.{stack.url_suffix}/{repository}"


def dlc_repository_arn(scope: Construct, repository: str) -> str:
    """Return the ARN of a repository of AWS's Deep Learning Containers in the stack's region."""
    stack = Stack.of(scope)
    return stack.format_arn(service="ecr", account=_dlc_account(stack), resource="repository", resource_name=repository)


def _dlc_account(stack: Stack) -> str:
    # A fact, not a look-up: the account differs by region, and the template works in any of them.
    return stack.regional_fact(region_info.FactName.DLC_REPOSITORY_ACCOUNT)
