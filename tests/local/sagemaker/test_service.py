"""SageMaker's control plane without a gateway: what updates keep, what they refuse, and what they report."""

import dataclasses
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from local.core.account import Account
from local.core.clock import ScaledClock
from local.core.errors import InstanceError, ServiceError
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
def sage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sage:
    monkeypatch.setattr("local.sagemaker.service.Instance", lambda spec, *_: FakeInstance(spec))
    monkeypatch.setattr(Instance, "stop", lambda instance: None)
    updates = BlueGreen(ScaledClock(3600), NoAlarms())
    service = SageMaker(cast("Account", AnyRole()), tmp_path, cast("Any", None), updates)
    for name in ("one", "two", "broken"):
        container = {"Image": "image", "ModelDataUrl": f"s3://bucket/{name}.tar.gz"}
        service.call("CreateModel", {"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": container})
        configure(service, name)
    return service


def configure(sage: Sage, model: str, name: str = "", **members: Any) -> None:
    variant = {
        "VariantName": "AllTraffic",
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
    assert sage.endpoints["e"].settled.wait(10)
    return dict(sage.call("DescribeEndpoint", {"EndpointName": "e"}))


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
