"""Each alarm is shown able to fire: what AWS would publish goes through a small model of CloudWatch's evaluation."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from stacks.api.stack import ApiStack
from stacks.monitoring.alarms import HTTP_API
from stacks.monitoring.stack import MonitoringStack
from stacks.settings import Settings, load_settings
from stacks.settings.variants import VariantSettings

ROOT = Path(__file__).parents[3]
ENVIRONMENTS = ["dev", "local", "prod"]

Template = dict[str, Any]
Samples = dict[str, list[float]]
"""What one period brought: each metric's values, one for each request or instance."""


def synthesised(folder: Path, settings: Settings) -> Template:
    app = cdk.App(outdir=str(folder), context=json.loads((ROOT / "cdk.json").read_text())["context"])
    MonitoringStack(app, "Monitoring", settings=settings)
    app.synth()
    template: Template = json.loads((folder / "Monitoring.template.json").read_text())
    return template


@pytest.fixture(scope="session")
def monitoring(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Template]:
    made: dict[str, Template] = {}

    def of(environment: str) -> Template:
        if environment not in made:
            settings = load_settings(environment, ROOT / "settings")
            made[environment] = synthesised(tmp_path_factory.mktemp("monitoring"), settings)
        return made[environment]

    return of


def of_type(template: Template, kind: str) -> list[Template]:
    return [item["Properties"] for item in template["Resources"].values() if item["Type"] == kind]


@pytest.fixture(scope="session")
def http_api_alarms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Template]:
    """Return the alarms that prod's ApiStack holds."""
    settings = load_settings("prod", ROOT / "settings")
    folder = tmp_path_factory.mktemp("api")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        app = cdk.App(outdir=str(folder), context=json.loads((ROOT / "cdk.json").read_text())["context"])
        ApiStack(app, "Api", settings=settings)
        app.synth()
    return alarms(json.loads((folder / "Api.template.json").read_text()), "prod")


def alarms(template: Template, environment: str) -> dict[str, Template]:
    prefix = f"kennel-{environment}-"
    found = of_type(template, "AWS::CloudWatch::Alarm")
    assert all(alarm["AlarmName"].startswith(prefix) for alarm in found)
    return {alarm["AlarmName"].removeprefix(prefix): alarm for alarm in found}


def metrics_of(alarm: Template) -> list[Template]:
    return [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query] or [alarm]


def statistic(name: str, values: list[float]) -> float:
    match name:
        case "Sum":
            return sum(values)
        case "Average":
            return sum(values) / len(values)
        case "Maximum":
            return max(values)
    return sorted(values)[math.ceil(float(name.removeprefix("p")) / 100 * len(values)) - 1]


def datapoint(alarm: Template, samples: Samples) -> float | None:
    """Reduce one period's samples to what the alarm compares; None where there is no data."""
    if "MetricName" in alarm:
        values = samples.get(alarm["MetricName"], [])
        return statistic(alarm.get("Statistic") or alarm["ExtendedStatistic"], values) if values else None
    known = {}
    for query in alarm["Metrics"]:
        if "MetricStat" in query:
            values = samples.get(query["MetricStat"]["Metric"]["MetricName"], [])
            if not values:
                return None
            known[query["Id"]] = statistic(query["MetricStat"]["Stat"], values)
    (expression,) = [query["Expression"] for query in alarm["Metrics"] if query["ReturnData"]]
    return float(eval(expression, {"__builtins__": {}}, known))


def state(alarm: Template, periods: list[Samples]) -> str:
    """Evaluate an alarm over the last periods (CloudWatch guide, "Configuring how alarms treat missing data")."""
    compare: dict[str, Callable[[float, float], bool]] = {
        "GreaterThanThreshold": lambda value, limit: value > limit,
        "GreaterThanOrEqualToThreshold": lambda value, limit: value >= limit,
        "LessThanThreshold": lambda value, limit: value < limit,
    }
    breaches = 0
    for samples in periods[-alarm["EvaluationPeriods"] :]:
        value = datapoint(alarm, samples)
        if value is None:
            breaches += alarm["TreatMissingData"] == "breaching"
        else:
            breaches += compare[alarm["ComparisonOperator"]](value, alarm["Threshold"])
    return "ALARM" if breaches >= alarm["DatapointsToAlarm"] else "OK"


