"""``./kennel cost``: what the synthesised stacks cost in a month, and the quotas that they need."""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from cost.assembly import load_assembly
from cost.errors import CostError
from cost.estimate import changes, estimate
from cost.prices import US_EAST_1, load_prices
from cost.quotas import quotas
from cost.table import diff_text, estimate_text, quotas_text
from cost.usage import Assumptions
from cost.version import VERSION


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./kennel cost", description="Price synthesised stacks before they are deployed."
    )
    parser.add_argument("--version", action="version", version=f"kennel {VERSION}")
    parser.add_argument(
        "assembly",
        nargs="?",
        type=Path,
        default=Path("cdk.out"),
        help="the output folder of `./kennel cdk synth` (default cdk.out)",
    )
    parser.add_argument("--diff", nargs=2, type=Path, metavar=("A", "B"), help="compare two output folders")
    parser.add_argument("--prices", type=Path, default=US_EAST_1, help=f"price file (default {US_EAST_1.name})")
    for item in fields(Assumptions):
        parser.add_argument(
            f"--{item.name.replace('_', '-')}",
            type=float,
            default=item.default,
            metavar="N",
            help=f"{item.metadata['text']} (default {item.default:,.10g})".replace("%", "%%"),
        )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Print the cost and the quotas of one assembly, or what two differ by; return the exit status (2: bad input)."""
    options = _parser().parse_args(arguments)
    try:
        assumptions = Assumptions(**{item.name: getattr(options, item.name) for item in fields(Assumptions)})
        prices = load_prices(options.prices)
        if options.diff:
            before, after = (estimate(load_assembly(folder), prices, assumptions) for folder in options.diff)
            names = (str(options.diff[0]), str(options.diff[1]))
            text = diff_text(names, before, after, changes(before, after))
        else:
            assembly = load_assembly(options.assembly)
            text = estimate_text(estimate(assembly, prices, assumptions)) + quotas_text(quotas(assembly))
    except CostError as error:
        sys.stderr.write(f"kennel: {error}\n")
        return 2
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
