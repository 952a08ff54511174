"""Where the photos lie: a folder, a prefix in S3, or the channels of a SageMaker job."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.common.errors import TrainingError
from training.data.hints import is_archive
from training.data.shares import Division

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


def folders(
    data: str | Path | None, environment: Mapping[str, str], division: Division | None = None, *, test: bool = True
) -> dict[str, Path]:
    """Return each split's folder, from the argument or SageMaker's channels.

    Photos in S3 are downloaded now.

    Parameters
    ----------
    data
        A folder or an ``s3://`` address; None for the channels of ``environment``.
    division
        How the photos are to be divided, which then lie in folders of classes alone.
    test
        Whether there is to be a test split.

    Raises
    ------
    TrainingError
        Neither is given, what is given is missing, or S3 refuses it.
    """
    if isinstance(data, str) and data.startswith("s3://"):
        from training.data.s3 import fetch  # boto3, which nothing else here needs

        return _within(fetch(data, None if division else _names(test)), division, test)
    if data is None:
        channels = _channels(environment)
        if splits := _split_channels(channels, _names(test), division):
            return splits
        data = _whole_data_channel(channels)
    return _within(_checked(Path(data)), division, test)


def _channels(environment: Mapping[str, str]) -> dict[str, Path]:
    """Return the folders of a SageMaker job's channels, by their names in upper case."""
    prefix = "SM_CHANNEL_"
    return {name.removeprefix(prefix): Path(path) for name, path in environment.items() if name.startswith(prefix)}


def _split_channels(
    channels: Mapping[str, Path], splits: Sequence[str], division: Division | None
) -> dict[str, Path] | None:
    """Return the folder of each split that has a channel of its own; None if none has."""
    names = {split: next((name for name in CHANNELS[split] if name in channels), None) for split in splits}
    found = {split: channels[name] for split, name in names.items() if name}
    if not found:
        return None
    missing = [split for split in splits if split not in found]
    if missing == ["test"]:
        raise TrainingError("the channel test is missing; no-test=true trains without measuring the model")
    if missing:
        raise TrainingError(f"the channel {missing[0]} is missing: train, valid and test are needed")
    if division:
        raise TrainingError("--split divides the photos of one channel; these channels are divided already")
    return found


def _whole_data_channel(channels: Mapping[str, Path]) -> Path:
    """Return the folder of the channel that has all splits."""
    for name in WHOLE_DATA_CHANNELS:
        if name in channels:
            return channels[name]
    if channels:
        raise TrainingError(
            f"the channels {', '.join(sorted(channels)).lower()} are not train, valid and test, nor training alone"
        )
    raise TrainingError("--data DIR is needed; `./kennel sample data/digits` writes one to begin with")


def _checked(folder: Path) -> Path:
    """Return a folder that is there."""
    if folder.is_dir():
        return folder
    if not folder.is_file():
        raise TrainingError(f"{folder} is missing; `./kennel sample {folder}` writes photos to begin with")
    if is_archive(folder.name):
        raise TrainingError(f"{folder} is packed; unpack it, and give the folder that holds train, valid and test")
    raise TrainingError(f"{folder} is not a folder; --data takes the one that holds train, valid and test")


def _names(test: bool) -> tuple[str, ...]:
    return tuple(split for split in CHANNELS if test or split != "test")


def _within(root: Path, division: Division | None, test: bool) -> dict[str, Path]:
    if division is None:
        return {split: root / split for split in _names(test)}
    from training.data.division import divide  # Pillow and numpy

    divided = divide(root, division)
    return {split: divided[split] for split in _names(test) if split in divided}