def endpoint(count: int = 100, failed: float = 0, milliseconds: float = 50, instances: int = 1) -> Samples:
    """Return what SageMaker publishes of some requests: 0 or 1 for each, microseconds, its share of an instance."""
    bad = round(count * failed)
    return {
        "Invocations": [1.0] * count,
        "Invocation5XXErrors": [1.0] * bad + [0.0] * (count - bad),
        "ModelLatency": [min(milliseconds, 60_000) * 1000] * count,
        "InvocationsPerInstance": [1 / instances] * count,
    }


def function(
    count: int = 100, *, crashed: int = 0, throttled: int = 0, spilt: int = 0, refused: int = 0, seconds: float = 0.1
) -> Samples:
    """Return what Lambda publishes of some invocations; none lasts longer than the timeout of all settings."""
    return {
        "Errors": [1.0] * crashed + [0.0] * (count - crashed),
        "Throttles": [1.0] * throttled + [0.0] * count,
        "Duration": [min(seconds, 29) * 1000] * count,
        "ProvisionedConcurrencySpilloverInvocations": [1.0] * spilt,
        "Url5xxCount": [1.0] * refused + [0.0] * (count - refused),
    }


def http_api(count: int = 100, *, failed: int = 0, refused: int = 0, milliseconds: float = 50) -> Samples:
    """Return what API Gateway publishes of some requests: 0 or 1 for each, and milliseconds."""
    return {
        "5xx": [1.0] * failed + [0.0] * (count - failed),
        "4xx": [1.0] * refused + [0.0] * (count - refused),
        "Latency": [min(milliseconds, 30_000)] * count,
    }


QUEUED = {"ApproximateNumberOfMessagesVisible": [0.0, 1.0]}
CASES: dict[str, tuple[Samples, Samples]] = {
    "endpoint-errors": (endpoint(failed=0.2), endpoint(count=1000, failed=0.002)),
    "endpoint-latency": (endpoint(milliseconds=3000), endpoint(milliseconds=200)),
    "endpoint-at-maximum": (endpoint(instances=4), endpoint(instances=3)),
    "no-traffic": ({}, endpoint(count=1)),
    "function-errors": (function(crashed=10), function()),
    "function-throttles": (function(throttled=10), function()),
    "failed-events": (QUEUED, {"ApproximateNumberOfMessagesVisible": [0.0]}),
    "function-near-timeout": (function(seconds=28), function(seconds=5)),
    "function-spillover": (function(spilt=40), function(spilt=2)),
    "url-errors": (function(refused=10), function()),
    "http-api-errors": (http_api(failed=10), http_api(refused=90)),
    "http-api-refusals": (http_api(300, refused=150), http_api(300, refused=50)),
    "http-api-latency": (http_api(milliseconds=29_000), http_api(milliseconds=1000)),
}
"""For each alarm, a period that must end in ALARM when it goes on, and one that must not."""
HOURS = 300
CHANGE = "Changing an instance type or a variant"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_alarm_fires_when_it_must_and_only_then(
    monitoring: Callable[[str], Template], http_api_alarms: dict[str, Template], environment: str
) -> None:
    others = http_api_alarms if environment == "prod" else {}
    for name, alarm in {**alarms(monitoring(environment), environment), **others}.items():
        bad, good = CASES[name]
        assert state(alarm, [bad] * HOURS) == "ALARM", name
        assert state(alarm, [good] * HOURS) == "OK", name
        assert state(alarm, [bad] * HOURS + [good] * alarm["EvaluationPeriods"]) == "OK", f"{name} never ends"


