"""Alarms of CloudFormation with metric math, which ministack refuses, and alarms' evaluation, which it shortens.

ministack compares one statistic of all points of a name, whatever their dimensions. Here an alarm reads its own
dimensions, period by period, M out of N, and treats missing periods as it is told. Metric math is the part that
alarms on ratios need. Source: CloudWatch guide, "Alarm evaluation" and "Using metric math".
"""

import ast
import operator
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

from local.core.json_service import Parameters, service_model
from local.ministack.cloudformation import convert

QUERIES = service_model("cloudwatch").shape_for("MetricDataQueries")

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
OPERATORS: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class AlarmEvaluation:
    """Evaluates alarms on a threshold in ministack's place; anomaly bands it leaves to ministack.

    An alarm that an update of an endpoint watches has shorter periods, and is evaluated whenever it is described, so
    that silence counts too.
    """

    def __init__(self) -> None:
        self._scales: dict[str, float] = {}
        self._changed: dict[str, float] = {}

    def register(self) -> None:
        """Replace ministack's record of a template's alarm, and its evaluation of alarms."""
        cloudwatch._describe_alarms = self._evaluate_watched_before(cloudwatch._describe_alarms)
        provisioners._cw_metric_alarm_record = self._record_metric_math(provisioners._cw_metric_alarm_record)
        cloudwatch._evaluate_alarm = self._evaluate_instead(cloudwatch._evaluate_alarm)

    @contextmanager
    def watched(self, names: Collection[str], scale: float) -> Iterator[None]:
        """Watch alarms for the time of the context.

        Parameters
        ----------
        names
            The alarms' names.
        scale
            Seconds of the alarms' clock in a real one.
        """
        self._scales.update(dict.fromkeys(names, scale))
        try:
            yield
        finally:
            for name in names:
                self._scales.pop(name, None)

    def _record_metric_math(
        self, record: Callable[[str, Parameters], Parameters]
    ) -> Callable[[str, Parameters], Parameters]:
        def record_alarm(name: str, properties: Parameters) -> Parameters:
            # A new configuration leaves the state as it is (CloudWatch API reference, PutMetricAlarm); the next
            # evaluation comes a period later.
            self._changed.pop(name, None)
            if name in cloudwatch._alarms:
                self._changed[name] = time.time()
            alarm = _record_math(record, name, properties) if properties.get("Metrics") else record(name, properties)
            if alarm.get("ExtendedStatistic"):
                alarm.pop("Statistic", None)
            return alarm

        return record_alarm

    def _evaluate_instead(self, evaluate_otherwise: Callable[[Parameters], None]) -> Callable[[Parameters], None]:
        def evaluate(alarm: Parameters) -> None:
            name, now = alarm["AlarmName"], time.time()
            scale = self._scales.get(name, 1.0)
            if alarm.get("ComparisonOperator") not in COMPARISONS:
                evaluate_otherwise(alarm)
            elif now >= self._changed.get(name, 0.0) + _period(alarm) / scale:
                _enter(alarm, compute_state(alarm, now, scale))

        return evaluate

    def _evaluate_watched_before(self, describe: Callable[..., Any]) -> Callable[..., Any]:
        def evaluate_and_describe(*arguments: Any) -> Any:
            for name in list(self._scales):
                if alarm := cloudwatch._alarms.get(name):
                    cloudwatch._evaluate_alarm(alarm)
            return describe(*arguments)

        return evaluate_and_describe


def _record_math(record: Callable[[str, Parameters], Parameters], name: str, properties: Parameters) -> Parameters:
    """Return the record of an alarm with metric math, which ministack takes for one that lacks a metric."""
    own = {key: value for key, value in properties.items() if key != "Metrics"}
    alarm = record(name, {**own, "MetricName": "-", "Namespace": "-"})
    for member in ("MetricName", "Namespace", "Statistic", "Period", "Dimensions"):
        alarm.pop(member, None)
    return {**alarm, "Metrics": convert(QUERIES, properties["Metrics"])}


