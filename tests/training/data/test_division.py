"""Class folders without splits, divided by content and seed."""

import os
import shutil
import time
from argparse import ArgumentTypeError
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.common.errors import TrainingError
from training.data import division
from training.data.division import divide
from training.data.duplicates import THUMBNAIL, alike_groups
from training.data.layout import find
from training.data.shares import Division, Shares, shares
from training.data.survey import PhotoRecord

Run = Callable[..., tuple[int, str, str]]
EIGHTY = Division(Shares(0.8, 0.1, 0.1))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KENNEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def photo(path: Path, seed: int) -> None:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize((32, 24), Image.Resampling.BICUBIC).save(path, quality=90)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for number, name in enumerate(("cat", "dog", "fox")):
        for i in range(60):
            photo(tmp_path / "pets" / name / f"{i}.jpg", 1000 * number + i)
    return tmp_path / "pets"


def splits(root: Path, how: Division = EIGHTY) -> dict[str, str]:
    """Return the split of each photo by its name."""
    found = divide(root, how)
    return {
        path.relative_to(folder).as_posix(): split for split, folder in found.items() for path in folder.rglob("*.*")
    }


def test_every_photo_has_one_split_in_about_the_shares_asked_for(pets: Path) -> None:
    found = divide(pets, EIGHTY)
    photos = find(found)
    assert photos.classes == ("cat", "dog", "fox")
    counts = Counter(splits(pets).values())
    assert counts.total() == 180
    assert 126 <= counts["train"] <= 162
    assert all(path.path.is_symlink() and path.path.is_file() for each in photos.splits.values() for path in each)


def test_content_and_seed_decide_and_names_do_not(pets: Path, tmp_path: Path) -> None:
    before = splits(pets)
    assert splits(pets) == before
    moved = pets.rename(tmp_path / "elsewhere")
    for path in list(moved.rglob("*.jpg")):
        path.rename(path.with_name(f"renamed-{path.name}"))
    assert splits(moved) == {name.replace("/", "/renamed-"): split for name, split in before.items()}
    assert splits(moved, Division(EIGHTY.shares, seed=1)) != splits(moved)


def test_adding_photos_moves_none(pets: Path) -> None:
    before = splits(pets)
    for i in range(60, 200):
        photo(pets / "cat" / f"{i}.jpg", i)
        photo(pets / "newt" / f"{i}.jpg", 5000 + i)
    after = splits(pets)
    assert len(after) == len(before) + 280
    assert {name: after[name] for name in before} == before


def test_photos_that_look_alike_stay_together(pets: Path) -> None:
    for i in range(40):
        brighter = Image.eval(Image.open(pets / "cat" / f"{i}.jpg"), lambda value: min(255, value + 1))
        brighter.save(pets / "cat" / f"{i}-again.png")
    found = splits(pets)
    assert all(found[f"cat/{i}.jpg"] == found[f"cat/{i}-again.png"] for i in range(40))
    assert len({found[f"cat/{i}.jpg"] for i in range(40)}) > 1


def test_a_class_that_is_small_has_photos_in_every_split(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    for number, count in enumerate((3, 4, 5, 8)):
        for i in range(count):
            photo(root / f"class {number}" / f"{i}.jpg", 1000 * number + i)
    for seed in range(20):
        found = find(divide(root, Division(EIGHTY.shares, seed)))
        assert len(found.classes) == 4


def test_what_a_small_class_lends_to_test_goes_back_to_train_alone(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    for i in range(5):
        photo(root / "cat" / f"{i}.jpg", i)
        photo(root / "dog" / f"{i}.jpg", 1000 + i)
    before = splits(root)
    for i in range(5, 100):
        photo(root / "cat" / f"{i}.jpg", i)
    after = splits(root)
    moved = {name: (split, after[name]) for name, split in before.items() if after[name] != split}
    assert all(now == "train" for _, now in moved.values()), moved


def test_a_class_that_is_too_small_is_named(pets: Path) -> None:
    for i in range(2):
        photo(pets / "newt" / f"{i}.jpg", 9000 + i)
    shutil.copy(pets / "newt" / "0.jpg", pets / "newt" / "copy.jpg")
    with pytest.raises(TrainingError, match="newt has 2 photos that do not look alike, too few for 3 splits"):
        divide(pets, EIGHTY)
    assert divide(pets, Division(Shares(0.8, 0.2, 0))).keys() == {"train", "valid"}


def test_what_is_divided_already_is_refused(data: Path) -> None:
    with pytest.raises(TrainingError, match="is divided already: it has test; leave out --split"):
        divide(data, EIGHTY)


def test_unchanged_photos_are_not_read_again(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = divide(pets, EIGHTY)
    monkeypatch.setattr(division, "scan", None)
    assert divide(pets, EIGHTY) == before


def test_a_division_that_nobody_asked_for_in_a_month_goes(pets: Path) -> None:
    old = divide(pets, EIGHTY)["train"].parent
    os.utime(old, (time.time() - 31 * 86400,) * 2)
    divide(pets, Division(EIGHTY.shares, seed=1))
    assert not old.exists()
    assert (pets / "cat" / "0.jpg").is_file(), "a link went, and not what it leads to"


@pytest.mark.parametrize(
    "text", ["", "0.8", "0.8,0.1,0.2", "0.8;0.2", "1,0,0", "0,0.5,0.5", "0.8,-0.1,0.3", "a,b,c", "nan,0.5,0.5"]
)
def test_what_are_no_shares_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        shares(text)


@pytest.mark.parametrize("text", ["0.8,0.1,0.1", "0.7,0.15,0.15", "0.8,0.2,0"])
def test_shares_are_written_as_they_are_read(text: str) -> None:
    assert str(shares(text)) == text


def test_groups_are_found_by_way_of_others() -> None:
    flat = bytes([100]) * THUMBNAIL**2
    records = [
        PhotoRecord(str(i), "train", 0, pixels=str(i), thumbnail=bytes([100 + step]) * THUMBNAIL**2)
        for i, step in enumerate((0, 2, 4, 50, 52, 90))
    ]
    records += [
        PhotoRecord("x", "train", 0, problem="empty file"),
        PhotoRecord("y", "train", 0, pixels="0", thumbnail=flat),
    ]
    groups = alike_groups(records)
    assert len({groups[i] for i in (0, 1, 2, 7)}) == 1
    assert groups[3] == groups[4]
    assert len(set(groups)) == 4


@pytest.mark.parametrize("command", ["fit", "check"])
def test_without_a_split_the_command_that_divides_is_printed(
    pets: Path, tmp_path: Path, run: Run, command: str
) -> None:
    options = ["--out", tmp_path / "build"] if command == "fit" else []
    status, output, errors = run(command, "--data", pets, *options)
    assert status == 2
    assert f"`./kennel fit --data {pets} --split 0.8,0.1,0.1` divides them" in output + errors


def test_check_divides_as_fit_does(pets: Path, run: Run) -> None:
    status, output, _ = run("check", "--data", pets, "--split", "0.8,0.1,0.1")
    assert (status, "nothing to object to" in output) == (0, True)
