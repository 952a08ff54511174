import hashlib
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from training.common.errors import TrainingError
from training.data.photos import SPLITS, find, label, survey


def folders(data: Path) -> dict[str, Path]:
    return {split: data / split for split in SPLITS}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("020.Belgian_malinois", "Belgian malinois"),
        ("7", "7"),
        ("0", "0"),
        ("German_shepherd_dog", "German shepherd dog"),
        ("3.14", "3.14"),
        ("12.", "12."),
        ("n02085620-Chihuahua", "n02085620-Chihuahua"),
    ],
)
def test_labels_read_as_people_write_them(name: str, expected: str) -> None:
    assert label(name) == expected


def test_photos_are_listed_by_name_with_their_class(data: Path) -> None:
    found = find(folders(data))
    assert found.classes == ("001.Red_setter", "002.Green_dog", "003.Blue_heeler")
    assert {split: len(each) for split, each in found.splits.items()} == {"train": 24, "valid": 12, "test": 12}
    for split, each in found.splits.items():
        assert [(p.target, p.path.name) for p in each] == sorted((p.target, p.path.name) for p in each)
        assert all(p.path.parent == data / split / found.classes[p.target] for p in each)


def test_only_what_the_endpoint_takes_counts_as_a_photo(data: Path) -> None:
    red = data / "train" / "001.Red_setter"
    (red / ".ipynb_checkpoints").mkdir()
    shutil.copy(red / "0.png", red / ".ipynb_checkpoints" / "0-checkpoint.png")
    for name in (".hidden.png", "notes.txt", "old.bmp", "._0.png"):
        (red / name).write_bytes(b"not a photo")
    shutil.copy(red / "0.png", red / "UPPER.PNG")
    names = {photo.path.name for photo in find(folders(data)).splits["train"]}
    assert "UPPER.PNG" in names
    assert not names & {".hidden.png", "notes.txt", "old.bmp", "._0.png", "0-checkpoint.png"}


def test_a_missing_split_is_named(data: Path) -> None:
    shutil.rmtree(data / "valid")
    with pytest.raises(TrainingError, match="valid is missing"):
        find(folders(data))


def test_a_split_by_another_name_is_recognised(data: Path) -> None:
    (data / "valid").rename(data / "val")
    with pytest.raises(TrainingError, match=f"valid is missing; .*; rename {data / 'val'} to valid$"):
        find(folders(data))


def test_a_split_without_photos_is_named(data: Path) -> None:
    for each in (data / "test").rglob("*.png"):
        each.unlink()
    with pytest.raises(TrainingError, match="test has no photos in class folders"):
        find(folders(data))


@pytest.mark.parametrize("split", SPLITS)
def test_a_class_that_a_split_lacks_is_named(data: Path, split: str) -> None:
    shutil.rmtree(data / split / "002.Green_dog")
    with pytest.raises(TrainingError, match=f"{split} has no photos of 002.Green_dog"):
        find(folders(data))


def test_one_class_is_not_enough(data: Path) -> None:
    for split in SPLITS:
        shutil.rmtree(data / split / "002.Green_dog")
        shutil.rmtree(data / split / "003.Blue_heeler")
    with pytest.raises(TrainingError, match=r"has only the class .*; a classifier needs at least two"):
        find(folders(data))


def test_two_classes_with_one_label_are_refused(data: Path) -> None:
    for split in SPLITS:
        shutil.copytree(data / split / "001.Red_setter", data / split / "004.Red setter")
    with pytest.raises(TrainingError, match="label 'Red setter'"):
        find(folders(data))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"<html>", "unsupported image format"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "damaged image"),
    ],
)
def test_an_unreadable_photo_is_named_wherever_it_is(data: Path, content: bytes, reason: str) -> None:
    bad = data / "test" / "003.Blue_heeler" / "2.png"
    bad.write_bytes(content)
    with pytest.raises(TrainingError, match=f"Blue_heeler/2.png: {reason}"):
        survey(find(folders(data)))


def test_a_photo_that_is_cut_short_is_found(data: Path) -> None:
    bad = data / "train" / "001.Red_setter" / "3.png"
    bad.write_bytes(bad.read_bytes()[:-300])
    with pytest.raises(TrainingError, match=r"Red_setter/3.png: damaged"):
        survey(find(folders(data)))


def test_the_fingerprint_is_that_of_names_and_bytes_and_not_of_the_place_or_the_time(
    data: Path, tmp_path: Path
) -> None:
    first = survey(find(folders(data)))
    moved = data.rename(tmp_path / "moved")
    for each in moved.rglob("*.png"):
        os.utime(each, (0, 0))
    assert survey(find(folders(moved))) == first


@pytest.mark.parametrize("change", ["photo changed", "photo moved", "photo renamed", "class renamed"])
def test_the_fingerprint_changes_with_whatever_changes_training(data: Path, change: str) -> None:
    first = survey(find(folders(data))).fingerprint
    red, green = data / "train" / "001.Red_setter", data / "train" / "002.Green_dog"
    match change:
        case "photo changed":
            Image.new("RGB", (32, 32), "brown").save(red / "0.png")
        case "photo moved":
            (red / "0.png").rename(green / "other.png")
        case "photo renamed":
            (red / "0.png").rename(red / "other.png")
        case "class renamed":
            for split in SPLITS:
                (data / split / "001.Red_setter").rename(data / split / "001.Irish_setter")
    assert survey(find(folders(data))).fingerprint != first


def test_the_survey_tells_the_hash_of_every_photo_in_their_order(data: Path) -> None:
    found = find(folders(data))
    seen = survey(found)
    for split in SPLITS:
        expected = [hashlib.sha256(photo.path.read_bytes()).hexdigest() for photo in found.splits[split]]
        assert seen.digests[split] == expected


def test_the_survey_tells_the_usual_shorter_side(data: Path) -> None:
    assert survey(find(folders(data))).side == 32