def _enter(alarm: Parameters, state: str | None) -> None:
    """Bring an alarm into a state, unless it is None or the one that it has."""
    old = alarm["StateValue"]
    if state in (None, old):
        return
    reason = f"Threshold Crossed: {alarm['EvaluationPeriods']} periods evaluated."
    alarm.update(StateValue=state, StateReason=reason, StateUpdatedTimestamp=int(time.time()))
    cloudwatch._record_history(alarm["AlarmName"], old, state, reason)
    cloudwatch._dispatch_alarm_actions(alarm, old, state, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def compute_state(alarm: Parameters, now: float, scale: float = 1.0) -> str | None:
    """Return the state of an alarm at a moment, None where it keeps the one that it has.

    Periods are counted back from now instead of from the full minute, so that no caller waits for a minute to end.

    Parameters
    ----------
    alarm
        ministack's record of it.
    now
        Seconds since 1970.
    scale
        How many of the alarm's seconds pass in a second of `now`.
    """
    periods = int(alarm["EvaluationPeriods"])
    values = [compute_value(alarm, start, end) for start, end in _windows(alarm, now, periods, scale)]
    treatment = alarm.get("TreatMissingData", "missing")
    if all(point is None for point in values) and treatment not in ("breaching", "notBreaching"):
        return None if treatment == "ignore" else "INSUFFICIENT_DATA"
    compare, threshold = COMPARISONS[alarm["ComparisonOperator"]], float(alarm["Threshold"])
    breaching = sum(treatment == "breaching" if point is None else compare(point, threshold) for point in values)
    return "ALARM" if breaching >= int(alarm.get("DatapointsToAlarm") or periods) else "OK"


def _windows(alarm: Parameters, now: float, periods: int, scale: float) -> Iterator[tuple[float, float]]:
    period = _period(alarm) / scale
    for index in range(periods):
        yield now - (index + 1) * period, now - index * period


def _period(alarm: Parameters) -> float:
    stats = [query["MetricStat"]["Period"] for query in alarm.get("Metrics", ()) if "MetricStat" in query]
    return float(max(stats, default=alarm.get("Period", 60)))


def compute_value(alarm: Parameters, start: float, end: float) -> float | None:
    """Return what an alarm compares in one period; None where there is no data.

    Parameters
    ----------
    start, end
        Of the period, in seconds since 1970.

    Raises
    ------
    ValueError
        A metric math expression uses more than numbers, metrics, arithmetic, comparisons, IF and FILL.
    """
    if "Metrics" not in alarm:
        statistic = alarm.get("ExtendedStatistic") or alarm["Statistic"]
        return _statistic(alarm["Namespace"], alarm["MetricName"], alarm["Dimensions"], statistic, start, end)
    queries = {query["Id"]: query for query in alarm["Metrics"]}
    (returned,) = [name for name, query in queries.items() if query.get("ReturnData", True)]

    def look_up(name: str) -> float | None:
        query = queries[name]
        if "Expression" in query:
            return _compute(ast.parse(query["Expression"], mode="eval").body, look_up)
        stat, metric = query["MetricStat"], query["MetricStat"]["Metric"]
        dimensions = metric.get("Dimensions", [])
        return _statistic(metric["Namespace"], metric["MetricName"], dimensions, stat["Stat"], start, end)

    return look_up(returned)


def _statistic(
    namespace: str, name: str, dimensions: list[dict[str, str]], statistic: str, start: float, end: float
) -> float | None:
    key = (namespace, name, cloudwatch._dims_key(cloudwatch._dims_from_list(dimensions)))
    points = [point for point in cloudwatch._metrics.get(key, ()) if start < point["Timestamp"] <= end]
    if not points:
        return None
    measured: float | None = cloudwatch._stat_value(cloudwatch._calc_stats(points), statistic, points)
    return measured


Look = Callable[[str], float | None]
"""What a metric's id stands for in one period."""


def _compute(node: ast.AST, look_up: Look) -> float | None:
    """Evaluate an expression on one period; None where data is missing.

    Raises
    ------
    ValueError
        It uses more than numbers, metrics, arithmetic, comparisons, IF and FILL.
    """
    if type(node) not in COMPUTATIONS:
        raise _not_evaluated(node)
    return COMPUTATIONS[type(node)](node, look_up)


def _constant(node: ast.Constant, look_up: Look) -> float:
    if not isinstance(node.value, int | float):
        raise _not_evaluated(node)
    return float(node.value)


def _metric(node: ast.Name, look_up: Look) -> float | None:
    return look_up(node.id)


def _negation(node: ast.UnaryOp, look_up: Look) -> float | None:
    if not isinstance(node.op, ast.USub):
        raise _not_evaluated(node)
    operand = _compute(node.operand, look_up)
    return None if operand is None else -operand


def _operation(node: ast.BinOp, look_up: Look) -> float | None:
    return _apply(node.op, _compute(node.left, look_up), _compute(node.right, look_up))


def _comparison(node: ast.Compare, look_up: Look) -> float | None:
    if len(node.ops) != 1:
        raise _not_evaluated(node)
    return _apply(node.ops[0], _compute(node.left, look_up), _compute(node.comparators[0], look_up))


def _call(node: ast.Call, look_up: Look) -> float | None:
    match node:
        case ast.Call(func=ast.Name(id="FILL"), args=[metric, ast.Constant(value=int() | float() as filling)]):
            value = _compute(metric, look_up)
            return float(filling) if value is None else value
        case ast.Call(func=ast.Name(id="IF"), args=[condition, true]):
            return _compute(true, look_up) if _compute(condition, look_up) else None
        case ast.Call(func=ast.Name(id="IF"), args=[condition, true, false]):
            return _compute(true if _compute(condition, look_up) else false, look_up)
    raise _not_evaluated(node)


COMPUTATIONS: dict[type[ast.AST], Callable[[Any, Look], float | None]] = {
    ast.Constant: _constant,
    ast.Name: _metric,
    ast.UnaryOp: _negation,
    ast.BinOp: _operation,
    ast.Compare: _comparison,
    ast.Call: _call,
}
"""The parts of an expression, and how each is evaluated."""


def _apply(operation: ast.AST, left: float | None, right: float | None) -> float | None:
    """Return the outcome of an operation; one on missing data, or a division by 0, gives none."""
    if left is None or right is None or (isinstance(operation, ast.Div) and right == 0):
        return None
    if type(operation) not in OPERATORS:
        kind = type(operation).__name__
        raise ValueError(f"The embedded AWS does not evaluate the operator {kind} of metric math.")
    return float(OPERATORS[type(operation)](left, right))


def _not_evaluated(node: ast.AST) -> ValueError:
    return ValueError(f"The embedded AWS does not evaluate this metric math: {ast.unparse(node)}")
