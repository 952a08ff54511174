"""A training job's metrics: what its regular expressions find in its log."""

import logging
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from local.core.aws_errors import CALL_FAILED
from local.core.metric_data import split_into_calls
from local.sagemaker.training.host import LOG_GROUP

log = logging.getLogger(__name__)

NAMESPACE = LOG_GROUP
"""CloudWatch's namespace of training jobs is spelled like their log group."""


class JobMetrics:
    """The last value of every metric, and those that CloudWatch has not seen.

    Parameters
    ----------
    definitions
        ``AlgorithmSpecification.MetricDefinitions``; the first group of a regular expression is the value.
    """

    def __init__(self, definitions: Iterable[Mapping[str, str]]) -> None:
        self._patterns = [(definition["Name"], re.compile(definition["Regex"])) for definition in definitions]
        self._final: dict[str, dict[str, Any]] = {}
        self._new: list[dict[str, Any]] = []

    @property
    def final(self) -> list[dict[str, Any]]:
        """``FinalMetricDataList``: the last value of each metric."""
        return list(self._final.values())

    def scan(self, lines: Iterable[str]) -> None:
        """Look for values in lines of the log."""
        for line in lines:
            for name, pattern in self._patterns:
                for match in pattern.finditer(line):
                    self._found(name, match)

    def _found(self, name: str, match: re.Match[str]) -> None:
        try:
            value = float(match[1] if match.re.groups else match[0])
        except (TypeError, ValueError):
            return  # the expression matched something that is no number
        datum = {"MetricName": name, "Value": value, "Timestamp": time.time()}
        self._final[name] = datum
        self._new.append(datum)

    def publish(self, cloudwatch: Any, job: str) -> None:
        """Send the new values to CloudWatch by a client that holds the job's role; one that may not loses them."""
        data, self._new = self._new, []
        dimensions = [{"Name": "TrainingJobName", "Value": job}]
        for metrics in split_into_calls([{**datum, "Dimensions": dimensions} for datum in data]):
            try:
                cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=metrics)
            except CALL_FAILED as error:
                log.warning("metrics of training job %s are lost: %s", job, error)
