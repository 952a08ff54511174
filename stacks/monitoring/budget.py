"""The monthly budget of one environment."""

from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_sns as sns
from constructs import Construct

from stacks.common.every_stack import deployment_tag
from stacks.settings import Settings

Notification = budgets.CfnBudget.NotificationWithSubscribersProperty


class Budget(Construct):
    """A budget of what carries the environment's tag, which tells the topic at some percentages of it.

    The tag must be activated once as a cost allocation tag (``docs/runbook.md``, "budget"); until then the budget
    sees nothing. Filter: Cost Management API reference, Budget, CostFilters, ``user:KEY$VALUE``.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, topic: sns.ITopic) -> None:
        super().__init__(scope, construct_id)
        key, value = deployment_tag(settings.environment)
        monitoring = settings.monitoring
        budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=monitoring.monthly_budget_usd, unit="USD"),
                cost_filters={"TagKeyValue": [f"user:{key}${value}"]},
            ),
            notifications_with_subscribers=[
                *(_notification("ACTUAL", percent, topic) for percent in monitoring.budget_percentages),
                _notification("FORECASTED", 100, topic),
            ],
        )


def _notification(kind: str, percent: int, topic: sns.ITopic) -> Notification:
    return Notification(
        notification=budgets.CfnBudget.NotificationProperty(
            notification_type=kind,
            comparison_operator="GREATER_THAN",
            threshold=percent,
            threshold_type="PERCENTAGE",
        ),
        subscribers=[budgets.CfnBudget.SubscriberProperty(subscription_type="SNS", address=topic.topic_arn)],
    )
