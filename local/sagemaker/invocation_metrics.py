"""What invocations leave behind: CloudWatch metrics, and the counts that the scaling policies follow."""

import logging
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from local.core.metric_data import split_into_calls

log = logging.getLogger(__name__)

DIMENSIONS = ("EndpointName", "VariantName", "EndpointConfigName")


@dataclass(frozen=True)
class Invocation:
    """One answered request.

    Parameters
    ----------
    config
        The endpoint configuration of the fleet that answered.
    status
        What the model answered, 0 for nothing in time.
    model_microseconds, overhead_microseconds
        Time in the model's server, and around it.
    instances
        How many instances served the variant at the time.
    """

    endpoint: str
    variant: str
    config: str
    status: int
    model_microseconds: float
    overhead_microseconds: float
    instances: int


class InvocationMetrics:
    """Collects invocations; publishes them to ``AWS/SageMaker``.

    Names and units: SageMaker guide, "Endpoint invocation metrics".
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unpublished: list[Invocation] = []
        self._per_instance: Counter[tuple[str, str]] = Counter()

    def record(self, invocation: Invocation) -> None:
        """Count an invocation."""
        with self._lock:
            self._unpublished.append(invocation)
            self._per_instance[invocation.endpoint, invocation.variant] += 1 / invocation.instances  # type: ignore[assignment]

    def take_per_instance(self) -> dict[tuple[str, str], float]:
        """Return invocations per instance by (endpoint, variant) since the last call, and count anew."""
        with self._lock:
            taken, self._per_instance = self._per_instance, Counter()
        return dict(taken)

    def publish_forever(self, cloudwatch: Any, seconds: float, stop: threading.Event) -> None:
        """Publish every `seconds` until `stop` is set."""
        while not stop.wait(seconds):
            with self._lock:
                batch, self._unpublished = self._unpublished, []
            data = build_metric_data(batch, time.time())
            try:
                for part in split_into_calls(data):
                    cloudwatch.put_metric_data(Namespace="AWS/SageMaker", MetricData=part)
            except Exception:
                log.exception("could not publish %d metric data", len(data))


def build_metric_data(invocations: list[Invocation], timestamp: float) -> list[dict[str, Any]]:
    """Return the ``MetricData`` of some invocations, equal values of a metric gathered into one count.

    Each is published twice: by endpoint and variant, and by these and the configuration, which sets the fleets of a
    blue/green update apart (SageMaker guide, "Auto-Rollback Configuration and Monitoring").

    Parameters
    ----------
    timestamp
        Of all of them, in seconds since 1970.
    """
    values: dict[tuple[tuple[str, ...], str, str], Counter[float]] = defaultdict(Counter)
    for call in invocations:
        measured = (
            ("Invocations", 1.0, "None"),
            ("InvocationsPerInstance", 1 / call.instances, "None"),
            ("ModelLatency", call.model_microseconds, "Microseconds"),
            ("OverheadLatency", call.overhead_microseconds, "Microseconds"),
            ("Invocation4XXErrors", float(400 <= call.status < 500), "None"),
            ("Invocation5XXErrors", float(call.status >= 500 or call.status == 0), "None"),
            ("InvocationModelErrors", float(not 200 <= call.status < 300), "None"),
        )
        for name, value, unit in measured:
            for dimensions in ((call.endpoint, call.variant), (call.endpoint, call.variant, call.config)):
                values[dimensions, name, unit][value] += 1
    return [
        {
            "MetricName": name,
            "Dimensions": [{"Name": kind, "Value": value} for kind, value in zip(DIMENSIONS, dimensions, strict=False)],
            "Timestamp": timestamp,
            "Values": list(counts),
            "Counts": [float(count) for count in counts.values()],
            "Unit": unit,
        }
        for (dimensions, name, unit), counts in values.items()
    ]
