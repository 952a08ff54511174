"""Photos that lie otherwise than in DIR/{train,valid,test}/CLASS/, as people have them, and the line they get."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.common.errors import TrainingError
from training.common.s3 import Bucket
from training.data import s3
from training.data.hints import Prefix, root_hint

Run = Callable[..., tuple[int, str, str]]
RED = "001.Red_setter"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


def deeper(data: Path) -> None:
    (data / "dogs").mkdir()
    for split in ("train", "valid", "test"):
        (data / split).rename(data / "dogs" / split)


def renamed(*names: str) -> Callable[[Path], None]:
    """As torchvision's tutorials (train, val), Keras's (Train, Test) and Kaggle's data sets have them."""

    def change(data: Path) -> None:
        for split, name in zip(("train", "valid", "test"), names, strict=False):
            (data / split).rename(data / "moving")
            (data / "moving").rename(data / name)

    return change


def undivided(data: Path) -> None:
    for each in (data / "train").iterdir():
        each.rename(data / each.name)
    for split in ("train", "valid", "test"):
        shutil.rmtree(data / split)


def loose(data: Path) -> None:
    undivided(data)
    for photo in list(data.rglob("*.png")):
        photo.rename(data / f"{photo.parent.name}.{photo.name}")
    for folder in [each for each in data.iterdir() if each.is_dir()]:
        folder.rmdir()


def loose_in_split(data: Path) -> None:
    for photo in list((data / "train").rglob("*.png")):
        photo.rename(data / "train" / f"{photo.parent.name}.{photo.name}")
    for folder in [each for each in (data / "train").iterdir() if each.is_dir()]:
        folder.rmdir()


def packed(data: Path) -> None:
    for split in ("train", "valid", "test"):
        shutil.rmtree(data / split)
    (data / "dogs.tar.gz").write_text("")


def packed_split(data: Path) -> None:
    shutil.rmtree(data / "valid")
    (data / "valid.zip").write_text("")


def packed_channel(data: Path) -> None:
    shutil.rmtree(data / "train")
    (data / "train").mkdir()
    (data / "train" / "data.tar").write_text("")


def packed_class(data: Path) -> None:
    shutil.rmtree(data / "train" / RED)
    (data / "train" / RED).mkdir()
    (data / "train" / RED / "photos.zip").write_text("")


def images_between(data: Path) -> None:
    for split in ("train", "valid", "test"):
        (data / split).rename(data / "moving")
        (data / split).mkdir()
        (data / "moving").rename(data / split / "images")


def pointers(data: Path) -> None:
    (data / "train" / RED / "0.png").write_text(POINTER)


LAYOUTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "one folder too deep": (
        deeper,
        "{data} has no train, valid or test in it: they lie one folder deeper; give --data {data}/dogs",
    ),
    "val": (
        renamed("train", "val"),
        "{data}/valid is missing: photos lie in DIR/{{train,valid,test}}/CLASS/; rename {data}/val to valid",
    ),
    "capitals": (
        renamed("Train", "Valid", "Test"),
        "{data} has no train, valid or test in it: rename {data}/Train to train; rename {data}/Valid to valid; "
        "rename {data}/Test to test",
    ),
    "other words": (
        renamed("training_set", "validation", "test"),
        "{data}/train is missing: photos lie in DIR/{{train,valid,test}}/CLASS/; rename {data}/training_set to train",
    ),
    "class folders without splits": (
        undivided,
        "it holds folders of classes (001.Red_setter, 002.Green_dog, 003.Blue_heeler) that are not divided",
    ),
    "photos without folders": (
        loose,
        "its 24 photos lie in no folder; put those of each class into a folder of its own",
    ),
    "photos without folders in a split": (
        loose_in_split,
        "{data}/train holds no photos: JPEG, PNG and WebP files in a folder for each class count; its 24 photos lie in "
        "no folder",
    ),
    "an archive": (packed, "unpack {data}/dogs.tar.gz first"),
    "an archive for a split": (packed_split, "unpack {data}/valid.zip first"),
    "an archive in a channel": (packed_channel, "unpack {data}/train/data.tar first, here as for SageMaker"),
    "an archive for a class": (
        packed_class,
        "{data}/train/001.Red_setter has 1 file (.zip) and no photo: JPEG, PNG and WebP files count; unpack it",
    ),
    "a folder between split and class": (
        images_between,
        "{data}/train has one class, images: there is nothing to tell apart; if its folders (001.Red_setter, "
        "002.Green_dog, 003.Blue_heeler) are the classes, move them up by one folder in every split",
    ),
    "a Git LFS pointer": (
        pointers,
        "train/001.Red_setter/0.png: Git LFS pointer; the photo itself is not here; run `git lfs pull`",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_has_its_own_hint(layout: str, data: Path, tmp_path: Path, run: Run) -> None:
    change, hint = LAYOUTS[layout]
    change(data)
    status, _, errors = run("fit", "--data", data, "--out", tmp_path / "build")
    assert (status, errors.count("\n")) == (2, 1)
    assert hint.format(data=data) in errors
    status, output, _ = run("check", "--data", data)
    assert status == 2
    assert hint.format(data=data).partition(": ")[2] in output


def test_a_split_given_as_the_root_names_the_root(data: Path, tmp_path: Path, run: Run) -> None:
    status, _, errors = run("fit", "--data", data / "train", "--out", tmp_path / "build")
    assert (status, errors.count("\n")) == (2, 1)
    assert f"it is itself the split train; give --data {data}, which holds all splits" in errors


def test_of_two_splits_the_one_that_is_missing_is_named(data: Path, run: Run) -> None:
    """As the photos of PyTorch's transfer learning tutorial lie."""
    renamed("train", "val")(data)
    shutil.rmtree(data / "test")
    status, output, _ = run("check", "--data", data)
    assert status == 2
    assert f"rename {data}/val to valid" in output
    assert f"{data}/test is missing" in output


KEYS = {
    "one folder too deep": ("dogs/train/cat/1.jpg", "they lie one folder deeper; give --data s3://bucket/data/dogs"),
    "capitals": ("Train/cat/1.jpg", "rename s3://bucket/data/Train to train"),
    "an archive": ("dogs.zip", "unpack s3://bucket/data/dogs.zip first"),
    "loose photos": ("1.jpg", "its 1 photos lie in no folder"),
}


class Listing:
    """What the hints call of a client of S3."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    def list_objects_v2(self, *, Prefix: str = "", Delimiter: str = "", **_: Any) -> dict[str, Any]:  # noqa: N803
        rest = [key.removeprefix(Prefix) for key in self.keys if key.startswith(Prefix)]
        folders = sorted({each.partition("/")[0] for each in rest if "/" in each})
        return {
            "CommonPrefixes": [{"Prefix": f"{Prefix}{each}/"} for each in folders],
            "Contents": [{"Key": Prefix + each} for each in rest if "/" not in each],
        }


@pytest.mark.parametrize("layout", KEYS)
def test_photos_in_s3_have_the_same_hints(layout: str) -> None:
    key, hint = KEYS[layout]
    client: Any = Listing(f"data/{key}")
    prefix = Prefix(Bucket(client, "bucket"), "data/")
    assert hint in root_hint(prefix)
    assert hint in s3._hint(prefix, "train")


def test_a_split_given_as_the_prefix_names_the_prefix_above() -> None:
    client: Any = Listing("data/train/cat/1.jpg")
    assert "give --data s3://bucket/data, which" in root_hint(Prefix(Bucket(client, "bucket"), "data/train/"))


def test_nothing_is_said_where_nothing_is_known(tmp_path: Path, run: Run) -> None:
    status, _, errors = run("fit", "--data", tmp_path, "--out", tmp_path / "build")
    assert status == 2
    assert errors == f"kennel: {tmp_path}/train is missing: photos lie in DIR/{{train,valid,test}}/CLASS/\n"
    with pytest.raises(TrainingError):
        s3.fetch("s3://UPPER/x")
