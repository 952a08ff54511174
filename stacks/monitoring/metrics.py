"""The metrics that AWS publishes for the endpoint and the function, found by their names.

Names, units and dimensions: SageMaker guide, "Metrics for monitoring Amazon SageMaker AI with CloudWatch"; Lambda
guide, "Types of metrics for Lambda functions" and "Monitoring Lambda function URLs".

The methods take CloudWatch's names of a metric and a statistic (``Sum``, ``p99``), the period of one data point, and a
label. A label is for graphs only: the CDK writes an alarm on a labelled metric as metric math.
"""

from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

MINUTE = Duration.minutes(1)
FIVE_MINUTES = Duration.minutes(5)


@dataclass(frozen=True)
class VariantMetrics:
    """What one variant of the endpoint publishes; latencies are in microseconds."""

    endpoint_name: str
    variant_name: str

    def request(self, name: str, statistic: str, period: Duration = MINUTE, label: str = "") -> cloudwatch.Metric:
        """Return a metric of the requests, such as ``Invocations`` or ``ModelLatency``."""
        return self._metric("AWS/SageMaker", name, statistic, period, label)

    def host(self, name: str, statistic: str, period: Duration = MINUTE, label: str = "") -> cloudwatch.Metric:
        """Return a metric of the instances, such as ``CPUUtilization`` (percent, 100 for each processor)."""
        return self._metric("/aws/sagemaker/Endpoints", name, statistic, period, label)

    def milliseconds(self, name: str, statistic: str, label: str) -> cloudwatch.MathExpression:
        """Return a latency in milliseconds, which SageMaker publishes in microseconds."""
        latency = self._id(name, statistic)
        return cloudwatch.MathExpression(
            expression=f"{latency} / 1000",
            using_metrics={latency: self.request(name, statistic)},
            period=MINUTE,
            label=label,
        )

    def instances(self, period: Duration = MINUTE) -> cloudwatch.MathExpression:
        """Return how many instances share the requests.

        SageMaker publishes no count of them. Each request adds ``1 / instances`` to ``InvocationsPerInstance``
        (SageMaker guide), so the sum of requests over the sum of shares is their number; no traffic gives no data.
        """
        requests, share = self._id("requests"), self._id("share")
        return cloudwatch.MathExpression(
            expression=f"{requests} / {share}",
            using_metrics={
                requests: self.request("Invocations", "Sum", period),
                share: self.request("InvocationsPerInstance", "Sum", period),
            },
            period=period,
            label=f"{self.variant_name} instances",
        )

    def _id(self, *parts: str) -> str:
        """Name a metric inside an expression, uniquely in a graph of all variants."""
        return "_".join(("m", *parts, self.variant_name.replace("-", "_")))

    def _metric(self, namespace: str, name: str, statistic: str, period: Duration, label: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=namespace,
            metric_name=name,
            statistic=statistic,
            period=period,
            label=label or None,
            dimensions_map={"EndpointName": self.endpoint_name, "VariantName": self.variant_name},
        )


@dataclass(frozen=True)
class FunctionMetrics:
    """What the function publishes, and its alias; durations are in milliseconds."""

    function_name: str
    alias_name: str

    def of_function(self, name: str, statistic: str, period: Duration = MINUTE, label: str = "") -> cloudwatch.Metric:
        """Return a metric over all versions, such as ``Errors``."""
        return self._metric(name, statistic, period, label, {})

    def of_alias(self, name: str, statistic: str, period: Duration = MINUTE, label: str = "") -> cloudwatch.Metric:
        """Return a metric of the alias, on which provisioned concurrency and the URL are."""
        return self._metric(name, statistic, period, label, {"Resource": f"{self.function_name}:{self.alias_name}"})

    def _metric(
        self, name: str, statistic: str, period: Duration, label: str, dimensions: dict[str, str]
    ) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/Lambda",
            metric_name=name,
            statistic=statistic,
            period=period,
            label=label or None,
            dimensions_map={"FunctionName": self.function_name, **dimensions},
        )


def http_api_metric(api_id: str, name: str, statistic: str, period: Duration = MINUTE) -> cloudwatch.Metric:
    """Return a metric of an HTTP API, such as ``5xx`` (requests) or ``Latency`` (milliseconds).

    Source: API Gateway guide, "Working with metrics for HTTP APIs": they have the API's id, and no name.
    """
    return cloudwatch.Metric(
        namespace="AWS/ApiGateway",
        metric_name=name,
        statistic=statistic,
        period=period,
        dimensions_map={"ApiId": api_id},
    )


def queue_depth(queue_name: str) -> cloudwatch.Metric:
    """Return how many messages wait in a queue (SQS guide, "Available CloudWatch metrics")."""
    return cloudwatch.Metric(
        namespace="AWS/SQS",
        metric_name="ApproximateNumberOfMessagesVisible",
        statistic="Maximum",
        period=FIVE_MINUTES,
        dimensions_map={"QueueName": queue_name},
    )


def log_bytes(log_group_name: str) -> cloudwatch.Metric:
    """Return how many bytes a log group took in, which is what its ingestion costs by."""
    return cloudwatch.Metric(
        namespace="AWS/Logs",
        metric_name="IncomingBytes",
        statistic="Sum",
        period=FIVE_MINUTES,
        dimensions_map={"LogGroupName": log_group_name},
    )
