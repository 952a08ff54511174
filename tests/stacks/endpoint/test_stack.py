"""The endpoint's template, and its rollback alarms: each is shown able to fire by evaluating its definition."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template
from ministack.services import eventbridge

from stacks.endpoint.artifact import Artifact, Location, load_artifact
from stacks.endpoint.stack import EndpointStack
from stacks.settings import Settings
from stacks.settings.endpoint import EndpointSettings
from stacks.settings.errors import ConfigurationError

ARTIFACT = Artifact("0" * 64, bucket="models-bucket", key="7/model.tar.gz")
KEY = "arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012"

Resource = dict[str, Any]
Synthesise = Callable[..., Resource]


@pytest.fixture
def synthesise_endpoint(dev: Settings, in_project: None) -> Synthesise:
    def synthesise(
        *,
        kms_key_arn: str | None = None,
        artifact: Artifact = ARTIFACT,
        live: Location | None = None,
        alarms: bool = True,
        log_kms_key_arn: str | None = None,
        **changes: Any,
    ) -> Resource:
        table = dev.endpoint.model_dump()
        for key, value in changes.items():
            table[key] = table[key] | value if isinstance(table[key], dict) else value
        storage = dev.storage.model_copy(update={"kms_key_arn": kms_key_arn})
        monitoring = dev.monitoring.model_copy(update={"alarms": alarms})
        settings = dev.model_copy(
            update={
                "endpoint": EndpointSettings.model_validate(table),
                "storage": storage,
                "monitoring": monitoring,
                "api": dev.api.model_copy(update={"log_kms_key_arn": log_kms_key_arn}),
            }
        )
        stack = EndpointStack(cdk.App(), "Endpoint", settings=settings, artifact=artifact, live=live)
        return dict(Template.from_stack(stack).to_json())

    return synthesise


def of_type(template: Resource, kind: str) -> dict[str, Resource]:
    return {name: item for name, item in template["Resources"].items() if item["Type"] == f"AWS::{kind}"}


def one(template: Resource, kind: str) -> Resource:
    (item,) = of_type(template, kind).values()
    properties: Resource = item["Properties"]
    return properties


def statements(template: Resource, sid: str) -> list[Resource]:
    documents = [item["Properties"]["PolicyDocument"] for item in of_type(template, "IAM::Policy").values()]
    for role in of_type(template, "IAM::Role").values():
        documents += [policy["PolicyDocument"] for policy in role["Properties"].get("Policies", [])]
    return [s for document in documents for s in document["Statement"] if s["Sid"] == sid]


def text(value: Any) -> str:
    """Return a joined value with a question mark for each token."""
    if isinstance(value, str):
        return value
    return "".join(part if isinstance(part, str) else "?" for part in value["Fn::Join"][1])


# Alarms


@dataclass(frozen=True)
class Invocation:
    """One invocation: its HTTP status (0: no answer) and the model's time."""

    status: int = 200
    microseconds: float = 40_000


def samples(metric: str, minute: Sequence[Invocation]) -> list[float]:
    """Return what SageMaker sends for a metric (guide, "Amazon SageMaker AI metrics in Amazon CloudWatch")."""
    match metric:
        case "Invocation5XXErrors":
            return [float(500 <= i.status <= 599) for i in minute]
        case "InvocationModelErrors":
            return [float(not 200 <= i.status <= 299) for i in minute]
        case "ModelLatency":
            return [i.microseconds for i in minute]
    raise AssertionError(f"SageMaker has no metric {metric} that an alarm here may use")


def statistic(alarm: Resource, values: Sequence[float]) -> float | None:
    """Return a period's data point; None where no sample came."""
    if not values:
        return None
    match alarm.get("Statistic") or alarm["ExtendedStatistic"]:
        case "Average":
            return sum(values) / len(values)
        case "Sum":
            return sum(values)
        case "Maximum":
            return max(values)
        case "p99":
            return sorted(values)[math.ceil(0.99 * len(values)) - 1]
        case other:
            raise AssertionError(f"the evaluator does not know {other}")


