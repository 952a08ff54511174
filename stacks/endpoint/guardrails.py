"""The alarms that roll an update of the endpoint back."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from stacks.common import names
from stacks.settings import Settings
from stacks.settings.deployment import ALARM_BREACHES, ALARM_PERIOD_SECONDS, ALARM_PERIODS

MICROSECONDS_PER_MILLISECOND = 1000
"""ModelLatency is in microseconds (SageMaker guide, "Amazon SageMaker AI metrics in Amazon CloudWatch")."""

SHARE = cloudwatch.Stats.AVERAGE
"""Each invocation sends 1 to an error metric or else 0 (same page), so that their average is the errors' share."""


class Guardrails(Construct):
    """Three alarms on one variant of one endpoint configuration.

    The configuration's name is a dimension, so that they see the new fleet only: the old fleet neither thins out a
    canary's errors nor, when it is itself the fault, takes back the update that mends it (SageMaker guide,
    "Auto-Rollback Configuration and Monitoring"). Minutes without traffic are no fault.

    Each configuration has alarms of its own, whose names end in its identity. An alarm that is changed keeps its state
    (CloudWatch API reference, PutMetricAlarm), so that the alarms of a bad configuration, still in ALARM, would roll
    back the update that replaces it.

    Parameters
    ----------
    identity
        A text that differs between any two configurations, and is the same for the same one.
    topic
        Notified when an alarm goes to ALARM; None for nobody.

    Attributes
    ----------
    alarms
        The three, for the deployment policy.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        variant_name: str,
        config_name: str,
        identity: str,
        topic: sns.ITopic | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._dimensions = {
            "EndpointName": settings.endpoint_name,
            "VariantName": variant_name,
            "EndpointConfigName": config_name,
        }
        # The topic lets alarms of this name's prefix publish.
        self._name = names.alarm_name(settings.environment, f"guardrail-{variant_name}")
        self._identity = identity
        self._runbook = f"{settings.monitoring.runbook_url}#guardrail"
        self._action = actions.SnsAction(topic) if topic else None
        limits = settings.endpoint.guardrails
        self.alarms = [
            self._alarm(
                "ServerErrors",
                self._metric("Invocation5XXErrors", SHARE),
                limits.server_error_percentage / 100,
                f"more than {limits.server_error_percentage:g} % of invocations end in a 5XX",
            ),
            self._alarm(
                "ModelErrors",
                # Also 4XX, broken connections, malformed answers and time-outs: a model that refuses every photo.
                self._metric("InvocationModelErrors", SHARE),
                limits.model_error_percentage / 100,
                f"more than {limits.model_error_percentage:g} % of invocations do not end in a 2XX",
            ),
            self._alarm(
                "Latency",
                self._metric("ModelLatency", "p99"),
                limits.latency_p99_milliseconds * MICROSECONDS_PER_MILLISECOND,
                f"the p99 latency of the model is above {limits.latency_p99_milliseconds} ms",
            ),
        ]

    def _metric(self, name: str, statistic: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/SageMaker",
            metric_name=name,
            dimensions_map=self._dimensions,
            statistic=statistic,
            period=Duration.seconds(ALARM_PERIOD_SECONDS),
        )

    def _alarm(self, construct_id: str, metric: cloudwatch.IMetric, threshold: float, says: str) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            f"{construct_id}{self._identity}",
            alarm_name=f"{self._name}-{construct_id}-{self._identity}",
            alarm_description=f"In the fleet of the newest configuration, {says}. If an update is in progress, "
            f"SageMaker rolls it back. Runbook: {self._runbook}",
            metric=metric,
            threshold=threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=ALARM_PERIODS,
            datapoints_to_alarm=ALARM_BREACHES,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        if self._action:
            alarm.add_alarm_action(self._action)
        return alarm
