"""The alarms that tell people, each with its section of the runbook.

They watch everything that answers, for as long as it does. The guardrails, part of the EndpointStack, watch the new
fleet of an update and roll it back without asking anybody.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from stacks.common.names import alarm_name, failure_queue_name
from stacks.monitoring.metrics import (
    FIVE_MINUTES,
    MINUTE,
    FunctionMetrics,
    VariantMetrics,
    http_api_metric,
    queue_depth,
)
from stacks.settings import Settings
from stacks.settings.monitoring import MINUTES

ABOVE = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
AT_LEAST = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
BELOW = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD

HTTP_API = (HTTP_API_ERRORS, HTTP_API_REFUSALS, HTTP_API_LATENCY) = (
    "http-api-errors",
    "http-api-refusals",
    "http-api-latency",
)
"""The alarms on the HTTP API; the dashboard, in another stack, finds them by these names."""


@dataclass(frozen=True)
class Watch:
    """A condition that needs a person.

    Attributes
    ----------
    runbook
        The anchor of its section in ``docs/runbook.md``. The alarm's name is the anchor and the variant, if any.
    summary
        A sentence that says what is wrong, without its full stop.
    points, of
        How many of the last periods must breach.
    silence
        What a period without data means; by default, that nothing is wrong.
    """

    runbook: str
    summary: str
    metric: cloudwatch.IMetric
    comparison: cloudwatch.ComparisonOperator
    threshold: float
    points: int
    of: int
    variant: str = ""
    silence: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING


class Alarms(Construct):
    """An alarm for each condition. Each notifies one topic when it begins and when it ends."""

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, watches: Iterable[Watch], topic: sns.ITopic
    ) -> None:
        super().__init__(scope, construct_id)
        action = actions.SnsAction(topic)
        self.alarms = []
        for watch in watches:
            name = "-".join(filter(None, (watch.runbook, watch.variant)))
            alarm = cloudwatch.Alarm(
                self,
                name,
                # The topic lets alarms of this name's prefix in; people know an alarm by it.
                alarm_name=alarm_name(settings.environment, name),
                alarm_description=f"{watch.summary}. Runbook: {settings.monitoring.runbook_url}#{watch.runbook}",
                metric=watch.metric,
                comparison_operator=watch.comparison,
                threshold=watch.threshold,
                evaluation_periods=watch.of,
                datapoints_to_alarm=watch.points,
                treat_missing_data=watch.silence,
            )
            alarm.add_alarm_action(action)
            alarm.add_ok_action(action)
            self.alarms.append(alarm)


def watches(settings: Settings, variants: Sequence[VariantMetrics], function: FunctionMetrics) -> Iterator[Watch]:
    """Yield the conditions of the endpoint and the function.

    Parameters
    ----------
    variants
        The metrics of the production variants, in the order of the settings.
    """
    for metrics, variant in zip(variants, settings.endpoint.production_variants, strict=True):
        name = variant.name if len(variants) > 1 else ""
        yield from _of_variant(settings, metrics, name)
        if settings.monitoring.minutes_without_traffic and variant.weight:
            yield _silence(settings.monitoring.minutes_without_traffic, metrics, name)
    yield from _of_function(settings, function)


def _of_variant(settings: Settings, metrics: VariantMetrics, variant: str) -> Iterator[Watch]:
    limits, scaling = settings.monitoring, settings.endpoint.scaling
    yield Watch(
        "endpoint-errors",
        f"The endpoint answers more than {limits.endpoint_error_percentage:g} % of the requests with 5xx",
        # The metric is 0 or 1 for each request, so its average is the share that failed.
        metrics.request("Invocation5XXErrors", "Average", FIVE_MINUTES),
        ABOVE,
        limits.endpoint_error_percentage / 100,
        points=2,
        of=3,
        variant=variant,
    )
    yield Watch(
        "endpoint-latency",
        f"The p99 latency of the model is above {limits.endpoint_latency_p99_milliseconds} ms",
        metrics.request("ModelLatency", "p99", FIVE_MINUTES),
        ABOVE,
        limits.endpoint_latency_p99_milliseconds * 1000,  # microseconds
        points=3,
        of=3,
        variant=variant,
    )
    can_scale = settings.endpoint.scales and scaling.maximum_instances > scaling.minimum_instances
    if limits.minutes_at_maximum and can_scale:
        yield Watch(
            "endpoint-at-maximum",
            f"All {scaling.maximum_instances} instances that scaling allows have been in use for "
            f"{limits.minutes_at_maximum} minutes",
            metrics.instances(FIVE_MINUTES),
            ABOVE,
            # The count is a quotient of sums over a window in which it may change; half an instance of tolerance.
            scaling.maximum_instances - 0.5,
            points=limits.minutes_at_maximum // MINUTES,
            of=limits.minutes_at_maximum // MINUTES,
            variant=variant,
        )


def _silence(minutes: int, metrics: VariantMetrics, variant: str) -> Watch:
    return Watch(
        "no-traffic",
        f"No request has reached the endpoint for {minutes} minutes",
        metrics.request("Invocations", "Sum", FIVE_MINUTES),
        BELOW,
        1,
        points=minutes // MINUTES,
        of=minutes // MINUTES,
        variant=variant,
        # SageMaker publishes nothing where nothing is invoked.
        silence=cloudwatch.TreatMissingData.BREACHING,
    )


def _of_function(settings: Settings, metrics: FunctionMetrics) -> Iterator[Watch]:
    limits, api = settings.monitoring, settings.api
    yield _count(
        "function-errors",
        f"The function had {limits.function_errors} or more crashes and timeouts in five minutes",
        metrics.of_function("Errors", "Sum", FIVE_MINUTES),
        limits.function_errors,
    )
    yield _count(
        "function-throttles",
        f"Lambda throttled {limits.function_throttles} or more invocations in five minutes",
        metrics.of_function("Throttles", "Sum", FIVE_MINUTES),
        limits.function_throttles,
    )
    yield _count(
        "failed-events",
        "Asynchronous invocations have failed and are in the failure queue",
        queue_depth(failure_queue_name(settings.environment)),
        1,
    )
    slow = round(limits.function_duration_percentage / 100 * api.timeout_seconds * 1000)
    yield Watch(
        "function-near-timeout",
        f"The p99 duration of the function is above {slow} ms, and its timeout is {api.timeout_seconds} s",
        metrics.of_function("Duration", "p99", MINUTE),
        ABOVE,
        slow,
        points=3,
        of=5,
    )
    if api.provisioned_concurrency:
        yield _count(
            "function-spillover",
            f"{limits.function_spillovers} or more invocations found no provisioned environment in five minutes",
            metrics.of_alias("ProvisionedConcurrencySpilloverInvocations", "Sum", FIVE_MINUTES),
            limits.function_spillovers,
        )
    if api.function_url:
        yield _count(
            "url-errors",
            f"The function URL answered {limits.url_errors} or more requests with 5xx in five minutes",
            metrics.of_alias("Url5xxCount", "Sum", FIVE_MINUTES),
            limits.url_errors,
        )


def http_api_watches(settings: Settings, api_id: str) -> Iterator[Watch]:
    """Yield the conditions of the HTTP API. Only its stack can name its metrics, which have its id as a dimension."""
    limits = settings.monitoring
    yield _count(
        HTTP_API_ERRORS,
        f"The HTTP API answered {limits.http_api_errors} or more requests with 5xx in five minutes",
        http_api_metric(api_id, "5xx", "Sum", FIVE_MINUTES),
        limits.http_api_errors,
    )
    yield _count(
        HTTP_API_REFUSALS,
        f"The HTTP API answered {limits.http_api_refusals} or more requests with 4xx in five minutes",
        http_api_metric(api_id, "4xx", "Sum", FIVE_MINUTES),
        limits.http_api_refusals,
    )
    yield Watch(
        HTTP_API_LATENCY,
        f"The p99 latency of the HTTP API is above {limits.http_api_latency_p99_milliseconds} ms",
        http_api_metric(api_id, "Latency", "p99", FIVE_MINUTES),
        ABOVE,
        limits.http_api_latency_p99_milliseconds,
        points=3,
        of=3,
    )


def _count(runbook: str, summary: str, metric: cloudwatch.IMetric, threshold: int) -> Watch:
    return Watch(runbook, summary, metric, AT_LEAST, threshold, points=1, of=1)
