import tomllib
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from pydantic import ValidationError

from stacks.settings import describe
from stacks.settings.endpoint import EndpointSettings
from stacks.settings.instances import CPU_INSTANCES

SETTINGS = Path(__file__).parents[3] / "settings"

SHADOW = {"name": "Candidate", "sampling_percentage": 50}
SERVERLESS = {"memory_mb": 4096, "maximum_concurrency": 10}
MORNINGS = {"name": "Mornings", "cron": "0 7 ? * MON-FRI *", "minimum_instances": 2, "maximum_instances": 4}


def variant(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "weight": 1, **fields}


def merged(table: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Change some keys, those of inner tables too."""
    result = dict(table)
    for key, value in changes.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result


def endpoint(**changes: Any) -> EndpointSettings:
    """Read [endpoint] of dev with some keys changed."""
    table = tomllib.loads((SETTINGS / "dev.toml").read_text())["endpoint"]
    return EndpointSettings.model_validate(merged(table, changes))


def refusal(**changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        endpoint(**changes)
    message = describe(caught.value)
    assert "\n" not in message
    return message


def test_without_variants_there_is_one_that_takes_all_from_the_endpoint() -> None:
    (only,) = endpoint().production_variants
    assert (only.name, only.weight, only.instances) == ("AllTraffic", 1, 1)
    assert (only.container, only.instance_type, only.manifest) == ("ray", "ml.c7i.large", None)


def test_a_variant_has_its_own_where_it_says_so_and_the_endpoints_where_not() -> None:
    own = variant("Small", container="image", instance_type="ml.c7g.large", manifest="build/small/model.json")
    small, large = endpoint(variants=[own, variant("Large", weight=9)]).production_variants
    assert (small.container, small.architecture, small.manifest) == ("image", "arm64", "build/small/model.json")
    assert (large.container, large.architecture, large.manifest, large.weight) == ("ray", "x86_64", None, 9)


def test_a_shadow_weighs_its_share_of_the_production_variant() -> None:
    shadow = endpoint(variants=[variant("Main", weight=4)], shadow=SHADOW).shadow_variant
    assert shadow is not None
    assert (shadow.weight, shadow.instances) == (2, 1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"variants": [variant("Same"), variant("Same")]}, ['the name "Same" is used twice']),
        ({"variants": [variant("A", weight=0)]}, ["all weights are 0"]),
        ({"variants": [variant("A", weight=-1)]}, ["variants.0.weight = -1", "greater than or equal to 0"]),
        ({"variants": [variant("no_underscore")]}, ["variants.0.name", "pattern"]),
        ({"variants": [variant(name) for name in "ABCD"]}, ["variants", "at most 3"]),
        ({"variants": [variant("A", instance_type="ml.t3.medium")]}, ["variants.0.instance_type", "cannot autoscale"]),
        ({"variants": [variant("A", instance_type="ml.g5.xlarge")]}, ["variants.0.instance_type", "CPU instance"]),
        ({"variants": [variant("A", instance_type="ml.inf2.xlarge")]}, ["variants.0.instance_type", "CPU instance"]),
        ({"variants": [variant("A", instance_type="ml.c7g.large")]}, ["variant A", "ml.c7g.large", "x86-64 only"]),
        ({"instance_type": "ml.c7i.huge"}, ["instance_type = 'ml.c7i.huge'", "ml.c7i.xlarge"]),
        ({"instance_type": "ml.c99.large"}, ["instance_type = 'ml.c99.large'", "ml.c7i.large"]),
        ({"shadow": {**SHADOW, "instance_type": "ml.m6g.large"}}, ["variant Candidate", "x86-64 only"]),
        ({"variants": [variant("A"), variant("B")], "shadow": SHADOW}, ["exactly one production variant", "2"]),
        ({"shadow": {**SHADOW, "name": "AllTraffic"}}, ['the name "AllTraffic" is used twice']),
        ({"shadow": {**SHADOW, "sampling_percentage": 0}}, ["shadow.sampling_percentage = 0"]),
        ({"capture_percentage": 101}, ["capture_percentage = 101", "100"]),
        ({"capture_percentage": 1}, ["capture_percentage = 1", '"answers"', '"photos_and_answers"']),
        ({"capture_percentage": 1, "capture": "photos"}, ["capture = 'photos'", "'photos_and_answers'"]),
        ({"routing": "round_robin"}, ["routing = 'round_robin'", "'random'"]),
        ({"serverless": SERVERLESS}, ["network_isolation = true", "set it to false"]),
        (
            {"serverless": SERVERLESS, "network_isolation": False, "capture_percentage": 5, "shadow": SHADOW},
            ["capture_percentage = 5", "remove [endpoint.shadow]"],
        ),
        (
            {"serverless": SERVERLESS, "network_isolation": False, "variants": [variant("A"), variant("B")]},
            ["2 production variants"],
        ),
        (
            {"serverless": SERVERLESS, "network_isolation": False, "scaling": {"schedule": [MORNINGS]}},
            ["scheduled scaling"],
        ),
        ({"serverless": {**SERVERLESS, "memory_mb": 4000}}, ["serverless.memory_mb = 4000", "4096"]),
        ({"serverless": {**SERVERLESS, "provisioned_concurrency": 11}}, ["11", "maximum_concurrency = 10"]),
        ({"deployment": {"traffic": "canary"}}, ["canary", "scaling.minimum_instances to 2", "all_at_once"]),
        ({"deployment": {"traffic": "linear"}}, ["linear", "scaling.minimum_instances to 2"]),
        ({"deployment": {"traffic": "rolling"}}, ["deployment.traffic", "'canary'"]),
        (
            {"deployment": {"step_percentage": 30}, "scaling": {"minimum_instances": 3}},
            ["30 % of the instances at a time, which is less than one instance of 3", "step_percentage to 34"],
        ),
        (
            {
                "deployment": {"traffic": "canary"},
                "scaling": {"minimum_instances": 2, "schedule": [{**MORNINGS, "minimum_instances": 1}]},
            },
            ["less than one instance of 1"],
        ),
        ({"deployment": {"step_percentage": 51}}, ["step_percentage = 51", "50"]),
        ({"deployment": {"bake_seconds": 179}}, ["bake_seconds = 179", "180"]),
        ({"deployment": {"bake_seconds": 3601}}, ["bake_seconds = 3601", "3600"]),
        ({"deployment": {"maximum_duration_seconds": 599}}, ["maximum_duration_seconds = 599", "600"]),
        ({"deployment": {"maximum_duration_seconds": 28801}}, ["maximum_duration_seconds = 28801", "28800"]),
        ({"deployment": {"bake_seconds": 1300}}, ["maximum_duration_seconds = 1800", "1900 or more"]),
        ({"guardrails": {"server_error_percentage": 100}}, ["server_error_percentage = 100", "less than 100"]),
        ({"guardrails": {"model_error_percentage": 4}}, ["model_error_percentage = 4", "server_error_percentage = 5"]),
        ({"guardrails": {"latency_p99_milliseconds": 60_000}}, ["latency_p99_milliseconds = 60000", "60000"]),
        ({"scaling": {"metric": "concurrency"}}, ["concurrent_requests_per_instance", "set it"]),
        ({"scaling": {"schedule": [{**MORNINGS, "maximum_instances": 1}]}}, ["schedule.0", "above", "= 1"]),
        (
            {"scaling": {"schedule": [{**MORNINGS, "cron": "0 7 * * MON-FRI *"}]}},
            ["schedule.0.cron", "put ? in either"],
        ),
        ({"scaling": {"schedule": [{**MORNINGS, "cron": "0 7 * * 1"}]}}, ["schedule.0.cron", "six fields"]),
        ({"scaling": {"schedule": [{**MORNINGS, "cron": "0 24 ? * * *"}]}}, ["schedule.0.cron", "0 to 23", "'24'"]),
        ({"scaling": {"schedule": [{**MORNINGS, "cron": "0 7 ? * MO *"}]}}, ["schedule.0.cron", "'MO'"]),
        ({"scaling": {"schedule": [MORNINGS, MORNINGS]}}, ['the name "Mornings" is used twice']),
    ],
)
def test_what_aws_would_refuse_or_ignore_is_refused_in_one_line(changes: dict[str, Any], says: list[str]) -> None:
    message = refusal(**changes)
    for text in says:
        assert text in message


@pytest.mark.parametrize(
    ("traffic", "fleet", "shift"),
    [
        ("auto", 1, "ALL_AT_ONCE"),
        ("auto", 2, "CANARY"),
        ("all_at_once", 4, "ALL_AT_ONCE"),
        ("canary", 2, "CANARY"),
        ("linear", 3, "LINEAR"),
    ],
)
def test_the_size_of_the_fleet_decides_how_traffic_moves(traffic: str, fleet: int, shift: str) -> None:
    settings = endpoint(deployment={"traffic": traffic}, scaling={"minimum_instances": fleet})
    assert settings.deployment.shift(settings.scaling.smallest_fleet) == shift


@pytest.mark.parametrize("cron", ["0/15 0-6,22 1 JAN-MAR ? 2027", "30 18 L * ? *", "0 7 ? * 2#1 *"])
def test_cron_has_ranges_steps_and_lists(cron: str) -> None:
    (action,) = endpoint(scaling={"schedule": [{**MORNINGS, "cron": cron}]}).scaling.schedule
    assert action.cron == cron


def test_every_instance_on_offer_is_one_of_sagemakers() -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    assert set(model.shape_for("ProductionVariantInstanceType").metadata["enum"]) >= CPU_INSTANCES


@pytest.mark.parametrize("tag", ["serve-ml-sagemaker-cpu-v1.4", "serve-ml-sagemaker-cpu-v2.0.1", "sha256:" + "0" * 64])
def test_a_release_of_ray_or_its_digest_is_taken(tag: str) -> None:
    (only,) = endpoint(ray_tag=tag).production_variants
    assert only.ray_tag == tag


@pytest.mark.parametrize(
    "tag",
    [
        "serve-ml-sagemaker-cpu-v1",  # moved from Ray 2.54 to 2.57 in four months
        "serve-ml-sagemaker-cpu",
        "latest",
        "serve-ml-cpu-v1.4",  # EC2's
        "serve-ml-sagemaker-cuda-v1.4",
        "sha256:" + "0" * 63,
        "",
    ],
)
def test_a_tag_that_moves_or_is_of_another_container_is_refused(tag: str) -> None:
    assert f"ray_tag = '{tag}': use the tag of a release" in refusal(ray_tag=tag)
