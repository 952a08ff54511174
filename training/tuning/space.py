"""What a search may try: ``settings/tuning/search.toml``, the same for ``tune`` and for ``launch --tune``."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from training.common.errors import TrainingError

SEARCH = Path(__file__).parents[2] / "settings" / "tuning" / "search.toml"
KEYS = {"low", "high", "scale", "values"}


@dataclass(frozen=True)
class Numbers:
    """Every number from ``low`` to ``high``, both included; whole ones if ``whole``.

    ``log``: as many between 0.001 and 0.01 as between 0.01 and 0.1.
    """

    low: float
    high: float
    whole: bool = False
    log: bool = False


@dataclass(frozen=True)
class Choices:
    """One of several values, as the command line of ``fit`` takes them."""

    values: tuple[str, ...]


Range: TypeAlias = Numbers | Choices
Space: TypeAlias = Mapping[str, Range]
"""For options of ``fit``, without their dashes in front, what they may be."""


def read_space(file: Path = SEARCH) -> dict[str, Range]:
    """Read a search space.

    Raises
    ------
    TrainingError
        There is no such file, or a range in it makes no sense.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TrainingError(f"{file}: there is no such search space; run this in Kennel's folder") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainingError(f"{file}: not TOML: {error}") from None
    if not tables:
        raise TrainingError(f"{file}: names no option of `fit` to try")
    return {name: _range(f"{file}: [{name}]", table) for name, table in tables.items()}


def _range(where: str, table: Any) -> Range:
    if not isinstance(table, dict):
        raise TrainingError(f"{where} is no table: write [option], and low and high, or values, below it")
    if unknown := sorted(table.keys() - KEYS):
        raise TrainingError(f"{where} has {unknown[0]}, which is none of {', '.join(sorted(KEYS))}")
    if "values" in table:
        return _choices(where, table)
    return _numbers(where, table)


def _numbers(where: str, table: dict[str, Any]) -> Numbers:
    low: Any = table.get("low")
    high: Any = table.get("high")
    scale = table.get("scale", "linear")
    if not (_is_number(low) and _is_number(high)):
        raise TrainingError(f"{where} needs low and high, two numbers, or values, a list")
    if not low < high:
        raise TrainingError(f"{where}: low = {low} must be below high = {high}")
    if scale not in ("linear", "log"):
        raise TrainingError(f'{where}: scale = "{scale}" must be "linear" or "log"')
    if scale == "log" and low <= 0:
        raise TrainingError(f'{where}: low = {low} must be above 0 for scale = "log"')
    return Numbers(low, high, isinstance(low, int) and isinstance(high, int), scale == "log")


def _choices(where: str, table: dict[str, Any]) -> Choices:
    values = table["values"]
    if len(table) > 1:
        raise TrainingError(f"{where} has values, so nothing else")
    if not isinstance(values, list) or not values:
        raise TrainingError(f"{where}: values must be a list of one value or more")
    if not all(isinstance(value, str) or _is_number(value) for value in values):
        raise TrainingError(f"{where}: values must be numbers or strings")
    texts = tuple(str(value) for value in values)
    if len(set(texts)) < len(texts):
        raise TrainingError(f"{where}: values has one of them twice")
    return Choices(texts)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
