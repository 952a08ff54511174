"""SageMaker's control plane without a gateway: what updates keep, what they refuse, and what they report."""

import dataclasses
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from local.core.account import Account
from local.core.clock import ScaledClock
from local.core.errors import InstanceError, ServiceError
from local.core.json_service import JsonService
from local.core.tags import Tags
from local.ministack import notifications
from local.sagemaker import cloudformation
from local.sagemaker.endpoint.blue_green import BlueGreen
from local.sagemaker.endpoint.instance import Instance
from local.sagemaker.service import SageMaker

ROLE = "arn:aws:iam::123456789012:role/hosting"
CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 20,
    "DestinationS3Uri": "s3://bucket/capture",
    "CaptureOptions": [{"CaptureMode": "Output"}],
}
Sage = SageMaker


class NoAlarms:
    def require(self, names: Collection[str], roles: Collection[str]) -> None:
        pass

    @contextmanager
    def watched(self, names: Collection[str]) -> Iterator[None]:
        yield

    def ringing(self, names: Collection[str]) -> list[str]:
        return []


class AnyRole:
    """An account in which every role may be assumed."""

    def assume(self, role: str, service: str, session: str) -> None:
        pass


@dataclasses.dataclass
class FakeInstance:
    """An instance without a process; those of the model ``broken`` do not start."""

    spec: Any
    alive: bool = True
    in_flight: int = 0

    def start(self) -> None:
        if self.spec.model["ModelName"] == "broken":
            raise InstanceError("The primary container did not pass the ping health check.")


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Record the events that would be published."""
    found: list[Any] = []
    monkeypatch.setattr(notifications, "publish_event", lambda *event: found.append(event))
    return found


@pytest.fixture
def sage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, events: list[Any]) -> Sage:
    monkeypatch.setattr("local.sagemaker.endpoint.launcher.Instance", lambda spec, *_: FakeInstance(spec))
    monkeypatch.setattr(Instance, "stop", lambda instance: None)
    updates = BlueGreen(ScaledClock(3600), NoAlarms())
    no_logs, is_scaled = cast("Any", None), lambda endpoint, variant: (endpoint, variant) == ("e", "Scaled")
    account = cast("Account", AnyRole())
    service = SageMaker(account, Tags(), instances=tmp_path, logs=no_logs, updates=updates, is_scaled=is_scaled)
    for name in ("one", "two", "broken"):
        container = {"Image": "image", "ModelDataUrl": f"s3://bucket/{name}.tar.gz"}
        service.call("CreateModel", {"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": container})
        configure(service, name)
    return service


def configure(sage: Sage, model: str, name: str = "", **members: Any) -> None:
    variant = {
        "VariantName": members.pop("variant", "AllTraffic"),
        "ModelName": model,
        "InstanceType": "ml.c7i.large",
        "InitialInstanceCount": members.pop("instances", 1),
        "InitialVariantWeight": 1.0,
    }
    request = {"EndpointConfigName": name or model, "ProductionVariants": [variant], **members}
    sage.call("CreateEndpointConfig", request)


def settle(sage: Sage, operation: str, **members: Any) -> dict[str, Any]:
    """Call an operation on the endpoint, wait until it is over, and describe the endpoint."""
    sage.call(operation, {"EndpointName": "e", **members})
    described = sage.call("DescribeEndpoint", {"EndpointName": "e"})
    while described["EndpointStatus"] in ("Creating", "Updating"):
        time.sleep(0.01)
        described = sage.call("DescribeEndpoint", {"EndpointName": "e"})
    return dict(described)


def scale(sage: Sage, count: int) -> dict[str, Any]:
    wish = [{"VariantName": "AllTraffic", "DesiredInstanceCount": count}]
    return settle(sage, "UpdateEndpointWeightsAndCapacities", DesiredWeightsAndCapacities=wish)


def count(described: dict[str, Any]) -> int:
    return int(described["ProductionVariants"][0]["CurrentInstanceCount"])


# What an update keeps


@pytest.mark.parametrize(
    ("retained", "message"),
    [
        (
            {
                "RetainAllVariantProperties": True,
                "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DataCaptureConfig"}],
            },
            "DataCaptureConfig is not currently supported",
        ),
        (
            {"ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}]},
            "requires RetainAllVariantProperties",
        ),
    ],
)
def test_what_aws_does_not_document_as_retained_is_refused(sage: Sage, retained: Any, message: str) -> None:
    settle(sage, "CreateEndpoint", EndpointConfigName="one")
    with pytest.raises(ServiceError, match=message) as refusal:
        sage.call("UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "two", **retained})
    assert refusal.value.code == "ValidationException"


def test_a_change_of_capture_takes_effect_although_the_instance_count_is_retained(sage: Sage) -> None:
    configure(sage, "one", "captured", DataCaptureConfig=CAPTURE)
    assert "DataCaptureConfig" not in settle(sage, "CreateEndpoint", EndpointConfigName="one")
    scale(sage, 2)
    after = settle(sage, "UpdateEndpoint", EndpointConfigName="captured", RetainAllVariantProperties=True)
    assert count(after) == 2
    assert after["DataCaptureConfig"] == {
        "EnableCapture": True,
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": 20,
        "DestinationS3Uri": "s3://bucket/capture",
        "KmsKeyId": "",
    }
    off = settle(sage, "UpdateEndpoint", EndpointConfigName="one", RetainAllVariantProperties=True)
    assert "DataCaptureConfig" not in off


@pytest.mark.parametrize("variant", ["Scaled", "AllTraffic"])
def test_only_a_scaled_variant_cannot_be_removed(sage: Sage, variant: str) -> None:
    configure(sage, "one", "before", variant=variant)
    configure(sage, "one", "after", variant="Other")
    settle(sage, "CreateEndpoint", EndpointConfigName="before")
    if variant == "Scaled":
        with pytest.raises(ServiceError, match="deregister its scalable target before you remove the variant"):
            sage.call("UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "after"})
    else:
        assert settle(sage, "UpdateEndpoint", EndpointConfigName="after")["EndpointConfigName"] == "after"


# A canary

CANARY = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {
            "Type": "CANARY",
            "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
            "WaitIntervalInSeconds": 0,
        },
    }
}


def test_a_minimum_of_two_with_a_canary_needs_two_instances_first(sage: Sage) -> None:
    """What docs/runbook.md does, "Raising the minimum to two instances"."""
    configure(sage, "one", "minimum-2", instances=2)
    settle(sage, "CreateEndpoint", EndpointConfigName="one")
    update = {
        "EndpointConfigName": "minimum-2",
        "RetainAllVariantProperties": True,
        "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}],
        "DeploymentConfig": CANARY,
    }
    with pytest.raises(ServiceError, match=r"at most 50% of the variant's 1 instance\(s\)") as refusal:
        sage.call("UpdateEndpoint", {"EndpointName": "e", **update})
    assert refusal.value.code == "ValidationException"
    scale(sage, 2)
    after = settle(sage, "UpdateEndpoint", **update)
    assert (after["EndpointConfigName"], count(after)) == ("minimum-2", 2)
    assert "FailureReason" not in after


# Rollbacks


def test_an_update_can_fail_without_a_reason(sage: Sage) -> None:
    arn = settle(sage, "CreateEndpoint", EndpointConfigName="one")["EndpointArn"]
    loud = settle(sage, "UpdateEndpoint", EndpointConfigName="broken")
    assert "did not pass the ping health check" in loud["FailureReason"]
    sage.call("AddTags", {"ResourceArn": arn, "Tags": [{"Key": "local:silent-rollback", "Value": "yes"}]})
    silent = settle(sage, "UpdateEndpoint", EndpointConfigName="broken")
    assert (silent["EndpointStatus"], silent["EndpointConfigName"]) == ("InService", "one")
    assert "FailureReason" not in silent


@pytest.mark.parametrize("gone", ["Model", "EndpointConfig"])
def test_no_instance_starts_from_what_has_been_deleted(sage: Sage, gone: str) -> None:
    settle(sage, "CreateEndpoint", EndpointConfigName="one")
    assert count(scale(sage, 2)) == 2
    sage.call(f"Delete{gone}", {f"{gone}Name": "one"})
    after = scale(sage, 3)
    assert (after["EndpointStatus"], count(after)) == ("InService", 2)
    assert "Could not find" in after["FailureReason"]


def test_each_change_of_state_is_an_event(sage: Sage, events: list[Any]) -> None:
    settle(sage, "CreateEndpoint", EndpointConfigName="one")
    settle(sage, "UpdateEndpoint", EndpointConfigName="broken")
    scale(sage, 2)
    settle(sage, "UpdateEndpoint", EndpointConfigName="two")
    assert {(source, kind) for source, kind, _, _ in events} == {("aws.sagemaker", "SageMaker Endpoint State Change")}
    assert [(detail["EndpointStatus"], detail["EndpointConfigName"]) for *_, detail in events] == [
        ("CREATING", "one"),
        ("IN_SERVICE", "one"),
        *[("UPDATING", "one"), ("IN_SERVICE", "one")] * 2,
        ("UPDATING", "one"),
        ("IN_SERVICE", "two"),
    ]


# CloudFormation


class Api:
    """A service of which only the API can be reached; it lists the operations that change something."""

    def __init__(self, service: JsonService) -> None:
        self.name, self.model = service.name, service.model
        self._service = service
        self.changes: list[str] = []

    def call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        if not operation.startswith("Describe"):
            self.changes.append(operation)
        return self._service.call(operation, parameters)


def properties(config: str, bake: int = 0) -> dict[str, Any]:
    """Return an endpoint as a template has it, with numbers as text."""
    policy = {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": str(bake)}}
    deployment = {"BlueGreenUpdatePolicy": policy}
    return {"EndpointName": "e", "EndpointConfigName": config, "DeploymentConfig": deployment}


def test_cloudformation_deploys_what_differs_from_what_is_in_effect(sage: Sage) -> None:
    api = Api(sage)
    endpoint = cloudformation.types(api)["AWS::SageMaker::Endpoint"]
    first, broken, second = properties("one"), properties("broken", bake=1), properties("one", bake=1)
    arn, _ = endpoint.create("Endpoint", first, "stack")
    with pytest.raises(ValueError, match=r"did not stabilize.*did not pass the ping health check"):
        endpoint.update(arn, first, broken, "stack")
    endpoint.update(arn, broken, first, "stack")
    assert api.changes == ["CreateEndpoint", "UpdateEndpoint"], "a rollback finds everything in effect"
    endpoint.update(arn, first, second, "stack")
    assert api.changes == ["CreateEndpoint", "UpdateEndpoint", "UpdateEndpoint"]
    endpoint.delete(arn, second)
    assert sage.call("ListEndpoints", {})["Endpoints"] == []


def test_an_endpoint_that_does_not_start_is_deleted_before_its_stack_fails(sage: Sage) -> None:
    endpoint = cloudformation.types(Api(sage))["AWS::SageMaker::Endpoint"]
    with pytest.raises(ValueError, match="did not stabilize"):
        endpoint.create("Endpoint", properties("broken"), "stack")
    assert sage.call("ListEndpoints", {})["Endpoints"] == []