def test_prod_has_every_alarm(monitoring: Callable[[str], Template], http_api_alarms: dict[str, Template]) -> None:
    assert set(alarms(monitoring("prod"), "prod")) | set(http_api_alarms) == set(CASES)
    assert set(http_api_alarms) == set(HTTP_API)


def test_the_http_apis_alarms_read_its_metrics_tell_the_topic_and_link_to_the_runbook(
    http_api_alarms: dict[str, Template],
) -> None:
    for name, alarm in http_api_alarms.items():
        (dimension,) = alarm["Dimensions"]
        assert (alarm["Namespace"], dimension["Name"]) == ("AWS/ApiGateway", "ApiId")
        assert set(dimension["Value"]) == {"Ref"}
        assert alarm["AlarmActions"] == alarm["OKActions"]
        (action,) = alarm["AlarmActions"]
        assert action["Fn::Join"][1][-1].endswith(":kennel-prod-alarms")
        assert alarm["AlarmDescription"].endswith(f". Runbook: docs/runbook.md#{name}")


def test_the_dashboard_shows_the_http_api_through_its_alarms_where_there_is_one(
    monitoring: Callable[[str], Template],
) -> None:
    def shown(environment: str) -> list[str]:
        found = [w["properties"].get("annotations", {}) for w in dashboard(monitoring(environment))]
        return [arn for notes in found if isinstance(notes, dict) for arn in notes.get("alarms", [])]

    assert [arn.rpartition(":")[2] for arn in shown("prod")] == [f"kennel-prod-{name}" for name in HTTP_API]
    assert shown("dev") == []


def test_alarms_read_the_metrics_where_aws_publishes_them(monitoring: Callable[[str], Template]) -> None:
    variant = {"EndpointName": "kennel-prod", "VariantName": "AllTraffic"}
    of_function = {"FunctionName": "kennel-prod"}
    of_alias = {**of_function, "Resource": "kennel-prod:live"}
    where = {
        "Invocation5XXErrors": ("AWS/SageMaker", variant),
        "ModelLatency": ("AWS/SageMaker", variant),
        "Invocations": ("AWS/SageMaker", variant),
        "InvocationsPerInstance": ("AWS/SageMaker", variant),
        "Errors": ("AWS/Lambda", of_function),
        "Throttles": ("AWS/Lambda", of_function),
        "Duration": ("AWS/Lambda", of_function),
        "ProvisionedConcurrencySpilloverInvocations": ("AWS/Lambda", of_alias),
        "Url5xxCount": ("AWS/Lambda", of_alias),
        "ApproximateNumberOfMessagesVisible": ("AWS/SQS", {"QueueName": "kennel-prod-failures"}),
    }
    read = [m for alarm in alarms(monitoring("prod"), "prod").values() for m in metrics_of(alarm)]
    assert {m["MetricName"] for m in read} == set(where)
    for metric in read:
        dimensions = {item["Name"]: item["Value"] for item in metric["Dimensions"]}
        assert (metric["Namespace"], dimensions) == where[metric["MetricName"]]


def test_silence_is_an_alarm_only_where_traffic_is_expected(monitoring: Callable[[str], Template]) -> None:
    silent = [name for name, alarm in alarms(monitoring("prod"), "prod").items() if state(alarm, [{}] * HOURS) != "OK"]
    assert silent == ["no-traffic"]


def test_one_bad_moment_wakes_nobody_for_what_heals_itself(monitoring: Callable[[str], Template]) -> None:
    for name in ("endpoint-errors", "endpoint-latency", "endpoint-at-maximum", "function-near-timeout"):
        bad, good = CASES[name]
        assert state(alarms(monitoring("prod"), "prod")[name], [good] * HOURS + [bad]) == "OK", name


