"""MonitoringStack: what people see of the endpoint and the function, and what tells them of trouble."""

from typing import Any

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from stacks import policies
from stacks.common import names
from stacks.monitoring.alarms import Alarms, watches
from stacks.monitoring.budget import Budget
from stacks.monitoring.dashboard import Dashboard
from stacks.monitoring.metrics import FunctionMetrics, VariantMetrics
from stacks.settings import Settings


class MonitoringStack(Stack):
    """A topic, alarms that publish to it, a dashboard, and a monthly budget.

    It finds the endpoint and the function by their names, so it can be deployed before, after or without them.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        monitoring = settings.monitoring
        variants = [
            VariantMetrics(settings.endpoint_name, variant.name) for variant in settings.endpoint.production_variants
        ]
        function = FunctionMetrics(settings.function_name, names.ALIAS)
        topic = self._topic(settings)
        policy = self._let_in(topic, settings)
        alarms = []
        if monitoring.alarms:
            made = Alarms(self, "Alarms", settings=settings, watches=watches(settings, variants, function), topic=topic)
            alarms = made.alarms
        if monitoring.dashboard:
            shown = Dashboard(self, "Dashboard", settings=settings, variants=variants, function=function, alarms=alarms)
            CfnOutput(self, "DashboardName", value=shown.dashboard.dashboard_name)
        if monitoring.monthly_budget_usd:
            budget = Budget(self, "Budget", settings=settings, topic=topic)
            # What lets the budget publish comes first.
            budget.node.add_dependency(policy)
        CfnOutput(self, "AlarmTopicArn", value=topic.topic_arn)

    def _topic(self, settings: Settings) -> sns.Topic:
        """Make the topic, and subscribe people to it.

        SNS encrypts messages in any case. A customer-managed key is a setting. The AWS-managed key
        ``alias/aws/sns`` is not an option: its policy cannot admit CloudWatch, and the alarms would be lost
        silently (SNS guide, "Enable compatibility between event sources from AWS services and encrypted topics").
        """
        key = settings.monitoring.topic_kms_key_arn
        topic = sns.Topic(
            self,
            "Topic",
            topic_name=names.alarm_topic_name(settings.environment),
            display_name=f"Kennel {settings.environment}",
            master_key=kms.Key.from_key_arn(self, "Key", key) if key else None,
        )
        for email in settings.monitoring.emails:
            topic.add_subscription(subscriptions.EmailSubscription(email))
        return topic

    def _let_in(self, topic: sns.Topic, settings: Settings) -> sns.TopicPolicy:
        """Say who may publish, over TLS only; people of the account need IAM permissions as for anything else."""
        statements = []
        if settings.monitoring.alarms:
            statements.append(policies.tell_of_alarms(self, settings.environment))
            statements.append(policies.tell_of_state(self, settings.environment))
        if settings.monitoring.monthly_budget_usd:
            statements.append(policies.tell_of_budget(self, settings.environment))
        document = iam.PolicyDocument(statements=statements)
        return sns.TopicPolicy(self, "TopicPolicy", topics=[topic], policy_document=document, enforce_ssl=True)
