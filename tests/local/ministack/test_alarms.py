"""How alarms are evaluated: dimensions, periods, M out of N, missing data, metric math."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.services import cloudwatch

from local.ministack.alarms import compute_state

NOW = 100_000.0


@pytest.fixture(autouse=True)
def nothing_measured() -> Iterator[None]:
    cloudwatch.reset()
    yield
    cloudwatch.reset()


def measure(value: float, minutes_ago: float, name: str = "Errors", of: str = "mine") -> None:
    key = ("N", name, cloudwatch._dims_key({"Of": of}))
    point = {"Timestamp": NOW - 60 * minutes_ago - 1, "Value": value, "Unit": "None", "Dimensions": {"Of": of}}
    cloudwatch._metric_bucket(key).append(point)


def alarm(**properties: Any) -> dict[str, Any]:
    return {
        "Namespace": "N",
        "MetricName": "Errors",
        "Dimensions": [{"Name": "Of", "Value": "mine"}],
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 3,
        "Threshold": 5.0,
        "ComparisonOperator": "GreaterThanThreshold",
        **properties,
    }


def math(expression: str) -> dict[str, Any]:
    def query(identifier: str, name: str) -> dict[str, Any]:
        metric = {"Namespace": "N", "MetricName": name, "Dimensions": [{"Name": "Of", "Value": "mine"}]}
        return {"Id": identifier, "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}, "ReturnData": False}

    return {
        "EvaluationPeriods": 1,
        "Threshold": 0.1,
        "ComparisonOperator": "GreaterThanThreshold",
        "Metrics": [{"Id": "e", "Expression": expression}, query("errors", "Errors"), query("all", "Invocations")],
    }


def test_only_the_alarm_s_own_dimensions_count() -> None:
    measure(100, 0, of="somebody")
    assert compute_state(alarm(EvaluationPeriods=1), NOW) == "INSUFFICIENT_DATA"
    measure(6, 0)
    assert compute_state(alarm(EvaluationPeriods=1), NOW) == "ALARM"


@pytest.mark.parametrize(("breaching", "state"), [((0, 2), "ALARM"), ((1,), "OK")])
def test_m_out_of_n_periods_ring(breaching: tuple[int, ...], state: str) -> None:
    for minute in range(3):
        measure(6 if minute in breaching else 0, minute)
    assert compute_state(alarm(DatapointsToAlarm=2), NOW) == state


@pytest.mark.parametrize(
    ("treatment", "state"),
    [("missing", "INSUFFICIENT_DATA"), ("ignore", None), ("breaching", "ALARM"), ("notBreaching", "OK")],
)
def test_missing_data_is_treated_as_set(treatment: str, state: str | None) -> None:
    assert compute_state(alarm(TreatMissingData=treatment), NOW) == state


@pytest.mark.parametrize(
    ("expression", "state"),
    [
        ("errors / all", "ALARM"),
        ("(errors / all) / 4", "OK"),
        ("IF(all >= 100, errors / all, 0)", "OK"),
        ("IF(all >= 10, errors / all, 0)", "ALARM"),
        ("errors / (all - all)", "INSUFFICIENT_DATA"),
        ("1 - errors / all", "ALARM"),
        ("-errors / all", "OK"),
        ("IF(all > 100, errors)", "INSUFFICIENT_DATA"),
    ],
)
def test_metric_math_on_a_ratio(expression: str, state: str) -> None:
    measure(4, 0)
    measure(20, 0, "Invocations")
    assert compute_state(math(expression), NOW) == state


def test_metric_math_fills_missing_data_with_a_number() -> None:
    measure(20, 0, "Invocations")
    assert compute_state(math("errors / all"), NOW) == "INSUFFICIENT_DATA"
    assert compute_state(math("FILL(errors, 4) / all"), NOW) == "ALARM"


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("ANOMALY_DETECTION_BAND(all)", "ANOMALY_DETECTION_BAND"),
        ("1 < all < 3", "1 < all < 3"),
        ("all + 'text'", "'text'"),
        ("[all]", "all"),
        ("+all", "all"),
        ("all % 3", "Mod"),
    ],
)
def test_metric_math_beyond_that_is_refused_by_name(expression: str, named: str) -> None:
    measure(20, 0, "Invocations")
    with pytest.raises(ValueError, match=f"does not evaluate .*{re.escape(named)}"):
        compute_state(math(expression), NOW)
