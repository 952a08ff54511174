"""The quotas that synthesised stacks need: small templates, counted by hand."""

from pathlib import Path
from typing import Any

import pytest

from cost.__main__ import main
from cost.assembly import Assembly, parse_stack
from cost.errors import CostError
from cost.quotas import quotas
from tests.cost.test_cost import endpoint, template, write_assembly

Template = dict[str, Any]


def needed(*contents: Template) -> dict[str, int]:
    stacks = tuple(parse_stack(f"Kennel{number}-dev", content) for number, content in enumerate(contents))
    return {quota.name: quota.least for quota in quotas(Assembly(stacks))}


def test_an_update_at_maximum_has_two_fleets() -> None:
    assert needed(endpoint(least=1, most=4)) == {"ml.c7i.large for endpoint usage": 8}


def test_each_variant_and_the_shadow_count_by_their_instance_type() -> None:
    content = endpoint(
        least=1, most=3, ShadowProductionVariants=[{"InstanceType": "ml.c7i.large", "InitialInstanceCount": 2}]
    )
    content["Resources"]["Config"]["Properties"]["ProductionVariants"].append(
        {"VariantName": "Large", "InstanceType": "ml.c7i.xlarge", "InitialInstanceCount": 2}
    )
    assert needed(content) == {"ml.c7i.large for endpoint usage": 10, "ml.c7i.xlarge for endpoint usage": 4}


def test_a_schedule_can_raise_the_maximum() -> None:
    content = endpoint(least=1, most=4)
    content["Resources"]["Target"]["Properties"]["ScheduledActions"] = [
        {"ScalableTargetAction": {"MinCapacity": 2, "MaxCapacity": 9}},
        {"ScalableTargetAction": {"MinCapacity": 1}},
    ]
    assert needed(content) == {"ml.c7i.large for endpoint usage": 18}


def test_a_serverless_endpoint_takes_its_concurrency() -> None:
    variant = {"VariantName": "AllTraffic", "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 20}}
    content = template(C=("AWS::SageMaker::EndpointConfig", {"ProductionVariants": [variant]}))
    assert needed(content) == {
        "Maximum total concurrency that can be allocated across all serverless endpoints": 20,
    }


def function(reserved: int | None = None, provisioned: int | None = None, most: int | None = None) -> Template:
    alias: Template = {"FunctionName": {"Ref": "Function"}}
    if provisioned:
        alias["ProvisionedConcurrencyConfig"] = {"ProvisionedConcurrentExecutions": provisioned}
    content = template(
        Function=("AWS::Lambda::Function", {} if reserved is None else {"ReservedConcurrentExecutions": reserved}),
        Alias=("AWS::Lambda::Alias", alias),
    )
    if most:
        target = {"ScalableDimension": "lambda:function:ProvisionedConcurrency", "MinCapacity": 1, "MaxCapacity": most}
        content["Resources"]["T"] = {"Type": "AWS::ApplicationAutoScaling::ScalableTarget", "Properties": target}
    return content


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (function(), {}),
        (function(reserved=10), {"Concurrent executions": 110}),
        (function(reserved=10, provisioned=2, most=8), {"Concurrent executions": 110}),
        # Provisioned concurrency takes as much from the account (Lambda guide, "Configuring provisioned concurrency").
        (function(provisioned=2), {"Concurrent executions": 102}),
        (function(provisioned=2, most=8), {"Concurrent executions": 108}),
    ],
)
def test_concurrency_leaves_100_unreserved(content: Template, expected: dict[str, int]) -> None:
    assert needed(content) == expected


def test_the_reservations_of_several_functions_add_up() -> None:
    assert needed(function(reserved=10), function(reserved=5)) == {"Concurrent executions": 115}


@pytest.mark.parametrize(
    ("kind", "market", "expected"),
    [
        ("g4dn.xlarge", "spot", {"All G and VT Spot Instance Requests": 4}),
        ("g5.12xlarge", None, {"Running On-Demand G and VT instances": 48}),
        ("gr6.4xlarge", None, {"Running On-Demand G and VT instances": 16}),
        ("p4d.24xlarge", "spot", {"All P4, P3 and P2 Spot Instance Requests": 96}),
        ("p5.48xlarge", "spot", {"All P5 Spot Instance Requests": 192}),
        ("p5.48xlarge", None, {"Running On-Demand P instances": 192}),
        ("c7i.large", None, {"Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances": 2}),
        ("c7i.metal-24xl", None, {}),
    ],
)
def test_a_training_instance_counts_by_its_vcpus(kind: str, market: str | None, expected: dict[str, int]) -> None:
    data: Template = {"InstanceType": kind}
    if market:
        data["InstanceMarketOptions"] = {"MarketType": market}
    assert needed(template(T=("AWS::EC2::LaunchTemplate", {"LaunchTemplateData": data}))) == expected


def test_the_output_ends_with_the_quotas_and_their_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write_assembly(tmp_path / "out", endpoint(most=4)))]) == 0
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last[:8] == ["Amazon", "SageMaker", "ml.c7i.large", "for", "endpoint", "usage", "8", "an"]


def test_stacks_that_need_no_quota_print_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = template(Board=("AWS::CloudWatch::Dashboard", {}))
    assert main([str(write_assembly(tmp_path / "out", content))]) == 0
    assert "Quotas" not in capsys.readouterr().out


def test_a_quota_that_only_cloudformation_knows_is_refused() -> None:
    with pytest.raises(CostError, match="instead of a number; write a number in the stack"):
        needed(function(reserved={"Ref": "Reserved"}))  # type: ignore[arg-type]
