"""The dated price file: what one unit of a thing costs, and who says so."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cost.errors import CostError

US_EAST_1 = Path(__file__).with_name("prices-us-east-1.toml")


@dataclass(frozen=True)
class Source:
    """Where a price was read: AWS's page, and whether its number is first or second hand."""

    page: str
    provenance: str
    read: str


@dataclass(frozen=True)
class Price:
    """US dollars for one unit."""

    usd: float
    unit: str
    source: str


@dataclass(frozen=True)
class Prices:
    """The prices of one region."""

    region: str
    date: str
    sources: dict[str, Source]
    prices: dict[str, Price]

    def get(self, key: str) -> Price | None:
        """Return the price, or None where the file has none: unknown is never taken for free.

        ``key`` is a name of the file's table ``price``, or a SageMaker instance type.
        """
        return self.prices.get(key)


def load_prices(path: Path = US_EAST_1) -> Prices:
    """Read a price file.

    Raises
    ------
    CostError
        The file cannot be read, or a price lacks its amount, its unit or its source.
    """
    try:
        return _parse(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise CostError(f"{path}: cannot be read ({error.strerror}); pass a price file with --prices") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CostError(f"{path}: not valid TOML ({error}); start from a copy of {US_EAST_1.name}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        fault = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise CostError(f"{path}: {fault}; {US_EAST_1.name} shows the format") from error


def _parse(content: dict[str, Any]) -> Prices:
    sources = {name: Source(**table) for name, table in content["source"].items()}
    prices = {
        key: Price(float(table["usd"]), table["unit"], table["source"]) for key, table in content["price"].items()
    }
    instance = content["instance"]
    for kind, usd in instance["usd_per_hour"].items():
        prices[kind] = Price(float(usd), "hour", instance["source"])
    for key, price in prices.items():
        if price.source not in sources:
            raise ValueError(f"{key} has the source {price.source!r}, which the table [source] lacks")
        if not 0 <= price.usd < float("inf"):
            raise ValueError(f"{key} has the price {price.usd}, which is not an amount of 0 or more")
    return Prices(content["region"], str(content["date"]), sources, prices)
