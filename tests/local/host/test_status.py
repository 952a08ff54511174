"""What `./kennel local status` prints of the scaling of an endpoint."""

from types import SimpleNamespace
from typing import Any

import pytest

from local.host.status import _scaling


def scaling_client(metric: str) -> Any:
    target = {"ResourceId": "endpoint/kennel-local/variant/AllTraffic", "MinCapacity": 1, "MaxCapacity": 4}
    config = {"TargetValue": 12.0, "PredefinedMetricSpecification": {"PredefinedMetricType": metric}}
    return SimpleNamespace(
        describe_scalable_targets=lambda **_: {"ScalableTargets": [target]},
        describe_scaling_policies=lambda **_: {
            "ScalingPolicies": [{"TargetTrackingScalingPolicyConfiguration": config}],
        },
    )


@pytest.mark.parametrize(
    ("metric", "unit"),
    [
        ("SageMakerVariantInvocationsPerInstance", "invocations per instance and minute"),
        (
            "SageMakerVariantConcurrentRequestsPerModelHighResolution",
            "concurrent requests per instance (recorded only)",
        ),
    ],
)
def test_the_target_has_the_unit_of_its_metric(metric: str, unit: str) -> None:
    lines = _scaling(scaling_client(metric), "kennel-local")
    assert lines == ["scaling     1 to 4 instances", f"            target: 12 {unit}"]
    assert _scaling(scaling_client(metric), "kennel-other") == []
