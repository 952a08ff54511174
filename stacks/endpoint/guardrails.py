"""The alarms that take an update of the endpoint back."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from stacks.settings.deployment import ALARM_BREACHES, ALARM_PERIOD_SECONDS, ALARM_PERIODS, GuardrailSettings

MICROSECONDS_PER_MILLISECOND = 1000
"""ModelLatency is in microseconds (SageMaker guide, "Amazon SageMaker AI metrics in Amazon CloudWatch")."""

SHARE = cloudwatch.Stats.AVERAGE
"""Each invocation sends 1 to an error metric or else 0 (same page), so that their average is the errors' share."""


class Guardrails(Construct):
    """Three alarms on one variant of one endpoint configuration.

    The configuration's name is a dimension, so that they see the new fleet only: the old fleet neither thins out a
    canary's errors nor, when it is itself the fault, takes back the update that mends it (SageMaker guide,
    "Auto-Rollback Configuration and Monitoring"). Minutes without traffic are no fault.

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
        settings: GuardrailSettings,
        endpoint_name: str,
        variant_name: str,
        config_name: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self._dimensions = {
            "EndpointName": endpoint_name,
            "VariantName": variant_name,
            "EndpointConfigName": config_name,
        }
        self.alarms = [
            self._alarm(
                "ServerErrors",
                self._metric("Invocation5XXErrors", SHARE),
                settings.server_error_percentage / 100,
                f"more than {settings.server_error_percentage:g} % of invocations end in a 5XX",
            ),
            self._alarm(
                "ModelErrors",
                # Also 4XX, broken connections, malformed answers and time-outs: a model that refuses every photo.
                self._metric("InvocationModelErrors", SHARE),
                settings.model_error_percentage / 100,
                f"more than {settings.model_error_percentage:g} % of invocations end in anything but a 2XX",
            ),
            self._alarm(
                "Latency",
                self._metric("ModelLatency", "p99"),
                settings.latency_p99_milliseconds * MICROSECONDS_PER_MILLISECOND,
                f"one invocation in a hundred takes the model more than {settings.latency_p99_milliseconds} ms",
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
        return cloudwatch.Alarm(
            self,
            construct_id,
            alarm_description=f"The endpoint's new fleet: {says}; an update in progress is rolled back.",
            metric=metric,
            threshold=threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=ALARM_PERIODS,
            datapoints_to_alarm=ALARM_BREACHES,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