def fires(alarm: Resource, minutes: Sequence[Sequence[Invocation]]) -> bool:
    """Tell whether an alarm is ever in ALARM while the minutes pass (CloudWatch guide, "Alarm evaluation")."""
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    assert alarm["TreatMissingData"] == "notBreaching"
    assert alarm["Period"] % 60 == 0
    step = alarm["Period"] // 60
    periods = [[i for minute in minutes[n : n + step] for i in minute] for n in range(0, len(minutes), step)]
    points = [statistic(alarm, samples(alarm["MetricName"], period)) for period in periods]
    breaching = [point is not None and point > alarm["Threshold"] for point in points]
    window = alarm["EvaluationPeriods"]
    needed = alarm.get("DatapointsToAlarm", window)
    return any(sum(breaching[max(0, end - window) : end]) >= needed for end in range(1, len(breaching) + 1))


def mixed(count: int, *, good: Invocation = Invocation(), bad: Invocation, failing: int) -> list[Invocation]:
    return [bad] * failing + [good] * (count - failing)


BROKEN = Invocation(status=500)
REFUSED = Invocation(status=422)
LOST = Invocation(status=0, microseconds=60_000_000)
SLOW = Invocation(microseconds=2_500_000)

GOOD: dict[str, list[list[Invocation]]] = {
    "all answered": [[Invocation()] * 100] * 10,
    "no traffic": [[]] * 10,
    "one error in a hundred": [mixed(100, bad=BROKEN, failing=1)] * 10,
    "a fifth of the photos are none": [mixed(100, bad=REFUSED, failing=20)] * 10,
    "one bad minute": [[Invocation()] * 100, [BROKEN] * 100, *[[Invocation()] * 100] * 8],
    "one slow minute": [[Invocation()] * 100, [SLOW] * 100, *[[Invocation()] * 100] * 8],
    "one slow request in two hundred": [mixed(200, bad=SLOW, failing=1)] * 10,
}
BAD: dict[str, dict[str, list[list[Invocation]]]] = {
    "ServerErrors": {
        "a tenth broken": [mixed(100, bad=BROKEN, failing=10)] * 3,
        "all broken in two minutes of three": [[BROKEN] * 5, [Invocation()] * 5, [BROKEN] * 5],
        "little traffic, all broken": [[BROKEN], [BROKEN]],
    },
    "ModelErrors": {
        "every photo refused in two minutes of three": [[REFUSED] * 20, [Invocation()] * 20, [REFUSED] * 20],
        "no answer in time": [mixed(10, bad=LOST, failing=8)] * 3,
    },
    "Latency": {
        "one in fifty takes 2.5 s": [mixed(100, bad=SLOW, failing=2)] * 3,
        "all take 2.5 s in two minutes of three": [[SLOW] * 3, [Invocation()] * 3, [SLOW] * 3],
    },
}


