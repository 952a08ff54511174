"""``sample``: a data set to begin with."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def add(commands: Any, environment: Mapping[str, str]) -> None:
    """Declare the command."""
    parser = commands.add_parser("sample", help="write a sample data set: scikit-learn's scanned digits")
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder in which train, valid and test are created")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Write the data set."""
    from training.common.console import say
    from training.data.sample import write_sample

    written = write_sample(options.folder)
    if written is None:
        say("Photos", f"{options.folder} already has the scanned digits")
        return 0
    counts = ", ".join(f"{n} {split}" for split, n in written.items())
    say("Photos", f"{options.folder}: scanned digits, {counts}")
    return 0
