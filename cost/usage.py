"""How much of each priced thing a month uses, and the assumptions behind it."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from cost.errors import CostError

HOURS = 730
"""A month as AWS's own calculator counts it: 365 x 24 / 12."""
SECONDS = HOURS * 3600


def _assume(default: float, text: str) -> Any:
    return field(default=default, metadata={"text": text})


@dataclass(frozen=True)
class Assumptions:
    """Quantities that no template has. Each is an option of the command line and a line of its output."""

    requests_typical: float = _assume(100_000, "requests in a typical month, evenly spread")
    requests_peak: float = _assume(3_000_000, "requests in a month at peak, with every fleet at its maximum")
    function_ms: float = _assume(200, "milliseconds that the function runs for a request")
    model_ms: float = _assume(100, "milliseconds that a serverless endpoint runs for a request")
    photo_kb: float = _assume(200, "kilobytes of a photo")
    log_kb: float = _assume(1, "kilobytes that the function logs for a request; the container logs the same amount")
    stored_gb: float = _assume(1, "gigabytes stored in each bucket (photos, models)")
    notices: float = _assume(100, "alarm e-mails in a month; with traffic, the same number of dead letters")
    notebook_hours: float = _assume(40, "hours that a notebook runs in a typical month; at peak it never stops")

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not 0 <= value < float("inf"):
                raise CostError(f"--{item.name.replace('_', '-')} {value}: use a number of 0 or more")

    @property
    def requests(self) -> tuple[float, float, float]:
        """Requests a month at zero, typical and peak traffic."""
        return 0, self.requests_typical, self.requests_peak


@dataclass(frozen=True)
class Usage:
    """Units of one priced thing in a month, at zero, typical and peak traffic.

    ``price`` is a key of the price file. ``detail`` says in words what the item is, where the quantity does not.
    ``per_request`` is true for usage that grows with each request.
    """

    item: str
    price: str
    zero: float
    typical: float
    peak: float
    detail: str = ""
    per_request: bool = False


def standing(item: str, price: str, quantity: float, detail: str = "") -> Usage:
    """Return usage that no traffic changes.

    Parameters
    ----------
    item
        What it is, as the table shows it.
    price
        A key of the price file.
    quantity
        Units in a month.
    detail
        The quantity in words, where its number does not say what it is.
    """
    return Usage(item, price, quantity, quantity, quantity, detail)


def for_requests(item: str, price: str, assumptions: Assumptions, units: Callable[[float], float]) -> Usage:
    """Return usage that grows with the requests of a month.

    Parameters
    ----------
    item
        What it is, as the table shows it.
    price
        A key of the price file.
    assumptions
        These say how many requests a month has.
    units
        Returns the units that so many requests use.
    """
    zero, typical, peak = (units(requests) for requests in assumptions.requests)
    return Usage(item, price, zero, typical, peak, per_request=True)


def literal(value: Any, default: float | None = None) -> float:
    """Return a number of a template.

    Parameters
    ----------
    value
        What stands in the template: a number, or its digits as text.
    default
        The number that a missing value means; None if it must not be missing.

    Raises
    ------
    CostError
        The number is missing or decided only by CloudFormation.
    """
    if value is None and default is not None:
        return default
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise CostError(f"the template has {value!r} instead of a number; write a number in the stack") from error
