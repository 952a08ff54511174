"""What the services make of requests and templates, without a gateway."""

import pytest

from local.core.constraints import find_violations
from local.core.errors import ServiceError
from local.core.json_service import JsonService, cut_page, service_model
from local.ministack.cloudformation import convert
from local.ministack.s3 import lifecycle_rule
from local.sagemaker.invocation_metrics import Invocation, InvocationMetrics, build_metric_data


def shape(service: str, operation: str) -> object:
    return service_model(service).operation_model(operation).input_shape


def test_a_request_within_its_constraints_violates_none() -> None:
    request = {"EndpointName": "a-b", "EndpointConfigName": "c", "Tags": [{"Key": "k", "Value": "v"}]}
    assert list(find_violations(shape("sagemaker", "CreateEndpoint"), request)) == []


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (
            {"EndpointName": "a_b"},
            "Value 'a_b' at 'endpointName' failed to satisfy constraint: Member must satisfy reg",
        ),
        ({"EndpointName": "a" * 64}, "Member must have length less than or equal to 63"),
        (
            {"Tags": [{"Key": "", "Value": "v"}]},
            "at 'tags.1.member.key' failed to satisfy constraint: Member must have",
        ),
        (
            {"DeploymentConfig": {"BlueGreenUpdatePolicy": {"TerminationWaitInSeconds": 4000}}},
            "'4000' at 'deploymentConfig.blueGreenUpdatePolicy.terminationWaitInSeconds'",
        ),
    ],
)
def test_a_broken_constraint_is_named_in_aws_s_words(request_: dict[str, object], sentence: str) -> None:
    assert sentence in "; ".join(find_violations(shape("sagemaker", "CreateEndpoint"), request_))


def test_an_operation_that_is_not_simulated_says_so() -> None:
    with pytest.raises(ServiceError, match="CreateTransformJob is not simulated") as caught:
        JsonService("sagemaker").call("CreateTransformJob", {})
    assert caught.value.status == 501


def test_private_methods_are_no_operations() -> None:
    with pytest.raises(ServiceError, match="not simulated"):
        JsonService("sagemaker").call("Call", {})


def test_a_listing_is_cut_into_pages() -> None:
    items: list[dict[str, object]] = [{"n": n} for n in range(5)]
    first, token = cut_page(items, {"MaxResults": 3})
    rest, end = cut_page(items, {"MaxResults": 3, **token})
    assert [*first, *rest] == items
    assert end == {}


def test_template_values_get_the_types_of_the_api() -> None:
    properties = {
        "PrimaryContainer": {"Image": "i", "Environment": {"WORKERS": 2}},
        "EnableNetworkIsolation": "true",
        "Unknown": 1,
    }
    assert convert(shape("sagemaker", "CreateModel"), properties) == {
        "PrimaryContainer": {"Image": "i", "Environment": {"WORKERS": "2"}},
        "EnableNetworkIsolation": True,
        "Unknown": 1,
    }
    bounds = convert(shape("application-autoscaling", "RegisterScalableTarget"), {"MinCapacity": "1"})
    assert bounds == {"MinCapacity": 1}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, {"Prefix": ""}),
        ({"Prefix": "capture/"}, {"Prefix": "capture/"}),
        ({"TagFilters": [{"Key": "k", "Value": "v"}]}, {"Tag": {"Key": "k", "Value": "v"}}),
        (
            {"Prefix": "a/", "ObjectSizeGreaterThan": "10"},
            {"And": {"Prefix": "a/", "ObjectSizeGreaterThan": "10"}},
        ),
    ],
)
def test_lifecycle_conditions_become_the_api_s_filter(
    conditions: dict[str, object], expected: dict[str, object]
) -> None:
    assert lifecycle_rule({"Id": "r", "Status": "Enabled", **conditions})["Filter"] == expected


def test_lifecycle_actions_become_the_api_s() -> None:
    rule = lifecycle_rule(
        {
            "Id": "r",
            "Status": "Enabled",
            "ExpirationInDays": 9,
            "NoncurrentVersionTransitions": [{"StorageClass": "GLACIER", "TransitionInDays": 5}],
        }
    )
    assert rule["Expiration"] == {"Days": 9}
    assert rule["NoncurrentVersionTransitions"] == [{"StorageClass": "GLACIER", "NoncurrentDays": 5}]
    assert "Transitions" not in rule


def invocation(status: int, instances: int = 2) -> Invocation:
    return Invocation("e", "v", "c", status, model_microseconds=1000, overhead_microseconds=50, instances=instances)


def test_equal_metric_values_are_gathered_into_one_count() -> None:
    published = build_metric_data([invocation(200), invocation(200), invocation(503)], 7)
    data = {datum["MetricName"]: datum for datum in published if len(datum["Dimensions"]) == 2}
    assert dict(zip(data["Invocations"]["Values"], data["Invocations"]["Counts"], strict=True)) == {1: 3}
    assert dict(
        zip(data["InvocationsPerInstance"]["Values"], data["InvocationsPerInstance"]["Counts"], strict=True)
    ) == {0.5: 3}
    errors = data["Invocation5XXErrors"]
    assert dict(zip(errors["Values"], errors["Counts"], strict=True)) == {0: 2, 1: 1}
    assert data["ModelLatency"]["Unit"] == "Microseconds"
    assert {d["Name"]: d["Value"] for d in data["ModelLatency"]["Dimensions"]} == {
        "EndpointName": "e",
        "VariantName": "v",
    }


def test_every_metric_is_published_by_configuration_too() -> None:
    published = build_metric_data([invocation(503)], 7)
    by_config = [datum for datum in published if {"Name": "EndpointConfigName", "Value": "c"} in datum["Dimensions"]]
    assert len(by_config) * 2 == len(published)


def test_scaling_counts_invocations_per_instance_and_starts_anew() -> None:
    metrics = InvocationMetrics()
    for instances in (1, 2, 4):
        metrics.record(invocation(200, instances))
    assert metrics.take_per_instance() == {("e", "v"): 1.75}
    assert metrics.take_per_instance() == {}
