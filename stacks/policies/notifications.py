"""Who may publish to the topic of alarms."""

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.common.names import alarm_arns, alarm_topic_arn, state_rule_name


def tell_of_alarms(scope: Construct, environment: str) -> iam.PolicyStatement:
    """Let CloudWatch publish to the alarm topic, for this environment's alarms only.

    Wildcard: all alarms of the environment notify people, and their names begin alike.

    Source: CloudWatch guide, "Notifying users on alarm changes" (topic policy with ``aws:SourceArn``).
    """
    return iam.PolicyStatement(
        sid="TellOfAlarms",
        principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
        actions=["sns:Publish"],
        resources=[alarm_topic_arn(scope, environment)],
        conditions={
            "StringEquals": {"aws:SourceAccount": Stack.of(scope).account},
            "ArnLike": {"aws:SourceArn": alarm_arns(scope, environment)},
        },
    )


def tell_of_state(scope: Construct, environment: str) -> iam.PolicyStatement:
    """Let the rule on the endpoint's state, and no other, publish to the alarm topic.

    Sources: EventBridge guide, "Using resource-based policies" (Amazon SNS permissions) and "Using IAM policy
    conditions" (``aws:SourceArn`` is the rule's).
    """
    stack = Stack.of(scope)
    rule = stack.format_arn(service="events", resource="rule", resource_name=state_rule_name(environment))
    return iam.PolicyStatement(
        sid="TellOfState",
        principals=[iam.ServicePrincipal("events.amazonaws.com")],
        actions=["sns:Publish"],
        resources=[alarm_topic_arn(scope, environment)],
        conditions={"StringEquals": {"aws:SourceAccount": stack.account}, "ArnEquals": {"aws:SourceArn": rule}},
    )


def tell_of_budget(scope: Construct, environment: str) -> iam.PolicyStatement:
    """Let this account's budgets publish to the alarm topic.

    Wildcard: CloudFormation names the budget.

    Source: Cost Management guide, "Creating an Amazon SNS topic for budget notifications" and "Cross-service confused
    deputy prevention" (the value of ``aws:SourceArn``).
    """
    stack = Stack.of(scope)
    budgets = stack.format_arn(service="budgets", region="", resource="budget", resource_name="*")
    return iam.PolicyStatement(
        sid="TellOfBudget",
        principals=[iam.ServicePrincipal("budgets.amazonaws.com")],
        actions=["sns:Publish"],
        resources=[alarm_topic_arn(scope, environment)],
        conditions={
            "StringEquals": {"aws:SourceAccount": stack.account},
            "ArnLike": {"aws:SourceArn": budgets},
        },
    )
