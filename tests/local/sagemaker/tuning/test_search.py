"""What a tuning job tries: ranges, scalings, grids."""

from itertools import islice
from statistics import median
from typing import Any

import pytest

from local.sagemaker.tuning.search import find_range_problems, generate_candidates, grid_size


def continuous(low: str, high: str, scaling: str = "Linear", name: str = "lr") -> dict[str, Any]:
    entry = {"Name": name, "MinValue": low, "MaxValue": high, "ScalingType": scaling}
    return {"ContinuousParameterRanges": [entry]}


def integer(low: str, high: str, scaling: str = "Linear") -> dict[str, Any]:
    return {"IntegerParameterRanges": [{"Name": "n", "MinValue": low, "MaxValue": high, "ScalingType": scaling}]}


CATEGORIES = {
    "CategoricalParameterRanges": [{"Name": "a", "Values": ["1", "2"]}, {"Name": "b", "Values": ["x", "y", "z"]}]
}


def draw(ranges: dict[str, Any], name: str, count: int = 400) -> list[float]:
    return [float(candidate[name]) for candidate in islice(generate_candidates(ranges, "Random", 1), count)]


@pytest.mark.parametrize(
    ("scaling", "low", "high", "middle"),
    [
        ("Linear", "0", "10", 5),
        ("Auto", "0", "10", 5),
        ("Logarithmic", "0.0001", "1", 0.01),
        ("ReverseLogarithmic", "0.9", "0.9999", 0.9968),
    ],
)
def test_values_are_spread_evenly_on_their_scale(scaling: str, low: str, high: str, middle: float) -> None:
    values = draw(continuous(low, high, scaling), "lr")
    assert all(float(low) <= value <= float(high) for value in values)
    below = sum(value < middle for value in values)
    assert 160 < below < 240, median(values)


def test_integers_reach_both_bounds_as_often_as_the_rest() -> None:
    values = draw(integer("1", "3"), "n", 300)
    assert {value: 70 < values.count(value) < 130 for value in set(values)} == {1: True, 2: True, 3: True}
    assert set(draw(integer("1", "64", "Logarithmic"), "n")) >= {1, 2}


def test_the_same_seed_tries_the_same() -> None:
    one, two = (list(islice(generate_candidates(continuous("0", "1"), "Bayesian", 7), 3)) for _ in range(2))
    assert one == two
    assert one != list(islice(generate_candidates(continuous("0", "1"), "Bayesian", 8), 3))


def test_a_grid_is_every_combination_once() -> None:
    tried = [(candidate["a"], candidate["b"]) for candidate in generate_candidates(CATEGORIES, "Grid", None)]
    assert len(tried) == len(set(tried)) == grid_size(CATEGORIES) == 6


@pytest.mark.parametrize(
    ("ranges", "strategy", "words"),
    [
        ({}, "Random", "at least one hyperparameter"),
        (continuous("1", "0"), "Random", "MinValue of lr must not be above its MaxValue"),
        (continuous("a", "1"), "Random", "must be numbers: a, 1"),
        (integer("0.5", "2"), "Random", "must be integers: 0.5, 2"),
        (continuous("0", "1", "Logarithmic"), "Random", "logarithmic scaling, which needs values above 0"),
        (continuous("0", "1", "ReverseLogarithmic"), "Random", "from 0 to below 1"),
        (continuous("0", "1", name="seed"), "Random", "hyperparameter seed is given more than once"),
        (continuous("0", "1"), "Grid", "categorical parameters only"),
    ],
)
def test_ranges_that_cannot_be_searched_are_named(ranges: dict[str, Any], strategy: str, words: str) -> None:
    assert words in "; ".join(find_range_problems(ranges, strategy, {"seed": "1"}))


def test_good_ranges_have_no_problems() -> None:
    assert (
        list(
            find_range_problems(
                {**continuous("0.1", "1", "Logarithmic"), **integer("1", "2"), **CATEGORIES}, "Random", {}
            )
        )
        == []
    )