def test_the_evaluation_shows_an_alarm_that_can_never_fire() -> None:
    # A sample of AWS's: the average of zeros and ones is never above one.
    never = {
        "MetricName": "Invocation5XXErrors",
        "Statistic": "Average",
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        "TreatMissingData": "notBreaching",
    }
    assert state(never, [endpoint(failed=1.0)]) == "OK"
    milliseconds = {**never, "MetricName": "ModelLatency", "Threshold": 1000}
    assert state(milliseconds, [endpoint(milliseconds=2)]) == "ALARM", "microseconds, read as milliseconds"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_alarms_speak_to_the_topic_and_link_to_their_section_of_the_runbook(
    monitoring: Callable[[str], Template], environment: str
) -> None:
    template = monitoring(environment)
    (topic,) = [name for name, item in template["Resources"].items() if item["Type"] == "AWS::SNS::Topic"]
    for name, alarm in alarms(template, environment).items():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": topic}]
        assert alarm["AlarmDescription"].endswith(f". Runbook: docs/runbook.md#{name}")
        assert len(alarm["AlarmDescription"]) <= 1024


def test_the_runbook_has_a_section_for_each_alarm_and_no_other() -> None:
    sections = re.findall(r"^## (.+)$", (ROOT / "docs/runbook.md").read_text(), flags=re.MULTILINE)
    assert sorted(sections) == sorted(
        [
            *CASES,
            "guardrail",
            "endpoint-state",
            "Budget",
            "Rolling back to a previous model",
            CHANGE,
            "Raising the minimum to two instances",
            "The topic's key",
        ]
    )


def test_the_topic_has_no_key_or_the_customers(tmp_path: Path, dev: Settings) -> None:
    key = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    given = {"topic_kms_key_arn": key, "emails": ["a@example.com", "b@example.com"]}
    settings = dev.model_copy(update={"monitoring": dev.monitoring.model_copy(update=given)})
    with_key = synthesised(tmp_path / "with", settings)
    assert of_type(with_key, "AWS::SNS::Topic")[0]["KmsMasterKeyId"] == key
    found = {(s["Protocol"], s["Endpoint"]) for s in of_type(with_key, "AWS::SNS::Subscription")}
    assert found == {("email", "a@example.com"), ("email", "b@example.com")}
    without = synthesised(tmp_path / "without", dev)
    assert "KmsMasterKeyId" not in of_type(without, "AWS::SNS::Topic")[0]
    assert not of_type(without, "AWS::SNS::Subscription")


def test_the_budget_counts_one_environment_and_tells_the_topic(monitoring: Callable[[str], Template]) -> None:
    (budget,) = of_type(monitoring("prod"), "AWS::Budgets::Budget")
    assert budget["Budget"]["CostFilters"] == {"TagKeyValue": ["user:Deployment$kennel-prod"]}
    assert budget["Budget"]["BudgetLimit"] == {"Amount": 1000, "Unit": "USD"}
    told = [item["Notification"] for item in budget["NotificationsWithSubscribers"]]
    assert [(n["NotificationType"], n["Threshold"]) for n in told] == [
        ("ACTUAL", 50),
        ("ACTUAL", 80),
        ("ACTUAL", 100),
        ("FORECASTED", 100),
    ]


def test_the_budget_waits_for_the_policy_that_lets_it_publish(monitoring: Callable[[str], Template]) -> None:
    resources = monitoring("prod")["Resources"]
    (policy,) = [name for name, item in resources.items() if item["Type"] == "AWS::SNS::TopicPolicy"]
    (budget,) = [item for item in resources.values() if item["Type"] == "AWS::Budgets::Budget"]
    assert budget["DependsOn"] == [policy]


def dashboard(template: Template) -> list[Template]:
    (found,) = of_type(template, "AWS::CloudWatch::Dashboard")
    parts = found["DashboardBody"]["Fn::Join"][1]
    body = json.loads("".join(part if isinstance(part, str) else "?" for part in parts))
    widgets: list[Template] = body["widgets"]
    return widgets


