"""Where the photos lie: a folder, a prefix in S3, or the channels of a SageMaker job."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from training.common.errors import TrainingError
from training.data.hints import is_archive

CHANNELS = {"train": ("TRAIN",), "valid": ("VALID", "VALIDATION", "VAL"), "test": ("TEST",)}
WHOLE_DATA_CHANNELS = ("TRAINING", "DATA")
"""SageMaker's usual name for a job's only channel, and ours."""


def add_data(parser: argparse.ArgumentParser) -> None:
    """Declare ``--data``, as every command that reads photos has it."""
    parser.add_argument(
        "--data",
        metavar="DIR|s3://BUCKET/PREFIX",
        help="holds train, valid and test, each with a folder of JPEG, PNG or WebP photos for every class; photos in "
        "S3 are downloaded once, and kept in KENNEL_CACHE or the user's cache while they are used "
        "(default in a SageMaker job: its channels train, valid and test, or its channel training)",
    )


def folders(data: str | Path | None, environment: Mapping[str, str]) -> dict[str, Path]:
    """Return each split's folder, from the argument or SageMaker's channels.

    Photos in S3 are downloaded now.

    Raises
    ------
    TrainingError
        Neither is given, what is given is missing, or S3 refuses it.
    """
    if isinstance(data, str) and data.startswith("s3://"):
        from training.data.s3 import fetch  # boto3, which nothing else here needs

        root = fetch(data)
        return {split: root / split for split in CHANNELS}
    channels = {
        name.removeprefix("SM_CHANNEL_"): Path(path)
        for name, path in environment.items()
        if name.startswith("SM_CHANNEL_")
    }
    if data is None:
        splits = {
            split: next((channels[name] for name in names if name in channels), None)
            for split, names in CHANNELS.items()
        }
        if any(splits.values()):
            if missing := [split for split, path in splits.items() if path is None]:
                raise TrainingError(f"the channel {missing[0]} is missing: train, valid and test are needed")
            return {split: path for split, path in splits.items() if path is not None}
        data = next((channels[name] for name in WHOLE_DATA_CHANNELS if name in channels), None)
    if data is None and channels:
        raise TrainingError(
            f"the channels {', '.join(sorted(channels)).lower()} are not train, valid and test, nor training alone"
        )
    if data is None:
        raise TrainingError("--data DIR is needed; `./kennel sample data/digits` writes one to begin with")
    data = Path(data)
    if data.is_file() and is_archive(data.name):
        raise TrainingError(f"{data} is packed; unpack it, and give the folder that holds train, valid and test")
    if data.is_file():
        raise TrainingError(f"{data} is not a folder; --data takes the one that holds train, valid and test")
    if not data.is_dir():
        raise TrainingError(f"{data} is missing; `./kennel sample {data}` writes photos to begin with")
    return {split: data / split for split in CHANNELS}
