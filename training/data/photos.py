"""Labelled photos on disk: ``train``, ``valid`` and ``test``, each with a folder for every class."""

import hashlib
import os
import random
import re
import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import Dataset

from training.console import track
from training.data.pixels import InputRule, augment, fit, read_photo, to_tensor
from training.errors import TrainingError

SPLITS = ("train", "valid", "test")
EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp"}
"""What the endpoint takes."""


@dataclass(frozen=True)
class Photo:
    """A file and the index of its class."""

    path: Path
    target: int


@dataclass(frozen=True)
class Photos:
    """The three splits, and the classes in the order of the model's output."""

    classes: tuple[str, ...]
    splits: dict[str, list[Photo]]


@dataclass(frozen=True)
class Survey:
    """What reading every photo once told.

    Parameters
    ----------
    fingerprint
        SHA-256 over the name and the bytes of every photo.
    side
        Median of the training photos' shorter sides, in pixels.
    """

    fingerprint: str
    side: int


def label(name: str) -> str:
    """Return a folder's name as people write it.

    >>> label("020.Belgian_malinois")
    'Belgian malinois'
    """
    return re.sub(r"^\d+\.(?=.)", "", name).replace("_", " ")


def find(folders: dict[str, Path]) -> Photos:
    """List the photos of each split, in an order that depends on their names alone.

    Parameters
    ----------
    folders
        For each of ``SPLITS`` the folder that holds its classes.

    Raises
    ------
    TrainingError
        A folder is missing or empty, or a class is not in all three splits.
    """
    found: dict[str, dict[str, list[Path]]] = {}
    for split, folder in folders.items():
        if not folder.is_dir():
            raise TrainingError(f"{folder} is missing: photos lie in DIR/{{train,valid,test}}/CLASS/")
        classes = sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
        found[split] = {each.name: files for each in classes if (files := _files(each))}
        if not found[split]:
            raise TrainingError(f"{folder} holds no photos: JPEG, PNG and WebP files in a folder for each class count")
    names = sorted(set().union(*found.values()))
    for split, by_class in found.items():
        missing = [name for name in names if name not in by_class]
        if missing:
            raise TrainingError(
                f"{folders[split]} has no photos of {_some(missing)}, which another split has: "
                "every class needs photos in train, valid and test"
            )
    if len(names) < 2:
        raise TrainingError(f"{folders['train']} has one class, {names[0]}: there is nothing to tell apart")
    labels = [label(name) for name in names]
    for name in names:
        if labels.count(label(name)) > 1:
            raise TrainingError(f"several classes have the label {label(name)!r}; rename a folder such as {name}")
    return Photos(
        tuple(names),
        {
            split: [Photo(path, target) for target, name in enumerate(names) for path in by_class[name]]
            for split, by_class in found.items()
        },
    )


def survey(photos: Photos) -> Survey:
    """Read every photo once, so that a bad one is found now and not after an hour.

    Raises
    ------
    TrainingError
        A photo cannot be read; the message names it.
    """
    every = [(split, photo) for split in SPLITS for photo in photos.splits[split]]

    def look(each: tuple[str, Photo]) -> tuple[str, int]:
        split, photo = each
        side = min(read_photo(photo.path).size)
        digest = hashlib.sha256(photo.path.read_bytes()).hexdigest()
        return f"{split}/{photos.classes[photo.target]}/{photo.path.name} {digest}", side

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside the interpreter's lock
        try:
            seen = list(track(pool.map(look, every), "Reading the photos", len(every)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    lines, sides = zip(*seen, strict=True)
    return Survey(
        fingerprint=hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest(),
        side=int(statistics.median_low(sides[: len(photos.splits["train"])])),
    )


class PixelDataset(Dataset[tuple[torch.Tensor, int]]):
    """Photos as the model sees them: (uint8 pixels of shape [height, width, 3], class).

    Parameters
    ----------
    policy
        Augmentation, see ``pixels.augment``. Item ``epoch * len(photos) + i`` is photo ``i`` as varied for that epoch:
        the pixels depend on the seed and the item alone, not on the worker that makes them.
    """

    def __init__(self, photos: list[Photo], rule: InputRule, policy: str = "none", seed: int = 0) -> None:
        self.photos, self.rule, self.policy, self.seed = photos, rule, policy, seed

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, item: int) -> tuple[torch.Tensor, int]:
        photo = self.photos[item % len(self.photos)]
        image = read_photo(photo.path)
        if self.policy == "none":
            image = fit(image, self.rule)
        else:
            image = augment(image, self.rule, self.policy, random.Random(f"{self.seed} {item}"))  # noqa: S311
        return to_tensor(image), photo.target


def _files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
