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
        help="read every photo once, and say what would falsify a result",
        description="Reads every photo once. What would falsify a result (files that cannot be read, classes that a "
        "split lacks, the same photo in two splits or under two classes) ends in exit status 2; what may explain a "
        "poor result is a warning.",
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
        "--json", type=Path, metavar="FILE", help="gets all findings, with the name of every photo that they concern"
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
        raise TrainingError("what is marked as an error would falsify the result: put it right, and check again")
    return 0
