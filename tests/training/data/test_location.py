from pathlib import Path

import pytest

from training.common.errors import TrainingError
from training.data.location import folders


@pytest.mark.parametrize(
    "environment",
    [
        {"SM_CHANNEL_TRAIN": "/in/train", "SM_CHANNEL_VALID": "/in/valid", "SM_CHANNEL_TEST": "/in/test"},
        {"SM_CHANNEL_TRAIN": "/in/train", "SM_CHANNEL_VALIDATION": "/in/valid", "SM_CHANNEL_TEST": "/in/test"},
        {"SM_CHANNEL_TRAIN": "/in/train", "SM_CHANNEL_VAL": "/in/valid", "SM_CHANNEL_TEST": "/in/test"},
    ],
)
def test_a_channel_for_each_split_is_its_folder(environment: dict[str, str]) -> None:
    assert folders(None, environment) == {split: Path("/in", split) for split in ("train", "valid", "test")}


@pytest.mark.parametrize("name", ["SM_CHANNEL_TRAINING", "SM_CHANNEL_DATA"])
def test_the_only_channel_holds_all_splits(data: Path, name: str) -> None:
    assert folders(None, {name: str(data)}) == {split: data / split for split in ("train", "valid", "test")}


def test_an_argument_wins_over_channels(data: Path) -> None:
    channels = {"SM_CHANNEL_TRAINING": "/in"}
    assert folders(str(data), channels) == folders(data, {}) == {split: data / split for split in folders(data, {})}


def test_without_a_test_split_two_channels_are_enough() -> None:
    channels = {"SM_CHANNEL_TRAIN": "/in/train", "SM_CHANNEL_VAL": "/in/valid"}
    assert folders(None, channels, test=False) == {"train": Path("/in/train"), "valid": Path("/in/valid")}
    with pytest.raises(
        TrainingError, match="the channel test is missing; add it, or set no-test=true to train without"
    ):
        folders(None, channels)


def test_channels_of_other_names_are_told() -> None:
    with pytest.raises(
        TrainingError, match="the job has the channels dev, images; it needs train, valid and test, or training"
    ):
        folders(None, {"SM_CHANNEL_IMAGES": "/in/images", "SM_CHANNEL_DEV": "/in/dev"})


def test_a_file_is_no_folder(data: Path) -> None:
    (data / "file").write_text("")
    with pytest.raises(TrainingError, match="is not a folder"):
        folders(data / "file", {})


def test_an_archive_is_to_be_unpacked(data: Path) -> None:
    (data / "dogs.tar.gz").write_text("")
    with pytest.raises(TrainingError, match=r"dogs\.tar\.gz is an archive; unpack it"):
        folders(data / "dogs.tar.gz", {})