def graph(template: Template, title: str) -> Template:
    (found,) = [w["properties"] for w in dashboard(template) if title in w["properties"].get("title", "")]
    return dict(found)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_dashboard_names_this_environment_and_takes_the_region_of_its_stack(
    monitoring: Callable[[str], Template], environment: str
) -> None:
    name = f"kennel-{environment}"
    for widget in dashboard(monitoring(environment)):
        if widget["type"] == "metric":
            assert widget["properties"]["region"] == "?", "a token: the stack's region"
            assert name in json.dumps(widget["properties"])
        assert widget["x"] + widget["width"] <= 24


def test_the_dashboard_shows_every_metric_that_can_ring(monitoring: Callable[[str], Template]) -> None:
    shown = json.dumps(dashboard(monitoring("prod")))
    for alarm in alarms(monitoring("prod"), "prod").values():
        for metric in metrics_of(alarm):
            assert f'"{metric["MetricName"]}"' in shown


def test_latency_is_shown_by_percentile_in_milliseconds_against_its_threshold(
    monitoring: Callable[[str], Template], dev: Settings
) -> None:
    latency = graph(monitoring("dev"), "Model latency (ms)")
    text = json.dumps(latency)
    assert [part["expression"].split("_")[2] for (part, *_) in latency["metrics"] if "expression" in part] == [
        "p50",
        "p90",
        "p99",
    ]
    assert text.count(" / 1000") == 3
    (line,) = latency["annotations"]["horizontal"]
    assert line["value"] == dev.monitoring.endpoint_latency_p99_milliseconds


def test_instances_and_load_are_shown_against_their_limits(
    monitoring: Callable[[str], Template], dev: Settings
) -> None:
    scaling = dev.endpoint.scaling
    lines = graph(monitoring("dev"), "Instances in use")["annotations"]["horizontal"]
    assert [line["value"] for line in lines] == [scaling.minimum_instances, scaling.maximum_instances]
    (line,) = graph(monitoring("dev"), "InvocationsPerInstance")["annotations"]["horizontal"]
    assert line["value"] == scaling.invocations_per_instance


def test_each_variant_has_its_own_graphs_and_alarms(tmp_path: Path, dev: Settings) -> None:
    two = [VariantSettings(name="Old-1", weight=9), VariantSettings(name="New", weight=1)]
    settings = dev.model_copy(update={"endpoint": dev.endpoint.model_copy(update={"variants": two})})
    template = synthesised(tmp_path, settings)
    assert {"endpoint-errors-Old-1", "endpoint-errors-New"} <= set(alarms(template, "dev"))
    for title in ("Model latency (ms)", "Instances in use"):
        text = json.dumps(graph(template, title))
        assert '"Old-1"' in text
        assert '"New"' in text


def test_what_is_switched_off_is_not_there(tmp_path: Path, dev: Settings) -> None:
    off = {"alarms": False, "dashboard": False, "monthly_budget_usd": 0.0}
    settings = dev.model_copy(update={"monitoring": dev.monitoring.model_copy(update=off)})
    kinds = {item["Type"] for item in synthesised(tmp_path, settings)["Resources"].values()}
    assert kinds == {"AWS::SNS::Topic", "AWS::SNS::TopicPolicy"}


def test_without_scaling_no_alarm_and_no_line_tells_of_its_limits(tmp_path: Path, dev: Settings) -> None:
    scaling = dev.endpoint.scaling.model_copy(update={"enabled": False})
    settings = dev.model_copy(update={"endpoint": dev.endpoint.model_copy(update={"scaling": scaling})})
    template = synthesised(tmp_path, settings)
    assert "endpoint-at-maximum" not in alarms(template, "dev")
    assert "annotations" not in graph(template, "Instances in use")


def test_an_alarm_is_metric_math_only_where_it_needs_two_metrics(monitoring: Callable[[str], Template]) -> None:
    calculated = [name for name, alarm in alarms(monitoring("prod"), "prod").items() if "Metrics" in alarm]
    assert calculated == ["endpoint-at-maximum"]
