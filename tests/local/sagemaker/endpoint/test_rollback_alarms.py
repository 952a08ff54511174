"""Updates of an endpoint under a canary policy: its share of the traffic, its alarms, what is left in the end."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded import Aws, Traffic, alive, eventually
from tests.local.harness import ask
from tests.local.templates import endpoint_resources

INSTANCES = 3
LONG = 3600
"""Seconds of bake that no test sits out: half a minute here."""

ALARMS = {
    "5xx": {"MetricName": "Invocation5XXErrors", "Statistic": "Average", "Threshold": 0.05},
    "errors": {"MetricName": "InvocationModelErrors", "Statistic": "Average", "Threshold": 0.5},
    "latency": {"MetricName": "ModelLatency", "ExtendedStatistic": "p99", "Threshold": 300_000},
}
"""The kinds of alarm that the stacks guard an update with (`stacks/endpoint/guardrails.py`)."""


def template(endpoint: str, artifact: str, wait: int, kind: str = "5xx", identity: str = "") -> dict[str, Any]:
    """Return an endpoint with a canary of one instance in three, guarded by an alarm on its new fleet."""
    resources = endpoint_resources(endpoint, artifact, instances=INSTANCES)
    name = f"{endpoint}-{kind}{identity}"
    dimensions = {
        "EndpointName": endpoint,
        "VariantName": "AllTraffic",
        "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]},
    }
    logical_id = f"Alarm{identity}"
    resources[logical_id] = {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": name,
            "Namespace": "AWS/SageMaker",
            **ALARMS[kind],
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
            "Period": 60,
            "EvaluationPeriods": 3,
            "DatapointsToAlarm": 2,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        },
    }
    statements = resources["HostingRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    arn = f"arn:aws:cloudwatch:us-east-1:123456789012:alarm:{name}"
    statements.append({"Effect": "Allow", "Action": "cloudwatch:DescribeAlarms", "Resource": arn})
    resources["Endpoint"]["DependsOn"] = [logical_id]
    resources["Endpoint"]["Properties"]["DeploymentConfig"] = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY",
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 34},
                "WaitIntervalInSeconds": wait,
            },
            "TerminationWaitInSeconds": 60,
            "MaximumExecutionTimeoutInSeconds": 28800,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name}]},
    }
    return {"Resources": resources}


@pytest.fixture
def endpoint(aws: Aws, artifacts: str) -> Iterator[str]:
    """Deploy model ``one``; return the name of its stack and endpoint."""
    name = "canaried"
    assert aws.deploy(name, template(name, "one", LONG)) == "CREATE_COMPLETE", aws.reasons(name)
    yield name
    aws.settled(name)
    aws.cloudformation.delete_stack(StackName=name)
    eventually(lambda: "Could not find" in describe(aws, name).get("missing", ""))


def describe(aws: Aws, endpoint: str) -> dict[str, Any]:
    try:
        return dict(aws.sagemaker.describe_endpoint(EndpointName=endpoint))
    except ClientError as error:
        return {"missing": str(error)}


def begin(aws: Aws, stack: str, body: dict[str, Any]) -> None:
    aws.cloudformation.update_stack(StackName=stack, TemplateBody=json.dumps(body), Capabilities=["CAPABILITY_IAM"])


def pending(aws: Aws, endpoint: str) -> dict[str, Any]:
    """Return the variant of the update under way, {} where there is none."""
    summary = describe(aws, endpoint).get("PendingDeploymentSummary", {})
    return dict(summary["ProductionVariants"][0]) if summary else {}


def baking(aws: Aws, endpoint: str) -> bool:
    return bool((found := pending(aws, endpoint)) and found["VariantStatus"][0]["Status"] == "Baking")


def test_a_canary_takes_its_share_until_an_alarm_takes_it_back(aws: Aws, endpoint: str) -> None:
    before = describe(aws, endpoint)
    with Traffic(lambda: ask(aws, endpoint)) as traffic:
        begin(aws, endpoint, template(endpoint, "two", LONG))
        eventually(lambda: baking(aws, endpoint))
        first = len(traffic.answers)
        eventually(lambda: len(traffic.answers) >= first + 250)
        during, shown = describe(aws, endpoint), pending(aws, endpoint)
        answers = traffic.answers[first:]
        datum = {
            "MetricName": "Invocation5XXErrors",
            "Dimensions": [
                {"Name": "EndpointName", "Value": endpoint},
                {"Name": "VariantName", "Value": "AllTraffic"},
                {"Name": "EndpointConfigName", "Value": during["PendingDeploymentSummary"]["EndpointConfigName"]},
            ],
            "Values": [1.0],
            "Counts": [1e6],
        }

        def ring() -> bool:
            aws.cloudwatch.put_metric_data(Namespace="AWS/SageMaker", MetricData=[datum])
            return str(describe(aws, endpoint)["EndpointStatus"]) == "InService"

        eventually(ring)
        assert aws.settled(endpoint) == "UPDATE_ROLLBACK_COMPLETE"
        last = len(traffic.answers)
        eventually(lambda: len(traffic.answers) > last + 50)
    assert traffic.failures == []
    share = sum(answer["model"] == "two" for answer in answers) / len(answers)
    assert 0.2 < share < 0.47  # a third; 250 draws leave that once in a hundred thousand runs
    assert len({answer["pid"] for answer in answers if answer["model"] == "two"}) == 1
    assert len({answer["pid"] for answer in answers if answer["model"] == "one"}) == INSTANCES
    assert {answer["model"] for answer in traffic.answers[last:]} == {"one"}
    assert during["EndpointStatus"] == "Updating"
    assert during["EndpointConfigName"] == before["EndpointConfigName"]
    assert (shown["CurrentInstanceCount"], shown["DesiredInstanceCount"]) == (1, INSTANCES)
    assert shown["VariantStatus"][0]["StatusMessage"] == (
        f"Baking for {LONG} seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of 1 instance(s)."
    )
    after = describe(aws, endpoint)
    assert after["EndpointConfigName"] == before["EndpointConfigName"]
    assert "PendingDeploymentSummary" not in after
    assert after["FailureReason"] in aws.reasons(endpoint)
    assert f"{endpoint}-5xx" in after["FailureReason"]
    assert not any(alive(pid) for pid in {answer["pid"] for answer in answers if answer["model"] == "two"})


def test_a_model_that_fails_requests_is_rolled_back_by_its_alarm_and_a_good_one_goes_through(
    aws: Aws, endpoint: str
) -> None:
    with Traffic(lambda: ask(aws, endpoint)) as traffic:
        begin(aws, endpoint, template(endpoint, "failing", LONG))
        assert aws.settled(endpoint) == "UPDATE_ROLLBACK_COMPLETE"
        failed = len(traffic.failures)
        answered = len(traffic.answers)
        eventually(lambda: len(traffic.answers) > answered + 50)
        assert failed > 0
        assert all("Received server error (500)" in failure for failure in traffic.failures)
        assert {answer["model"] for answer in traffic.answers} == {"one"}
        assert f"{endpoint}-5xx" in describe(aws, endpoint)["FailureReason"]
        history = aws.cloudwatch.describe_alarm_history(AlarmName=f"{endpoint}-5xx")["AlarmHistoryItems"]
        assert any("to ALARM" in item["HistorySummary"] for item in history)
        begin(aws, endpoint, template(endpoint, "two", 60, identity="Two"))
        assert aws.settled(endpoint) == "UPDATE_COMPLETE", aws.reasons(endpoint)
        answered = len(traffic.answers)
        eventually(lambda: len(traffic.answers) > answered + 50)
    assert len(traffic.failures) == failed
    assert {answer["model"] for answer in traffic.answers[answered + 5 :]} == {"two"}
    pids = {answer["pid"] for answer in traffic.answers[answered + 5 :]}
    assert len(pids) == INSTANCES


def test_an_alarm_of_the_old_configuration_stops_an_update_only_if_the_new_one_shares_it(
    aws: Aws, endpoint: str
) -> None:
    aws.cloudwatch.set_alarm_state(AlarmName=f"{endpoint}-5xx", StateValue="ALARM", StateReason="a bad model is live")
    assert aws.deploy(endpoint, template(endpoint, "two", 60)) == "UPDATE_ROLLBACK_COMPLETE"
    assert f"in state ALARM: {endpoint}-5xx." in aws.reasons(endpoint)
    assert ask(aws, endpoint)["model"] == "one"
    aws.cloudwatch.set_alarm_state(AlarmName=f"{endpoint}-5xx", StateValue="ALARM", StateReason="a bad model is live")
    fresh = template(endpoint, "two", 60, identity="Two")
    assert aws.deploy(endpoint, fresh) == "UPDATE_COMPLETE", aws.reasons(endpoint)
    assert ask(aws, endpoint)["model"] == "two"
    names = [alarm["AlarmName"] for alarm in aws.cloudwatch.describe_alarms(AlarmNamePrefix=endpoint)["MetricAlarms"]]
    assert names == [f"{endpoint}-5xxTwo"]


@pytest.mark.parametrize(("artifact", "kind"), [("failing", "5xx"), ("refusing", "errors"), ("slow", "latency")])
def test_each_kind_of_alarm_takes_the_model_back_that_it_is_for(
    aws: Aws, endpoint: str, artifact: str, kind: str
) -> None:
    with Traffic(lambda: ask(aws, endpoint)) as traffic:
        begin(aws, endpoint, template(endpoint, artifact, LONG, kind))
        assert aws.settled(endpoint) == "UPDATE_ROLLBACK_COMPLETE"
        failed, answered = len(traffic.failures), len(traffic.answers)
        eventually(lambda: len(traffic.answers) > answered + 20)
    assert f"in state ALARM: {endpoint}-{kind}." in describe(aws, endpoint)["FailureReason"]
    assert len(traffic.failures) == failed
    assert {answer["model"] for answer in traffic.answers[answered + 5 :]} == {"one"}
