"""``check``: what would falsify a result, before hours go into it."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.commands.arguments import add_no_test, add_split, division, whole
from training.data.location import add_data, folders


def add(commands: Any, environment: Mapping[str, str]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "check",
        help="read every photo once, and report errors that would falsify a result",
        description="Read every photo once. Errors that would falsify a result (unreadable files, a class that is "
        "missing from a split, the same photo in two splits or under two classes) end with exit status 2. Possible "
        "causes of a poor result are printed as warnings.",
    )
    add_data(parser)
    add_split(parser, seed=True)
    add_no_test(parser)
    parser.add_argument(
        "--image-size",
        type=whole(8, 4096),
        help="pixels of each side of the model's input (default: the photos' own, at most 224)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write all findings to FILE, with the name of every affected photo"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Check, and print the findings."""
    from training.common.errors import TrainingError
    from training.data.check import check, show, write

    if options.json and options.json.is_dir():
        raise TrainingError(f"--json {options.json} is a folder; give a file")
    splits = folders(options.data, environment, division(options), test=not options.no_test)
    report = check(splits, options.image_size)
    show(report)
    if options.json:
        write(report, options.json)
    if report.errors:
        count = f"{report.errors} error{'s' if report.errors > 1 else ''}"
        raise TrainingError(f"the data set has {count} that would falsify the result; correct them, and check again")
    return 0