def rollback_alarms(template: Resource) -> dict[str, Resource]:
    """Return the alarms that the deployment policy names, by the last noun of their logical ids."""
    named = one(template, "SageMaker::Endpoint")["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    alarms = of_type(template, "CloudWatch::Alarm")
    return {
        next(noun for noun in BAD if noun in alarm["AlarmName"]["Ref"]): alarms[alarm["AlarmName"]["Ref"]]["Properties"]
        for alarm in named
    }


@pytest.mark.parametrize(
    ("alarm", "series"), [(alarm, name) for alarm, all_series in BAD.items() for name in all_series]
)
def test_an_alarm_fires_on_what_it_is_for(synthesise_endpoint: Synthesise, alarm: str, series: str) -> None:
    assert fires(rollback_alarms(synthesise_endpoint())[alarm], BAD[alarm][series])


@pytest.mark.parametrize("series", GOOD)
def test_no_alarm_fires_on_a_sound_fleet(synthesise_endpoint: Synthesise, series: str) -> None:
    alarms = rollback_alarms(synthesise_endpoint())
    assert alarms.keys() == BAD.keys()
    assert [name for name, alarm in alarms.items() if fires(alarm, GOOD[series])] == []


def test_the_evaluator_finds_the_alarm_that_can_never_fire() -> None:
    impossible = {
        "MetricName": "Invocation5XXErrors",
        "Statistic": "Average",
        "Threshold": 1,
        "Period": 60,
        "EvaluationPeriods": 2,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }
    assert not fires(impossible, [[BROKEN] * 100] * 10)
    assert fires({**impossible, "Threshold": 0.5}, [[BROKEN] * 100] * 10)


def test_alarms_fire_within_one_bake(synthesise_endpoint: Synthesise) -> None:
    template = synthesise_endpoint(deployment={"bake_seconds": 180})
    for alarm in rollback_alarms(template).values():
        assert alarm["Period"] * alarm["EvaluationPeriods"] <= 180


def test_alarms_watch_the_new_fleet_of_each_variant_only(synthesise_endpoint: Synthesise) -> None:
    template = synthesise_endpoint(variants=[{"name": "A", "weight": 1}, {"name": "B", "weight": 2}])
    (config,) = of_type(template, "SageMaker::EndpointConfig")
    watched = set()
    for alarm in of_type(template, "CloudWatch::Alarm").values():
        dimensions = {d["Name"]: d["Value"] for d in alarm["Properties"]["Dimensions"]}
        assert alarm["Properties"]["Namespace"] == "AWS/SageMaker"
        assert dimensions["EndpointName"] == "kennel-dev"
        assert dimensions["EndpointConfigName"] == {"Fn::GetAtt": [config, "EndpointConfigName"]}
        watched.add((dimensions["VariantName"], alarm["Properties"]["MetricName"]))
    metrics = ("Invocation5XXErrors", "InvocationModelErrors", "ModelLatency")
    assert watched == {(name, metric) for name in "AB" for metric in metrics}
    assert len(one(template, "SageMaker::Endpoint")["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]) == 6


def test_each_configuration_has_alarms_of_its_own(synthesise_endpoint: Synthesise) -> None:
    def alarms(**changes: Any) -> set[str]:
        found = of_type(synthesise_endpoint(**changes), "CloudWatch::Alarm")
        names = {alarm["Properties"]["AlarmName"] for alarm in found.values()}
        assert len(names) == len(found) == 3
        assert all(name.startswith("kennel-dev-guardrail-AllTraffic-") for name in names)
        return names | set(found)

    first = alarms()
    assert alarms() == first
    assert alarms(guardrails={"latency_p99_milliseconds": 3000}) == first
    for other in (
        {"artifact": Artifact("1" * 64, bucket="models-bucket", key="8/model.tar.gz")},
        {"instance_type": "ml.c7i.xlarge"},
        {"capture_percentage": 10, "capture": "answers"},
        {"network_isolation": False},
    ):
        assert not alarms(**other) & first


def test_alarms_notify_the_alarm_topic(synthesise_endpoint: Synthesise) -> None:
    for alarm in of_type(synthesise_endpoint(), "CloudWatch::Alarm").values():
        (action,) = alarm["Properties"]["AlarmActions"]
        assert text(action) == "arn:?:sns:?:?:kennel-dev-alarms"
        assert alarm["Properties"]["AlarmDescription"].endswith("#guardrail")
    silent = of_type(synthesise_endpoint(alarms=False), "CloudWatch::Alarm")
    assert len(silent) == 3
    assert not any("AlarmActions" in alarm["Properties"] for alarm in silent.values())


def test_sagemaker_may_see_the_alarms_before_the_endpoint_is_made(synthesise_endpoint: Synthesise) -> None:
    template = synthesise_endpoint()
    (read,) = statements(template, "ReadAlarms")
    assert read["Action"] == "cloudwatch:DescribeAlarms"
    alarms = of_type(template, "CloudWatch::Alarm")
    assert [arn["Fn::GetAtt"] for arn in read["Resource"]] == [[name, "Arn"] for name in alarms]
    (endpoint,) = of_type(template, "SageMaker::Endpoint").values()
    policy = next(name for name in of_type(template, "IAM::Policy") if name.startswith("Rollback"))
    assert policy in endpoint["DependsOn"]


# An update that SageMaker takes back


def read_by_role(template: Resource) -> list[str]:
    return [text(statement["Resource"]).partition(":::")[2] for statement in statements(template, "ReadArtifact")]


def artifact_of(number: int, **where: Any) -> Artifact:
    return Artifact(f"{number:064}", **(where or {"bucket": "models-bucket", "key": f"{number}/model.tar.gz"}))


def test_an_update_keeps_the_old_model_and_configuration_and_their_deletion_does_not(
    synthesise_endpoint: Synthesise,
) -> None:
    template = synthesise_endpoint()
    for kind in ("Model", "EndpointConfig"):
        (item,) = of_type(template, f"SageMaker::{kind}").values()
        assert (item["UpdateReplacePolicy"], item["DeletionPolicy"]) == ("Retain", "Delete")


def test_after_ten_updates_the_role_reads_the_current_and_the_live_artifact(synthesise_endpoint: Synthesise) -> None:
    live = None
    for number in range(10):
        template = synthesise_endpoint(artifact=artifact_of(number), live=live)
        expected = [f"models-bucket/{n}/model.tar.gz" for n in (number, number - 1) if n >= 0]
        assert read_by_role(template) == expected
        live = Location("models-bucket", f"{number}/model.tar.gz")


def test_a_redeployment_removes_the_old_artifacts_policy_and_nothing_else(
    synthesise_endpoint: Synthesise, tmp_path: Path
) -> None:
    (tmp_path / "model.tar.gz").write_bytes(b"a model")
    uploaded = {"path": tmp_path / "model.tar.gz"}
    bucket = "cdk-hnb659fds-assets-123456789012-eu-central-1"
    before = synthesise_endpoint(artifact=artifact_of(1, **uploaded))["Resources"]
    update = synthesise_endpoint(
        artifact=artifact_of(2, **uploaded), live=Location(bucket, f"{1:064}.tar.gz"), kms_key_arn=KEY
    )["Resources"]
    again, once_more = (
        synthesise_endpoint(
            artifact=artifact_of(2, **uploaded), live=Location(bucket, f"{2:064}.tar.gz"), kms_key_arn=KEY
        )["Resources"]
        for _ in range(2)
    )
    gone = {name for name in update if name not in again}
    assert again == {name: item for name, item in update.items() if name not in gone} == once_more
    (policy,) = gone
    assert update[policy] == before[policy]  # the running fleet never lacks it
    assert update[policy]["Type"] == "AWS::IAM::Policy"


def test_an_artifact_elsewhere_in_s3_is_another_policy(synthesise_endpoint: Synthesise) -> None:
    def policies(**changes: Any) -> set[str]:
        return {name for name in of_type(synthesise_endpoint(**changes), "IAM::Policy") if "Access" in name}

    moved = Artifact(ARTIFACT.sha256, bucket="models-bucket", key="elsewhere/model.tar.gz")
    assert not policies() & policies(artifact=moved)


def test_the_live_artifact_is_read_by_the_roles_of_variants_without_a_manifest_of_their_own(
    synthesise_endpoint: Synthesise, tmp_path: Path, write_artifact: Callable[..., Path]
) -> None:
    own = {"name": "Own", "weight": 1, "manifest": str(write_artifact(tmp_path, b"own"))}
    template = synthesise_endpoint(
        variants=[{"name": "Shared", "weight": 1}, own], live=Location("models-bucket", "6/model.tar.gz")
    )
    read = [resource for resource in read_by_role(template) if resource.startswith("models-bucket")]
    assert read == ["models-bucket/7/model.tar.gz", "models-bucket/6/model.tar.gz"]


def event(status: str, config: str, endpoint: str = "kennel-dev") -> Resource:
    detail = {"EndpointName": endpoint, "EndpointConfigName": config, "EndpointStatus": status}
    return {
        "Source": "aws.sagemaker",
        "DetailType": "SageMaker Endpoint State Change",
        "Detail": json.dumps(detail),
        "Resources": [f"arn:aws:sagemaker:us-east-1:123456789012:endpoint/{endpoint}"],
    }


@pytest.mark.parametrize(
    ("state", "notifies"),
    [
        (event("UPDATING", "old"), False),
        (event("IN_SERVICE", "old"), True),
        (event("IN_SERVICE", "declared"), False),
        (event("FAILED", "declared"), True),
        (event("ROLLING_BACK", "declared"), True),
        (event("DELETING", "declared"), False),
        (event("FAILED", "declared", endpoint="another"), False),
    ],
)
def test_a_rule_notifies_of_a_failed_endpoint_and_of_one_that_serves_another_configuration(
    synthesise_endpoint: Synthesise, state: Resource, notifies: bool
) -> None:
    template = synthesise_endpoint()
    (config,) = of_type(template, "SageMaker::EndpointConfig")
    pattern = json.dumps(one(template, "Events::Rule")["EventPattern"])
    declared = json.dumps({"Fn::GetAtt": [config, "EndpointConfigName"]})
    assert declared in pattern
    assert eventbridge._matches_pattern(pattern.replace(declared, '"declared"'), state) is notifies


def test_the_rule_knows_a_new_configuration_before_the_endpoint_gets_it(synthesise_endpoint: Synthesise) -> None:
    template = synthesise_endpoint()
    ((name, rule),) = of_type(template, "Events::Rule").items()
    (endpoint,) = of_type(template, "SageMaker::Endpoint").values()
    assert name in endpoint["DependsOn"]
    (target,) = rule["Properties"]["Targets"]
    assert text(target["Arn"]) == "arn:?:sns:?:?:kennel-dev-alarms"
    assert "#endpoint-state" in json.dumps(target["InputTransformer"])
    assert not of_type(synthesise_endpoint(alarms=False), "Events::Rule")


# Deployment policy


@pytest.mark.parametrize(
    ("traffic", "fleet", "expected"),
    [
        ("auto", 1, {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}),
        (
            "auto",
            2,
            {
                "Type": "CANARY",
                "WaitIntervalInSeconds": 300,
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
            },
        ),
        (
            "linear",
            2,
            {
                "Type": "LINEAR",
                "WaitIntervalInSeconds": 300,
                "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
            },
        ),
    ],
)
def test_an_update_moves_traffic_as_the_fleet_allows(
    synthesise_endpoint: Synthesise, traffic: str, fleet: int, expected: Resource
) -> None:
    template = synthesise_endpoint(deployment={"traffic": traffic}, scaling={"minimum_instances": fleet})
    policy = one(template, "SageMaker::Endpoint")["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"] == expected
    assert policy["TerminationWaitInSeconds"] == 300
    assert policy["MaximumExecutionTimeoutInSeconds"] == 1800


def test_an_update_keeps_the_instance_count_but_not_weights(synthesise_endpoint: Synthesise) -> None:
    endpoint = one(synthesise_endpoint(), "SageMaker::Endpoint")
    assert endpoint["RetainAllVariantProperties"] is True
    excluded = [entry["VariantPropertyType"] for entry in endpoint["ExcludeRetainedVariantProperties"]]
    assert excluded == ["DesiredWeight"]  # DataCaptureConfig is "not currently supported"


# Variants


def test_timeouts_and_first_count_are_the_settings(synthesise_endpoint: Synthesise) -> None:
    template = synthesise_endpoint(download_timeout_seconds=120, startup_timeout_seconds=180)
    (variant,) = one(template, "SageMaker::EndpointConfig")["ProductionVariants"]
    assert variant["VariantName"] == "AllTraffic"
    assert variant["ModelDataDownloadTimeoutInSeconds"] == 120
    assert variant["ContainerStartupHealthCheckTimeoutInSeconds"] == 180
    assert variant["InitialInstanceCount"] == 1


def test_two_variants_have_a_model_a_role_and_scaling_each(
    synthesise_endpoint: Synthesise, tmp_path: Path, write_artifact: Callable[..., Path]
) -> None:
    own = {"name": "Small", "weight": 9, "container": "image", "instance_type": "ml.c7g.large"}
    template = synthesise_endpoint(
        variants=[{"name": "Large", "weight": 1}, {**own, "manifest": str(write_artifact(tmp_path, b"small"))}]
    )
    large, small = one(template, "SageMaker::EndpointConfig")["ProductionVariants"]
    assert (large["InitialVariantWeight"], small["InitialVariantWeight"]) == (1, 9)
    assert (large["InstanceType"], small["InstanceType"]) == ("ml.c7i.large", "ml.c7g.large")
    assert large["ModelName"] != small["ModelName"]
    models = [item["Properties"] for item in of_type(template, "SageMaker::Model").values()]
    assert models[0]["PrimaryContainer"]["ModelDataUrl"] != models[1]["PrimaryContainer"]["ModelDataUrl"]
    assert models[0]["ExecutionRoleArn"] != models[1]["ExecutionRoleArn"]
    targets = of_type(template, "ApplicationAutoScaling::ScalableTarget").values()
    assert [text(t["Properties"]["ResourceId"]) for t in targets] == [
        f"endpoint/?/variant/{name}" for name in ("Large", "Small")
    ]


def test_a_variant_may_be_called_like_anything_of_the_stack(synthesise_endpoint: Synthesise) -> None:
    names = ["Config", "Endpoint", "Rollback"]
    template = synthesise_endpoint(variants=[{"name": name, "weight": 1} for name in names])
    assert [v["VariantName"] for v in one(template, "SageMaker::EndpointConfig")["ProductionVariants"]] == names


def test_a_variants_own_model_must_pass_the_gate_too(
    synthesise_endpoint: Synthesise, tmp_path: Path, write_artifact: Callable[..., Path]
) -> None:
    manifest = write_artifact(tmp_path, accuracy=0.1)
    with pytest.raises(ConfigurationError, match=r"0\.1000 is below model\.minimum_accuracy"):
        synthesise_endpoint(variants=[{"name": "Weak", "weight": 1, "manifest": str(manifest)}])


def test_a_shadow_is_no_production_variant_and_does_not_scale(synthesise_endpoint: Synthesise) -> None:
    template = synthesise_endpoint(shadow={"name": "Candidate", "sampling_percentage": 25, "instances": 2})
    config = one(template, "SageMaker::EndpointConfig")
    (variant,), (shadow,) = config["ProductionVariants"], config["ShadowProductionVariants"]
    assert (variant["VariantName"], shadow["VariantName"]) == ("AllTraffic", "Candidate")
    assert (shadow["InitialVariantWeight"], shadow["InitialInstanceCount"]) == (0.25, 2)
    assert len(of_type(template, "ApplicationAutoScaling::ScalableTarget")) == 1
    assert len(of_type(template, "CloudWatch::Alarm")) == 3


def test_scaling_can_be_switched_off_so_that_an_instance_type_or_a_variant_may_change(
    synthesise_endpoint: Synthesise,
) -> None:
    on, off = synthesise_endpoint(), synthesise_endpoint(scaling={"enabled": False})
    gone = {name: item["Type"] for name, item in on["Resources"].items() if name not in off["Resources"]}
    assert set(gone.values()) == {
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
    }
    # What serves is the same, so that the deployment that switches scaling off touches no instance.
    assert off["Resources"] == {name: item for name, item in on["Resources"].items() if name not in gone}


def test_what_scales_waits_for_the_endpoint_so_that_a_new_instance_type_and_scaling_may_come_together(
    synthesise_endpoint: Synthesise,
) -> None:
    template = synthesise_endpoint()
    (endpoint,) = of_type(template, "SageMaker::Endpoint")
    assert f'"{endpoint}"' in json.dumps(one(template, "ApplicationAutoScaling::ScalableTarget")["ResourceId"])


def test_serverless_has_no_instances_no_scaling_no_guardrails_and_no_isolation(
    synthesise_endpoint: Synthesise,
) -> None:
    template = synthesise_endpoint(
        network_isolation=False,
        instance_type="ml.c7g.large",
        container="image",
        serverless={"memory_mb": 4096, "maximum_concurrency": 10, "provisioned_concurrency": 2},
    )
    (variant,) = one(template, "SageMaker::EndpointConfig")["ProductionVariants"]
    assert variant.keys() == {"VariantName", "ModelName", "InitialVariantWeight", "ServerlessConfig"}
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 4096, "MaxConcurrency": 10, "ProvisionedConcurrency": 2}
    assert one(template, "SageMaker::Model")["EnableNetworkIsolation"] is False
    for update in ("DeploymentConfig", "RetainAllVariantProperties", "ExcludeRetainedVariantProperties"):
        assert update not in one(template, "SageMaker::Endpoint")
    for kind in ("ApplicationAutoScaling::ScalableTarget", "CloudWatch::Alarm"):
        assert not of_type(template, kind)
    assert not statements(template, "ReadAlarms")


@pytest.mark.parametrize("routing", [None, "random"])
def test_every_variant_is_routed_as_set(synthesise_endpoint: Synthesise, routing: str | None) -> None:
    shadow = {"name": "Candidate", "sampling_percentage": 25}
    template = synthesise_endpoint(shadow=shadow, **({"routing": routing} if routing else {}))
    config = one(template, "SageMaker::EndpointConfig")
    strategy = {"RoutingStrategy": "RANDOM" if routing else "LEAST_OUTSTANDING_REQUESTS"}
    for variant in (*config["ProductionVariants"], *config["ShadowProductionVariants"]):
        assert variant["RoutingConfig"] == strategy


# Capture


def test_nothing_is_captured_and_nothing_may_be_written_by_default(synthesise_endpoint: Synthesise) -> None:
    template = synthesise_endpoint(kms_key_arn=None)
    assert "DataCaptureConfig" not in one(template, "SageMaker::EndpointConfig")
    assert not statements(template, "WriteCapture")
    assert not statements(template, "UseKey")


@pytest.mark.parametrize(("capture", "modes"), [("answers", ["Output"]), ("photos_and_answers", ["Input", "Output"])])
def test_captured_requests_go_to_the_bucket_and_nowhere_else(
    synthesise_endpoint: Synthesise, capture: str, modes: list[str]
) -> None:
    template = synthesise_endpoint(capture_percentage=20, capture=capture)
    config = one(template, "SageMaker::EndpointConfig")["DataCaptureConfig"]
    assert (config["EnableCapture"], config["InitialSamplingPercentage"]) == (True, 20)
    assert text(config["DestinationS3Uri"]) == "s3://kennel-dev-?-?/capture"
    assert [option["CaptureMode"] for option in config["CaptureOptions"]] == modes
    (write,) = statements(template, "WriteCapture")
    assert write["Action"] == "s3:PutObject"
    assert text(write["Resource"]) == "arn:?:s3:::kennel-dev-?-?/capture/*"


@pytest.mark.parametrize(("percentage", "actions"), [(20, ["kms:Decrypt", "kms:GenerateDataKey"]), (0, "kms:Decrypt")])
def test_the_key_of_the_bucket_is_used_for_what_lies_in_it(
    synthesise_endpoint: Synthesise, percentage: int, actions: Any
) -> None:
    template = synthesise_endpoint(capture_percentage=percentage, capture="answers", kms_key_arn=KEY)
    (use,) = statements(template, "UseKey")
    assert (use["Action"], use["Resource"]) == (actions, KEY)
    capture = one(template, "SageMaker::EndpointConfig").get("DataCaptureConfig", {})
    assert capture.get("KmsKeyId") == (KEY if percentage else None)


# Log


@pytest.mark.parametrize("key", [None, KEY])
def test_the_log_group_that_sagemaker_makes_gets_retention_and_key(
    synthesise_endpoint: Synthesise, dev: Settings, key: str | None
) -> None:
    template = synthesise_endpoint(log_kms_key_arn=key)
    group = {"LogGroupName": "/aws/sagemaker/Endpoints/kennel-dev"}
    expected: Resource = {"putRetentionPolicy": {**group, "RetentionInDays": dev.api.log_retention_days}}
    if key:
        expected["associateKmsKey"] = {**group, "KmsKeyId": key}
    found = {}
    (endpoint,) = of_type(template, "SageMaker::Endpoint")
    for schedule in of_type(template, "Scheduler::Schedule").values():
        target = schedule["Properties"]["Target"]
        prefix, _, action = text(target["Arn"]).rpartition(":")
        assert prefix == "arn:?:scheduler:::aws-sdk:cloudwatchlogs"
        found[action] = json.loads(target["Input"])
        assert schedule["DependsOn"] == [endpoint]  # its containers make the group
    assert found == expected
    arn = "arn:?:logs:?:?:log-group:/aws/sagemaker/Endpoints/kennel-dev"
    (keep,) = statements(template, "KeepEndpointLogs")
    encrypt = statements(template, "EncryptEndpointLogs")
    assert len(encrypt) == bool(key)
    for statement in (keep, *encrypt):
        assert [text(resource) for resource in statement["Resource"]] == [arn, f"{arn}:*"]
    assert not of_type(template, "Logs::LogGroup")


# Scaling


@pytest.mark.parametrize(
    ("scaling", "metric", "value"),
    [
        ({}, "SageMakerVariantInvocationsPerInstance", 600),
        (
            {"metric": "concurrency", "concurrent_requests_per_instance": 2.5},
            "SageMakerVariantConcurrentRequestsPerModelHighResolution",
            2.5,
        ),
    ],
)
def test_one_metric_is_tracked(
    synthesise_endpoint: Synthesise, scaling: dict[str, Any], metric: str, value: float
) -> None:
    policy = one(synthesise_endpoint(scaling=scaling), "ApplicationAutoScaling::ScalingPolicy")
    tracking = policy["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["PredefinedMetricSpecification"] == {"PredefinedMetricType": metric}
    assert tracking["TargetValue"] == value
    assert (tracking["ScaleOutCooldown"], tracking["ScaleInCooldown"]) == (60, 300)


def test_bounds_change_by_the_clock(synthesise_endpoint: Synthesise) -> None:
    action = {"name": "Mornings", "cron": "0 7 ? * MON-FRI *", "time_zone": "Europe/Berlin"}
    schedule = [{**action, "minimum_instances": 2, "maximum_instances": 3}]
    target = one(synthesise_endpoint(scaling={"schedule": schedule}), "ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 4)
    assert target["ScheduledActions"] == [
        {
            "ScheduledActionName": "Mornings",
            "Schedule": "cron(0 7 ? * MON-FRI *)",
            "Timezone": "Europe/Berlin",
            "ScalableTargetAction": {"MinCapacity": 2, "MaxCapacity": 3},
        }
    ]


def test_the_same_bytes_at_another_address_have_a_policy_of_their_own(dev: Settings, in_project: None) -> None:
    """Else the policy of the running fleet would change under it."""
    policies = []
    for bucket in ("models-bucket", "other-bucket"):
        artifact = Artifact("0" * 64, bucket=bucket, key="7/model.tar.gz")
        stack = EndpointStack(cdk.App(), "Endpoint", settings=dev, artifact=artifact)
        policies.append(
            {name for name in of_type(dict(Template.from_stack(stack).to_json()), "IAM::Policy") if "Access" in name}
        )
    assert not policies[0] & policies[1]


def test_the_manifest_is_uploaded_beside_the_artifact(
    dev: Settings, in_project: None, write_artifact: Any, tmp_path: Path
) -> None:
    manifest = write_artifact(tmp_path)
    artifact = load_artifact(manifest, minimum_accuracy=0.9)
    app = cdk.App(outdir=str(tmp_path / "cdk.out"))
    stack = EndpointStack(app, "Endpoint", settings=dev, artifact=artifact)
    app.synth()
    assets = json.loads((tmp_path / "cdk.out" / f"{stack.artifact_id}.assets.json").read_text())["files"].values()
    placed = {
        destination["objectKey"]: tmp_path / "cdk.out" / asset["source"]["path"]
        for asset in assets
        for destination in asset["destinations"].values()
    }
    assert placed[f"{artifact.sha256}.json"].read_bytes() == manifest.read_bytes()
    assert f"{artifact.sha256}.tar.gz" in placed
