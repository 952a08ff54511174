"""Who may assume a role."""

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct


def scheduler_principal(scope: Construct) -> iam.ServicePrincipal:
    """Let EventBridge Scheduler assume a role, for schedules of this account's default group only.

    Source: EventBridge Scheduler guide, "Confused deputy prevention" (``aws:SourceArn`` is the group's).
    """
    stack = Stack.of(scope)
    group = stack.format_arn(service="scheduler", resource="schedule-group", resource_name="default")
    return iam.ServicePrincipal(
        "scheduler.amazonaws.com",
        conditions={"StringEquals": {"aws:SourceAccount": stack.account, "aws:SourceArn": group}},
    )


def sagemaker_principal(scope: Construct) -> iam.ServicePrincipal:
    """Let SageMaker assume a role, for this account's and region's resources only.

    Wildcard: SageMaker says not to name a model or an endpoint here.

    Source: SageMaker guide, "Cross-service confused deputy prevention".
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
