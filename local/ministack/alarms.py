"""Alarms of CloudFormation with metric math, which ministack refuses, and alarms' evaluation, which it shortens.

ministack compares one statistic of all points of a name, whatever their dimensions. Here an alarm reads its own
dimensions, period by period, M out of N, and treats missing periods as it is told. Metric math is the part that
alarms on ratios need. Source: CloudWatch guide, "Alarm evaluation" and "Using metric math".
"""

import ast
import operator
import time
from collections.abc import Callable, Iterator
from typing import Any

from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

from local.core.json_service import Parameters, service_model
from local.ministack.cloudformation import converted

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

watched: dict[str, float] = {}
"""Alarms by name that an update of an endpoint watches, with the seconds of its clock in a real one: their periods
are shorter by that, and they are evaluated whenever they are described, so that silence counts too."""


changed: dict[str, float] = {}
"""When a template gave an existing alarm, by name, another configuration. The change leaves the state as it is
(CloudWatch API reference, PutMetricAlarm); the next evaluation comes a period later."""


def register() -> None:
    """Replace ministack's record of a template's alarm, and its evaluation of alarms."""
    cloudwatch._describe_alarms = _evaluate_watched_before(cloudwatch._describe_alarms)
    provisioners._cw_metric_alarm_record = _with_metric_math(provisioners._cw_metric_alarm_record)
    cloudwatch._evaluate_alarm = _leave_others(cloudwatch._evaluate_alarm)


def _with_metric_math(record: Callable[[str, Parameters], Parameters]) -> Callable[[str, Parameters], Parameters]:
    def record_alarm(name: str, properties: Parameters) -> Parameters:
        changed.pop(name, None)
        if name in cloudwatch._alarms:
            changed[name] = time.time()
        metrics = properties.get("Metrics")
        if not metrics:
            made = record(name, properties)
        else:
            own = {key: value for key, value in properties.items() if key != "Metrics"}
            made = record(name, {**own, "MetricName": "-", "Namespace": "-"})
            for member in ("MetricName", "Namespace", "Statistic", "Period", "Dimensions"):
                made.pop(member, None)
            made["Metrics"] = converted(QUERIES, metrics)
        if made.get("ExtendedStatistic"):
            made.pop("Statistic", None)
        return made

    return record_alarm


def _leave_others(evaluate_otherwise: Callable[[Parameters], None]) -> Callable[[Parameters], None]:
    """Evaluate alarms on a threshold; leave to ministack those on an anomaly band."""

    def evaluate(alarm: Parameters) -> None:
        name, now = alarm["AlarmName"], time.time()
        scale = watched.get(name, 1.0)
        if alarm.get("ComparisonOperator") not in COMPARISONS:
            evaluate_otherwise(alarm)
        elif now < changed.get(name, 0.0) + _period(alarm) / scale:
            return
        elif (state := state_of(alarm, now, scale)) not in (None, alarm["StateValue"]):
            old, reason = alarm["StateValue"], f"Threshold Crossed: {alarm['EvaluationPeriods']} periods evaluated."
            alarm.update(StateValue=state, StateReason=reason, StateUpdatedTimestamp=int(time.time()))
            cloudwatch._record_history(alarm["AlarmName"], old, state, reason)
            cloudwatch._dispatch_alarm_actions(alarm, old, state, reason)
            cloudwatch._evaluate_parent_alarms(alarm)

    return evaluate


def _evaluate_watched_before(describe: Callable[..., Any]) -> Callable[..., Any]:
    def evaluate_and_describe(*arguments: Any) -> Any:
        for name in list(watched):
            if alarm := cloudwatch._alarms.get(name):
                cloudwatch._evaluate_alarm(alarm)
        return describe(*arguments)

    return evaluate_and_describe


def state_of(alarm: Parameters, now: float, scale: float = 1.0) -> str | None:
    """Return the state of an alarm at a moment, None where it keeps the one that it has.

    Periods are counted back from now instead of from the full minute, so that no caller waits for a minute to end.

    Parameters
    ----------
    scale
        How many of the alarm's seconds pass in a second of `now`.
    """
    periods = int(alarm["EvaluationPeriods"])
    values = [value(alarm, start, end) for start, end in _windows(alarm, now, periods, scale)]
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


def value(alarm: Parameters, start: float, end: float) -> float | None:
    """Return what an alarm compares in one period; None where there is no data.

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
            return _math(ast.parse(query["Expression"], mode="eval").body, look_up)
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
    found: float | None = cloudwatch._stat_value(cloudwatch._calc_stats(points), statistic, points)
    return found


def _math(node: ast.AST, look_up: Callable[[str], float | None]) -> float | None:
    """Evaluate an expression on one period; an operation on missing data, or a division by 0, gives none."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return look_up(name)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            negated = _math(inner, look_up)
            return None if negated is None else -negated
        case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
            a, b = _math(left, look_up), _math(right, look_up)
            undefined = a is None or b is None or (isinstance(op, ast.Div) and b == 0)
            return None if undefined else _apply(op, a, b)
        case ast.Call(func=ast.Name(id="FILL"), args=[inner, ast.Constant(value=int() | float() as number)]):
            known = _math(inner, look_up)
            return float(number) if known is None else known
        case ast.Call(func=ast.Name(id="IF"), args=[condition, *branches]) if 1 <= len(branches) <= 2:
            chosen = branches[:1] if _math(condition, look_up) else branches[1:]
            return _math(chosen[0], look_up) if chosen else None
    raise ValueError(f"The embedded AWS does not evaluate this metric math: {ast.unparse(node)}")


def _apply(op: Any, a: float | None, b: float | None) -> float:
    if type(op) not in OPERATORS:
        raise ValueError(f"The embedded AWS does not evaluate the operator {type(op).__name__} of metric math.")
    return float(OPERATORS[type(op)](a or 0.0, b or 0.0))
