"""``evaluate``: how good a packed artifact is."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.data.location import CHANNELS, add_data, folders


def add(commands: Any, environment: Mapping[str, str]) -> None:
    """Declare the command."""
    parser = commands.add_parser("evaluate", help="measure an artifact, local or in S3, with the code that serves it")
    parser.add_argument(
        "--artifact",
        default="build/model.json",
        metavar="FILE|s3://BUCKET/KEY.tar.gz",
        help="a model.tar.gz, the model.json that names it, or an address in S3 (default: %(default)s)",
    )
    add_data(parser)
    parser.add_argument("--split", choices=list(CHANNELS), default="test", help="split to measure (default: test)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build"),
        metavar="DIR",
        help="write evaluation.html and evaluation.json to DIR (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Measure, and write the report."""
    folder = folders(options.data, environment)[options.split]
    from training.pipeline.evaluate import evaluate  # PyTorch takes seconds to import; mistakes above should not

    evaluate(options.artifact, folder, options.split, options.out)
    return 0
