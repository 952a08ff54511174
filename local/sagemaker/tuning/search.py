"""Which hyperparameters a tuning job tries next: pure, and the same for the same seed.

Source of strategies and scaling: SageMaker guide, "Understand the hyperparameter tuning strategies available in Amazon
SageMaker AI" and "Define Hyperparameter Ranges".
"""

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Ranges = Mapping[str, Any]
"""``ParameterRanges``."""

Scaling = tuple[Callable[[float], float], Callable[[float], float]]

LINEAR: Scaling = (lambda value: value, lambda value: value)
SCALINGS: dict[str, Scaling] = {
    "Auto": LINEAR,
    "Linear": LINEAR,
    "Logarithmic": (math.log, math.exp),
    "ReverseLogarithmic": (lambda value: -math.log1p(-value), lambda value: -math.expm1(-value)),
}
"""On which scale values are spread evenly, and the way back. AWS chooses what ``Auto`` is; here it is linear."""


NUMBERS: dict[str, Callable[[str], float]] = {"IntegerParameterRanges": int, "ContinuousParameterRanges": float}
"""Kinds of ranges that have bounds, and what reads these."""


def find_range_problems(ranges: Ranges, strategy: str, static: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the ranges of a tuning job.

    Parameters
    ----------
    static
        ``StaticHyperParameters``.
    """
    yield from _find_name_problems(ranges, static)
    if ranges.get("AutoParameters"):
        yield "the embedded AWS does not simulate AutoParameters"
    if strategy == "Grid" and any(ranges.get(kind) for kind in NUMBERS):
        yield "strategy Grid takes categorical parameters only"
    for kind, number in NUMBERS.items():
        for entry in ranges.get(kind, ()):
            yield from _find_bound_problems(entry, number)


def _find_name_problems(ranges: Ranges, static: Mapping[str, str]) -> Iterator[str]:
    names = [entry["Name"] for entry in itertools.chain.from_iterable(ranges.values())]
    if not names:
        yield "ParameterRanges must name at least one hyperparameter"
    for name in sorted({name for name in names if names.count(name) > 1 or name in static}):
        yield f"hyperparameter {name} is given more than once, as ranges or as a static value"


def _find_bound_problems(entry: Mapping[str, str], number: Callable[[str], float]) -> Iterator[str]:
    name, scaling = entry["Name"], entry.get("ScalingType", "Auto")
    try:
        low, high = number(entry["MinValue"]), number(entry["MaxValue"])
    except ValueError:
        kind = "numbers" if number is float else "integers"
        yield f"MinValue and MaxValue of {name} must be {kind}: {entry['MinValue']}, {entry['MaxValue']}"
        return
    if low > high:
        yield f"MinValue of {name} must not be above its MaxValue"
    if scaling == "Logarithmic" and low <= 0:
        yield f"{name} has logarithmic scaling, which needs values above 0"
    if scaling == "ReverseLogarithmic" and not (number is float and 0 <= low <= high < 1):
        yield f"{name} has reverse logarithmic scaling, which needs continuous values from 0 to below 1"


def grid_size(ranges: Ranges) -> int:
    """Return how many combinations the categorical parameters have."""
    return math.prod(len(entry["Values"]) for entry in ranges.get("CategoricalParameterRanges", ()))


def generate_candidates(ranges: Ranges, strategy: str, seed: int | None) -> Iterator[dict[str, str]]:
    """Yield hyperparameters to try: every combination with ``Grid``, else random ones without end.

    Parameters
    ----------
    strategy
        ``Grid`` or any other, which draws at random.
    seed
        The same seed draws the same; None draws others each time.
    """
    categorical = {entry["Name"]: entry["Values"] for entry in ranges.get("CategoricalParameterRanges", ())}
    if strategy == "Grid":
        for values in itertools.product(*categorical.values()):
            yield dict(zip(categorical, values, strict=True))
        return
    chance = random.Random(seed)  # noqa: S311 - a search, not a secret
    while True:
        yield {
            **{name: chance.choice(values) for name, values in categorical.items()},
            **{entry["Name"]: _draw_float(chance, entry) for entry in ranges.get("ContinuousParameterRanges", ())},
            **{entry["Name"]: _draw_integer(chance, entry) for entry in ranges.get("IntegerParameterRanges", ())},
        }


def _draw_float(chance: random.Random, entry: Mapping[str, str]) -> str:
    return repr(_draw(chance, float(entry["MinValue"]), float(entry["MaxValue"]), entry))


def _draw_integer(chance: random.Random, entry: Mapping[str, str]) -> str:
    """Draw from half a step beyond the bounds, so that these are as likely as any other value."""
    low, high = int(entry["MinValue"]), int(entry["MaxValue"])
    value = round(_draw(chance, low - 0.499, high + 0.499, entry))
    return str(min(max(value, low), high))


def _draw(chance: random.Random, low: float, high: float, entry: Mapping[str, str]) -> float:
    forth, back = SCALINGS[entry.get("ScalingType", "Auto")]
    return min(max(back(chance.uniform(forth(low), forth(high))), low), high)
