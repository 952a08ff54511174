"""Class folders without splits, divided into train, valid and test.

A photo's content and the seed decide its split, whatever it is called and whichever photos there are besides. So adding
photos moves no other, with two exceptions: photos that look alike share the split of one of them, or the test split
would measure memory; and a class that is so small that a share gives it no photo lends one, which returns to train once
the class has its own.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from training.common.console import say
from training.common.errors import TrainingError
from training.common.files import UNUSED, alone, cache_folder, workspace
from training.data.duplicates import alike_groups
from training.data.hints import split_called
from training.data.labels import visible
from training.data.layout import Photos, explore
from training.data.shares import Division, Shares
from training.data.survey import PhotoRecord, scan


def divide(root: Path, division: Division) -> dict[str, Path]:
    """Return the folder of each split, with links to the photos of a folder that has one for every class.

    They lie in the cache, and are made anew when a photo comes, goes or changes.

    Parameters
    ----------
    root
        Holds a folder for every class, and no splits.

    Raises
    ------
    TrainingError
        The folder is divided already, is none of classes, or a class has too few photos.
    """
    photos = _undivided(root)
    files = [photo.path for photo in photos.splits["train"]]
    cache = cache_folder() / "splits"
    folder = cache / _key(root, files, division)
    with alone(cache):
        if not folder.is_dir():
            records = scan(photos)
            _link(folder, root, files, _splits(photos, records, division))
            _forget_unused(cache)
        os.utime(folder)
    folders = {split: folder / split for split in division.shares.splits}
    counts = ", ".join(f"{_count_files(path)} {split}" for split, path in folders.items())
    say("Split", f"{division.shares} with seed {division.seed}: {counts}; in {folder}")
    return folders


def _undivided(root: Path) -> Photos:
    """Return the photos of a folder of classes, all in ``train``."""
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and split_called(folder.name):
            raise TrainingError(f"{root} already has the split {folder.name}; leave out --split")
    photos, faults = explore({"train": root})
    if faults:
        raise TrainingError(faults[0].text)
    return photos


def _count_files(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))


def _splits(photos: Photos, records: Sequence[PhotoRecord], division: Division) -> list[str]:
    """Return the split of each photo."""
    groups = alike_groups(records)
    places = {group: _place(leader, division.seed) for group, leader in _leaders(records, groups).items()}
    assigned = {group: _split_at(place, division.shares) for group, place in places.items()}
    splits = division.shares.splits
    for target, name in enumerate(photos.classes):
        own = {group for record, group in zip(records, groups, strict=True) if record.target == target}
        if len(own) < len(splits):
            raise TrainingError(
                f"class {visible(name)} has {len(own)} distinct photo{'s' if len(own) > 1 else ''}, too few for "
                f"{len(splits)} splits; add photos, or move the class away"
            )
        for split in splits:
            _lend(split, own, places, assigned)
    return [assigned[group] for group in groups]


def _leaders(records: Sequence[PhotoRecord], groups: Sequence[int]) -> dict[int, str]:
    """Return for each group the smallest hash of its photos, which decides its split.

    So large groups go to each split as often as small ones.
    """
    leaders: dict[int, str] = {}
    for record, group in zip(records, groups, strict=True):
        leaders[group] = min(leaders.get(group, "~"), record.sha256 or f"unread {record.name}")
    return leaders


def _lend(split: str, own: set[int], places: dict[int, float], assigned: dict[int, str]) -> None:
    """Give a class's photo to a split that has none of it: the one nearest to it, from the split that has the most."""
    by_split: dict[str, list[int]] = {}
    for group in sorted(own, key=places.__getitem__):
        by_split.setdefault(assigned[group], []).append(group)
    if split not in by_split:
        most = max(by_split.values(), key=len)
        assigned[most[-1] if split == "train" else most[0]] = split


def _place(leader: str, seed: int) -> float:
    """Return a number from 0 to 1 that follows from a photo's content and the seed."""
    return int.from_bytes(hashlib.sha256(f"{seed} {leader}".encode()).digest()[:8]) / 2**64


def _split_at(place: float, shares: Shares) -> str:
    if place < shares.test:
        return "test"
    return "valid" if place < shares.test + shares.valid else "train"


def _key(root: Path, files: Sequence[Path], division: Division) -> str:
    """Return a digest that changes with the photos and with the requested division."""
    about = [(path.relative_to(root).as_posix(), *_state(path)) for path in files]
    text = json.dumps([1, str(root.absolute()), about, division.shares, division.seed])
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:20]


def _state(path: Path) -> tuple[int, int]:
    with suppress(OSError):  # a link that leads nowhere, which reading will tell
        about = path.stat()
        return about.st_size, about.st_mtime_ns
    return 0, 0


def _link(folder: Path, root: Path, files: Sequence[Path], splits: Sequence[str]) -> None:
    with workspace(folder) as made:
        for path, split in zip(files, splits, strict=True):
            link = made / split / path.relative_to(root)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.absolute())
        made.rename(folder)


def _forget_unused(cache: Path) -> None:
    for folder in cache.iterdir():
        if folder.is_dir() and folder.stat().st_mtime < time.time() - UNUSED:
            shutil.rmtree(folder, ignore_errors=True)
