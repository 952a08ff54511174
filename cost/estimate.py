"""Usage times price: what each stack costs in a month."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from cost.assembly import Assembly, Resource, Stack
from cost.errors import CostError
from cost.prices import Price, Prices
from cost.services import FREE, METERS
from cost.usage import Assumptions, Usage, standing

BOOTSTRAP = "CDK bootstrap bucket"

NOT_COUNTED = (
    "AWS's free tiers (most accounts pay less at low traffic), savings plans, tax",
    "the lower price of requests that bypass the HTTP API, if there is one",
    "data sent to the internet, data in and out of the endpoint, the storage volume of each endpoint instance",
    "old versions of objects, access logs in S3, KMS requests, images in your own ECR",
    "scheduled scaling actions, a second fleet during blue/green deployments, training and tuning jobs",
)
"""What the totals leave out."""


@dataclass(frozen=True)
class Line:
    """One row: what a stack uses, and the price of one unit (None: unknown)."""

    stack: str
    usage: Usage
    price: Price | None

    @property
    def costs(self) -> tuple[float | None, float | None, float | None]:
        """US dollars a month at zero, typical and peak traffic; None where the price is unknown."""
        use = self.usage
        return self._cost(use.zero), self._cost(use.typical), self._cost(use.peak)

    def _cost(self, quantity: float) -> float | None:
        if not quantity:
            return 0.0
        return None if self.price is None else quantity * self.price.usd


@dataclass(frozen=True)
class Total:
    """A sum of US dollars, and whether something of unknown price is missing from it."""

    usd: float
    complete: bool


@dataclass(frozen=True)
class Estimate:
    """The cost of an assembly under assumptions."""

    lines: tuple[Line, ...]
    assumptions: Assumptions
    prices: Prices

    @property
    def totals(self) -> tuple[Total, Total, Total]:
        """The month at zero, typical and peak traffic."""
        zero, typical, peak = zip(*(line.costs for line in self.lines), strict=True) if self.lines else ((), (), ())
        return total(zero), total(typical), total(peak)

    @property
    def per_million_requests(self) -> Total | None:
        """The dollars that a million requests add to the fixed cost, from the month at peak; None without requests."""
        requests = self.assumptions.requests_peak
        if not requests:
            return None
        growing = total(line.costs[2] for line in self.lines if line.usage.per_request)
        return replace(growing, usd=growing.usd / requests * 1e6)


def total(costs: Iterable[float | None]) -> Total:
    """Add up what is known.

    Parameters
    ----------
    costs
        US dollars a month; None for an unknown price, which makes the total incomplete.
    """
    amounts = list(costs)
    return Total(sum(cost for cost in amounts if cost is not None), None not in amounts)


def estimate(assembly: Assembly, prices: Prices, assumptions: Assumptions) -> Estimate:
    """Price every resource of the assembly; a resource type without a known price is a line of unknown price.

    Raises
    ------
    CostError
        The cost of a resource depends on a value that only CloudFormation knows.
    """
    used: dict[tuple[str, str, str], Usage] = {}

    def add(stack: str, usage: Usage) -> None:
        key = (stack, usage.item, usage.price)
        used[key] = _merge(used[key], usage) if key in used else usage

    for stack in assembly.stacks:
        for resource in stack.resources:
            if resource.type in METERS:
                for usage in _measure(resource, stack, assembly, assumptions):
                    add(stack.name, usage)
            elif resource.type not in FREE:
                add(stack.name, standing(resource.type, resource.type, 1))
    if assembly.asset_bytes:
        add(BOOTSTRAP, standing("Artifact and function code", "s3_gb_month", assembly.asset_bytes / 1e9))
    lines = tuple(Line(stack, usage, prices.get(key)) for (stack, _, key), usage in used.items())
    return Estimate(lines, assumptions, prices)


def _measure(resource: Resource, stack: Stack, assembly: Assembly, assumptions: Assumptions) -> list[Usage]:
    try:
        return list(METERS[resource.type](resource, stack, assembly, assumptions))
    except (CostError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise CostError(f"{stack.name}: {resource.name} ({resource.type}) cannot be priced: {error}") from error


def _merge(one: Usage, other: Usage) -> Usage:
    return replace(one, zero=one.zero + other.zero, typical=one.typical + other.typical, peak=one.peak + other.peak)


@dataclass(frozen=True)
class Change:
    """One row of a diff: dollars of a typical month before and after (None: unknown)."""

    stack: str
    item: str
    before: float | None
    after: float | None


def changes(before: Estimate, after: Estimate) -> list[Change]:
    """Return the rows whose typical month differs; stacks of two environments are compared by their noun.

    Parameters
    ----------
    before, after
        Two estimates with the same prices and assumptions.
    """
    old, new = _by_item(before), _by_item(after)
    rows = [Change(*key, old.get(key, 0.0), new.get(key, 0.0)) for key in dict.fromkeys([*old, *new])]
    return [row for row in rows if row.before is None or row.after is None or abs(row.after - row.before) > 1e-9]


def _by_item(priced: Estimate) -> dict[tuple[str, str], float | None]:
    costs: dict[tuple[str, str], float | None] = {}
    for line in priced.lines:
        key = (re.sub(r"^(Kennel\w+)-.*", r"\1", line.stack), line.usage.item)
        cost, known = line.costs[1], costs.get(key, 0.0)
        costs[key] = None if cost is None or known is None else known + cost
    return costs
