"""Every resource of the settings that we ship has a price."""

from collections.abc import Callable
from typing import Any

import pytest

from cost.assembly import Assembly, parse_stack
from cost.estimate import estimate
from cost.prices import load_prices
from cost.quotas import quotas
from cost.services import FREE, METERS
from cost.usage import Assumptions

Template = dict[str, Any]


@pytest.mark.parametrize("environment", ["dev", "prod", "local"])
def test_every_resource_that_we_deploy_has_a_price_or_a_reason_to_be_free(
    environment: str, templates: Callable[[str], dict[str, Template]]
) -> None:
    made = [parse_stack(name, content) for name, content in templates(environment).items()]
    unpriced = {resource.type for stack in made for resource in stack.resources} - METERS.keys() - FREE.keys()
    assert not unpriced, "add them to METERS or, with the reason, to FREE in cost/services.py"
    result = estimate(Assembly(tuple(made)), load_prices(), Assumptions())
    assert [line.usage.price for line in result.lines if line.price is None] == []
    assert 0 < result.totals[0].usd <= result.totals[1].usd <= result.totals[2].usd


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (
            "dev",
            {"ml.c7i.large for endpoint usage": 8, "All G and VT Spot Instance Requests": 4},
        ),
        (
            "prod",
            {
                "ml.c7i.xlarge for endpoint usage": 8,
                "Concurrent executions": 110,
                "All G and VT Spot Instance Requests": 4,
            },
        ),
    ],
)
def test_the_quotas_of_the_settings_that_we_ship(
    environment: str, expected: dict[str, int], templates: Callable[[str], dict[str, Template]]
) -> None:
    made = [parse_stack(name, content) for name, content in templates(environment).items()]
    assert {quota.name: quota.least for quota in quotas(Assembly(tuple(made)))} == expected
