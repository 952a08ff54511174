"""What to do about photos that are not laid out as ``DIR/{train,valid,test}/CLASS/``: a hint for each usual layout."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from training.data.names import SPLITS, hidden, litter, named_as_photo

if TYPE_CHECKING:
    from training.common.s3 import Bucket

OTHER_NAMES = {
    "train": ("training", "train_set", "training_set"),
    "valid": ("val", "validation", "dev", "val_set", "validation_set"),
    "test": ("testing", "tests", "test_set"),
}
"""What splits are called elsewhere, in lower case."""

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip", ".7z", ".rar")


class Place(Protocol):
    """A folder, or a prefix in S3."""

    def __str__(self) -> str:
        """Return what the user calls it."""

    @property
    def name(self) -> str:
        """Its last part."""

    @property
    def parent(self) -> "Place":
        """What holds it."""

    def child(self, name: str) -> "Place":
        """Return one of its folders."""

    def inside(self) -> tuple[list[str], list[str]]:
        """Return the names of the folders and of the files in it, without hidden ones."""


@dataclass(frozen=True)
class Folder:
    """A place on disk."""

    path: Path

    def __str__(self) -> str:
        """Return its path."""
        return str(self.path)

    @property
    def name(self) -> str:
        """Its last part, also of ``.``."""
        return self.path.absolute().name

    @property
    def parent(self) -> "Folder":
        """What holds it."""
        return Folder(self.path.parent if self.path.name else self.path.absolute().parent)

    def child(self, name: str) -> "Folder":
        """Return one of its folders."""
        return Folder(self.path / name)

    def inside(self) -> tuple[list[str], list[str]]:
        """Return the names of the folders and of the files in it, without hidden ones."""
        folders, files = list[str](), list[str]()
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    if not hidden(entry.name) and not litter(entry.name):
                        (folders if Path(entry).is_dir() else files).append(entry.name)
        except OSError:  # what cannot be looked into gives no hint
            return [], []
        return sorted(folders), sorted(files)


@dataclass(frozen=True)
class Prefix:
    """A place in S3; ``key`` is empty or ends with a slash."""

    bucket: "Bucket"
    key: str

    def __str__(self) -> str:
        """Return its address."""
        return self.bucket.uri(self.key).rstrip("/")

    @property
    def name(self) -> str:
        """Its last part."""
        return PurePosixPath(self.key).name

    @property
    def parent(self) -> "Prefix":
        """What holds it."""
        above = PurePosixPath(self.key).parent.as_posix()
        return Prefix(self.bucket, "" if above == "." else f"{above}/")

    def child(self, name: str) -> "Prefix":
        """Return one of its folders."""
        return Prefix(self.bucket, f"{self.key}{name}/")

    def inside(self) -> tuple[list[str], list[str]]:
        """Return the names of the first thousand folders and files in it, without hidden ones."""
        listing = self.bucket.client.list_objects_v2(Bucket=self.bucket.name, Prefix=self.key, Delimiter="/")
        folders = [folder["Prefix"].removeprefix(self.key).rstrip("/") for folder in listing.get("CommonPrefixes", [])]
        files = [file["Key"].removeprefix(self.key) for file in listing.get("Contents", [])]
        visible = [
            [name for name in names if name and not hidden(name) and not litter(name)] for names in (folders, files)
        ]
        return visible[0], visible[1]


def split_called(name: str) -> str | None:
    """Return which split a folder is by its name, however that is written; None if it is none."""
    plain = name.casefold()
    return next((split for split in SPLITS if plain == split or plain in OTHER_NAMES[split]), None)


def missing_split_hint(root: Place, split: str) -> str:
    """Return what to do about one split that is missing where others are; empty if there is nothing to say."""
    folders, files = root.inside()
    if other := next((name for name in folders if name != split and split_called(name) == split), None):
        return f"rename {root.child(other)} to {split}"
    if packed := next((name for name in _archives(files) if split_called(name.partition(".")[0]) == split), None):
        return _unpack(root, packed)
    return ""


def empty_split_hint(place: Place) -> str:
    """Return what to do about a split without photos; empty if there is nothing to say."""
    folders, files = place.inside()
    return _packed(place, folders, files) or _loose_photos(place, folders, files)


def root_hint(root: Place) -> str:
    """Return what to do about a place that has none of the splits; empty if there is nothing to say."""
    folders, files = root.inside()
    if any(map(split_called, folders)):
        return "; ".join(filter(None, (missing_split_hint(root, split) for split in SPLITS)))
    layouts = (_one_folder_deeper, _packed, _single_split, _undivided_classes, _loose_photos)
    return next(filter(None, (hint(root, folders, files) for hint in layouts)), "")


def _one_folder_deeper(root: Place, folders: list[str], files: list[str]) -> str:
    for name in folders:
        if any(map(split_called, root.child(name).inside()[0])):
            return f"they lie one folder deeper; give --data {root.child(name)}"
    return ""


def _packed(place: Place, folders: list[str], files: list[str]) -> str:
    archives = _archives(files)
    return _unpack(place, archives[0]) if archives else ""


def _single_split(root: Place, folders: list[str], files: list[str]) -> str:
    split = split_called(root.name)
    return (
        f"it is itself the split {split}; give --data {root.parent}, which holds all splits"
        if folders and split
        else ""
    )


def _undivided_classes(root: Place, folders: list[str], files: list[str]) -> str:
    classes = [name for name in folders if _holds_photos(root.child(name))]
    if len(classes) < 2:
        return ""
    shown = ", ".join(classes[:3]) + (", ..." if len(classes) > 3 else "")
    return (
        f"it holds folders of classes ({shown}) that are not divided; "
        f"`./kennel fit --data {root} --split 0.8,0.1,0.1` divides them"
    )


def _loose_photos(place: Place, folders: list[str], files: list[str]) -> str:
    photos = [name for name in files if named_as_photo(name)]
    if folders or not photos:
        return ""
    return f"its {len(photos)} photos lie in no folder; put those of each class into a folder of its own"


def is_archive(name: str) -> bool:
    """Return whether a file is packed, by its name."""
    return name.casefold().endswith(ARCHIVES)


def _archives(files: list[str]) -> list[str]:
    return [name for name in files if is_archive(name)]


def _unpack(place: Place, name: str) -> str:
    return f"unpack {place}/{name} first, here as for SageMaker, which does not unpack what a channel holds"


def _holds_photos(place: Place) -> bool:
    folders, files = place.inside()
    return any(map(named_as_photo, files)) or any(
        named_as_photo(file) for folder in folders[:3] for file in place.child(folder).inside()[1]
    )
