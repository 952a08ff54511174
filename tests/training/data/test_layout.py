"""Which files count as photos, and of which class."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from training.common.errors import TrainingError
from training.data.layout import SPLITS, Photos, find

Run = Callable[..., tuple[int, str, str]]
RED, GREEN = "001.Red_setter", "002.Green_dog"


def found(data: Path) -> Photos:
    return find({split: data / split for split in SPLITS})


def names(data: Path, split: str = "train") -> set[str]:
    photos = found(data)
    return {photos.name(split, photo.path) for photo in photos.splits[split]}


@pytest.mark.parametrize("name", ["a.jfif", "a.jpe", "a.JPG", "a.JPEG", "a.jif", "a", "a.photo", "a.jpg.1", "a.txt"])
def test_a_photo_is_one_by_its_content_whatever_its_name(data: Path, name: str, run: Run) -> None:
    Image.effect_noise((40, 32), 90).convert("RGB").save(data / "train" / RED / name, "JPEG")
    assert f"train/{RED}/{name}" in names(data)
    assert run("check", "--data", data)[0] == 0


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_what_serving_reads_counts_without_an_ending(data: Path, format_: str) -> None:
    Image.new("RGB", (40, 32)).save(data / "train" / RED / "0d5f", format_)
    assert f"train/{RED}/0d5f" in names(data)


@pytest.mark.parametrize("format_", ["GIF", "BMP", "TIFF"])
def test_what_serving_refuses_does_not(data: Path, format_: str) -> None:
    Image.new("RGB", (40, 32)).save(data / "train" / RED / "0d5f", format_)
    assert f"train/{RED}/0d5f" not in names(data)


@pytest.mark.parametrize("splits", [("train",), SPLITS])
def test_a_class_with_files_and_no_photo_is_an_error_that_names_it(
    data: Path, splits: tuple[str, ...], run: Run
) -> None:
    """In all splits, it would vanish from the model without a word."""
    for split in splits:
        for path in (data / split / GREEN).iterdir():
            path.write_bytes(b"\0\0\0\x18ftypheic")
            path.rename(path.with_suffix(".HEIC"))
    reason = f"{data / 'train' / GREEN} has 8 files (.heic) and no JPEG, PNG or WebP photo"
    with pytest.raises(TrainingError) as caught:
        found(data)
    assert str(caught.value).startswith(reason)
    status, output, _ = run("check", "--data", data)
    assert status == 2
    assert output.count("class without photos") == len(splits)


@pytest.mark.parametrize("name", ["__MACOSX", "@eaDir", ".ipynb_checkpoints", "__pycache__"])
def test_a_folder_that_a_program_left_is_no_class(data: Path, name: str, run: Run) -> None:
    for folder in (data / "train" / name, data / "train" / RED / name):
        folder.mkdir()
        for file in ("._0.png", "photo.png"):
            shutil.copy(data / "train" / RED / "0.png", folder / file)
    assert len(found(data).classes) == 3
    assert len(names(data)) == 24
    assert run("check", "--data", data)[0] == 0


def test_files_that_a_program_left_are_not_told(data: Path, run: Run) -> None:
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._0.png"):
        (data / "train" / RED / name).write_bytes(b"x")
        (data / "train" / name).write_bytes(b"x")
    status, output, _ = run("check", "--data", data)
    assert (status, "no findings" in output) == (0, True)


def test_a_linked_folder_inside_a_class_is_followed(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "below"
    other.mkdir(parents=True)
    Image.effect_noise((40, 32), 90).convert("RGB").save(other / "x.jpg")
    (data / "train" / RED / "more").symlink_to(other.parent)
    assert f"train/{RED}/more/below/x.jpg" in names(data)


@pytest.mark.parametrize("target", [".", "..", "../..", "below"])
def test_a_link_that_leads_in_a_circle_is_refused(data: Path, target: str, run: Run) -> None:
    below = data / "train" / RED / "below"
    below.mkdir()
    link = below / "again" if target == "below" else data / "train" / RED / "again"
    link.symlink_to(below if target == "below" else data / "train" / RED / target)
    with pytest.raises(TrainingError, match=r"again.* links to a folder that contains it; remove the link"):
        found(data)
    assert run("check", "--data", data)[0] == 2


def test_a_pipe_is_not_waited_for(data: Path) -> None:
    os.mkfifo(data / "train" / RED / "pipe")
    assert len(names(data)) == 24


COMPOSED, DECOMPOSED = "\u00c9pagneul", "E\u0301pagneul"


def renamed(data: Path, split: str, name: str) -> None:
    (data / split / RED).rename(data / split / name)


def test_a_class_is_the_same_in_either_form_of_unicode(data: Path, run: Run) -> None:
    """As a zip file made on macOS has it beside folders made on Linux."""
    renamed(data, "train", DECOMPOSED)
    for split in ("valid", "test"):
        renamed(data, split, COMPOSED)
    assert COMPOSED in found(data).classes
    assert len(found(data).classes) == 3
    assert run("check", "--data", data)[0] == 0


def test_two_folders_of_one_split_that_are_the_same_class_are_shown_apart(data: Path) -> None:
    for split in SPLITS:
        renamed(data, split, COMPOSED)
    shutil.copytree(data / "train" / COMPOSED, data / "train" / DECOMPOSED)
    with pytest.raises(TrainingError) as caught:
        found(data)
    assert r"has 'E\u0301pagneul' and \u00c9pagneul, which are the same class".replace(r"\u00c9", "\u00c9") in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("odd", "shown"), [("cat ", "'cat '"), ("cat\u00a0", r"'cat\xa0'"), ("c\u200bat", r"'c\u200bat'")]
)
def test_names_that_only_look_the_same_are_shown_so_that_they_do_not(data: Path, odd: str, shown: str) -> None:
    renamed(data, "train", "cat")
    for split in ("valid", "test"):
        renamed(data, split, odd)
    with pytest.raises(TrainingError) as caught:
        found(data)
    assert f"has {shown} where another split has cat" in str(caught.value) or (
        f"has cat where another split has {shown}" in str(caught.value)
    )
