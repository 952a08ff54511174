"""The estimate as plain text."""

from collections.abc import Sequence
from dataclasses import fields

from cost.estimate import NOT_COUNTED, Change, Estimate, Line, Total
from cost.quotas import Quota
from cost.usage import HOURS, Assumptions

_UNKNOWN = "price unknown"
_COLUMNS = ("at 0", "typical", "peak")


def estimate_text(priced: Estimate) -> str:
    """Return the table, the totals, what was assumed and where the prices come from."""
    rows: list[Sequence[str]] = [("US dollars a month", "quantity", "unit price", *_COLUMNS)]
    stack = ""
    for line in priced.lines:
        if line.stack != stack:
            stack = line.stack
            rows.append((stack,))
        rows.append(
            (f"  {line.usage.item}", _quantity(line), _unit_price(line), *(_dollars(cost) for cost in line.costs))
        )
    rows.append(("Total", "", "", *(total_text(total) for total in priced.totals)))
    parts = [
        *_columns(priced.assumptions),
        aligned(rows, right=3),
        "",
        *_per_million(priced),
        *_unknown(priced),
        *_assumed(priced.assumptions),
    ]
    return "\n".join([*parts, *_sources(priced)]) + "\n"


def quotas_text(needed: Sequence[Quota]) -> str:
    """Return which quotas the account must have, by the names that Service Quotas lists them under."""
    if not needed:
        return ""
    rows: list[Sequence[str]] = [("Service", "Quota", "at least", "for")]
    rows += [(quota.service, quota.name, f"{quota.least:,}", quota.reason) for quota in needed]
    return "\n".join(
        [
            "",
            "Quotas that the stacks need in this region (Service Quotas console), on top of what else runs there.",
            "An update that lowers a maximum, or turns scaling off, still needs twice the old maximum.",
            aligned([(f"  {service}", name, least.rjust(8), reason) for service, name, least, reason in rows], right=9),
            "",
        ]
    )


def diff_text(names: tuple[str, str], before: Estimate, after: Estimate, changed: list[Change]) -> str:
    """Return what a typical month costs more or less, row by row, and the three totals.

    Parameters
    ----------
    names
        The headings of the two assemblies' columns.
    before, after
        Their estimates.
    changed
        The rows that differ, from `changes`.
    """
    rows: list[Sequence[str]] = [("US dollars a month", *names, "change")]
    if changed:
        rows.append((f"A typical month ({before.assumptions.requests_typical:,.0f} requests)",))
    rows += [
        (
            f"  {change.stack}: {change.item}",
            _dollars(change.before),
            _dollars(change.after),
            "unknown" if change.before is None or change.after is None else f"{change.after - change.before:+,.2f}",
        )
        for change in changed
    ]
    for column, old, new in zip(_COLUMNS, before.totals, after.totals, strict=True):
        change_text = f"{new.usd - old.usd:+,.2f}" if old.complete and new.complete else "unknown"
        rows.append((f"Total, {column}", total_text(old), total_text(new), change_text))
    return "\n".join([aligned(rows, right=1), "", *_assumed(before.assumptions), *_sources(before)]) + "\n"


def total_text(total: Total) -> str:
    """Return the sum, marked where something of unknown price is missing from it."""
    return f"{total.usd:,.2f}" if total.complete else f"at least {total.usd:,.2f}"


def aligned(rows: Sequence[Sequence[str]], right: int) -> str:
    """Align cells in columns, those from ``right`` on to the right; a row of one cell is a heading.

    Parameters
    ----------
    rows
        Cells, as text. Rows may have different lengths.
    right
        Index of the first column that is aligned on the right, from 0.
    """
    columns = max(len(row) for row in rows)
    widths = [max((len(row[i]) for row in rows if i < len(row) and len(row) > 1), default=0) for i in range(columns)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i >= right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in rows
    )


def _dollars(cost: float | None) -> str:
    return "unknown" if cost is None else f"{cost:,.2f}"


def _unit_price(line: Line) -> str:
    if line.price is None:
        return _UNKNOWN
    usd, unit = line.price.usd, line.price.unit
    # A price of millionths is said as AWS says it: for a million.
    return f"{usd * 1e6:,.4g} / million {unit}s" if usd < 0.0001 else f"{usd:,.4g} / {unit}"


def _quantity(line: Line) -> str:
    use = line.usage
    if use.detail or line.price is None:
        return use.detail
    least, most = _number(use.zero), _number(use.peak)
    return f"{least} to {most}" if least != most else least


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _columns(assumptions: Assumptions) -> list[str]:
    return [
        "Cost of the synthesised stacks in a month: without requests (at 0), with "
        f"{assumptions.requests_typical:,.0f} requests (typical),",
        f"and with {assumptions.requests_peak:,.0f} requests while every fleet is at its maximum (peak).",
        "",
    ]


def _per_million(priced: Estimate) -> list[str]:
    added = priced.per_million_requests
    return [] if added is None else [f"A million requests add {total_text(added)} to the fixed cost.", ""]


def _unknown(priced: Estimate) -> list[str]:
    missing = sorted({line.usage.price for line in priced.lines if None in line.costs})
    if not missing:
        return []
    return [
        f"The price file has no price for {', '.join(missing)}: look it up and pass a file with it (--prices FILE).",
        "",
    ]


def _assumed(assumptions: Assumptions) -> list[str]:
    rows = [
        (f"  --{item.name.replace('_', '-')}", f"{getattr(assumptions, item.name):,.10g}", item.metadata["text"])
        for item in fields(assumptions)
    ]
    return [
        f"Assumptions (each is an option), for a month of {HOURS} hours; at 0 requests every fleet is at its minimum:",
        aligned([(name, number.rjust(9), text) for name, number, text in rows], right=9),
        "",
        "Not counted:",
        *(f"  {text}" for text in NOT_COUNTED),
        "",
    ]


def _sources(priced: Estimate) -> list[str]:
    used = {line.price.source for line in priced.lines if line.price}
    rows = [
        (f"  {source.page}", "first-hand" if source.provenance == "aws" else source.provenance)
        for name, source in priced.prices.sources.items()
        if name in used
    ]
    heading = (
        f"Prices: {priced.prices.region}, on demand, {priced.prices.date}; the price file has the source of each.\n"
        "A second-hand price was read from a copy of AWS's page: check the page before you rely on the price."
    )
    return [heading, *([aligned(list(dict.fromkeys(rows)), right=9)] if rows else [])]
