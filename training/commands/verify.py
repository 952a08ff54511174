"""``verify``: whether an artifact is whole, harmless, and serves."""

import argparse
from collections.abc import Mapping
from typing import Any


def add(commands: Any, environment: Mapping[str, str]) -> None:
    """Declare the command."""
    parser = commands.add_parser("verify", help="check an artifact, local or in S3")
    parser.add_argument(
        "artifact",
        metavar="FILE|s3://BUCKET/KEY.tar.gz",
        help="a model.tar.gz, the model.json that names it, or an address in S3. `verify` also checks a manifest "
        "beside it",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Check the artifact; what is wrong with it is an error."""
    from training.pipeline.verify import verify

    verify(options.artifact)
    return 0
