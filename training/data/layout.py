"""Which files lie where: ``train``, ``valid`` and ``test``, each with a folder for every class."""

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from training.common.errors import TrainingError
from training.data.findings import ERROR, Finding
from training.data.labels import label

SPLITS = ("train", "valid", "test")
EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp"}
"""What the endpoint takes."""

OTHER_NAMES = {"train": ("training",), "valid": ("val", "validation"), "test": ("testing",)}
"""What splits are called elsewhere."""

LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}
"""What file managers leave behind."""


@dataclass(frozen=True)
class Photo:
    """A file and the index of its class."""

    path: Path
    target: int


@dataclass(frozen=True)
class Photos:
    """The three splits, and the classes in the order of the model's output.

    Parameters
    ----------
    folders
        Of each split.
    ignored
        Files in those folders that are no photos of a class, and folders of classes that hold nothing.
    """

    classes: tuple[str, ...]
    splits: dict[str, list[Photo]]
    folders: dict[str, Path]
    ignored: tuple[Path, ...] = ()

    def name(self, split: str, path: Path) -> str:
        """Return a photo's name within the data set, the same wherever that lies: ``train/class/file.jpg``.

        What cannot be printed in a line is escaped: file systems take names with line breaks, or in another encoding.
        """
        name = f"{split}/{path.relative_to(self.folders[split]).as_posix()}"
        return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in name)


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
    photos, findings = explore(folders)
    if findings:
        raise TrainingError(findings[0].text)
    return photos


def explore(folders: dict[str, Path]) -> tuple[Photos, list[Finding]]:
    """List the photos of each split, and what is wrong with the folders; every finding is an error."""
    found: dict[str, dict[str, list[Path]]] = {}
    ignored: list[Path] = []
    for split, folder in folders.items():
        found[split] = {}
        for each in sorted(folder.iterdir()) if folder.is_dir() else ():
            if each.is_dir() and not each.name.startswith("."):
                files = _files(each)
                # A link that leads nowhere is a photo too: one that is missing, which reading it will tell.
                photos = [path for path in files if is_photo(path) and (path.is_file() or not path.exists())]
                if photos:
                    found[split][each.name] = photos
                chosen = set(photos)
                ignored += [path for path in files if path not in chosen] if files else [each]
            elif not each.is_dir() and each.name not in LITTER:
                ignored.append(each)
    names = sorted(set().union(*found.values()))
    return (
        Photos(
            tuple(names),
            {
                split: [Photo(path, target) for target, name in enumerate(names) for path in by_class.get(name, [])]
                for split, by_class in found.items()
            },
            folders,
            tuple(ignored),
        ),
        _faults(folders, found, names),
    )


def _faults(folders: dict[str, Path], found: dict[str, dict[str, list[Path]]], names: list[str]) -> list[Finding]:
    faults = []
    for split, folder in folders.items():
        if not folder.is_dir():
            other = next((each for each in OTHER_NAMES.get(split, ()) if (folder.parent / each).is_dir()), None)
            text = f"{folder} is missing: photos lie in DIR/{{train,valid,test}}/CLASS/"
            text += f"; rename {folder.parent / other}" if other else ""
            faults.append(Finding(ERROR, "missing split", text))
        elif not found[split]:
            text = f"{folder} holds no photos: JPEG, PNG and WebP files in a folder for each class count"
            faults.append(Finding(ERROR, "empty split", text))
        elif missing := [name for name in names if name not in found[split]]:
            text = (
                f"{folder} has no photos of {_some(missing)}, which another split has: "
                "every class needs photos in train, valid and test"
            )
            faults.append(Finding(ERROR, "missing class", text))
    if len(names) == 1:
        text = f"{next(iter(folders.values()))} has one class, {names[0]}: there is nothing to tell apart"
        faults.append(Finding(ERROR, "one class", text))
    for name in names:
        if any(unicodedata.category(each) in ("Cc", "Cs") for each in name):  # control characters; bytes not in UTF-8
            text = f"a class is called {name!r}, which not everything can print; rename its folders"
            faults.append(Finding(ERROR, "unprintable class", text))
    by_label: dict[str, list[str]] = {}
    for name in names:
        by_label.setdefault(label(name), []).append(name)
    for shown, same in by_label.items():
        if len(same) > 1:
            text = f"several classes have the label {shown!r}; rename a folder such as {same[0]}"
            faults.append(Finding(ERROR, "same label", text))
    return faults


def _files(folder: Path) -> list[Path]:
    """Return what lies in a folder and in those below it that are not hidden; links to folders are not followed."""
    found = []
    with os.scandir(folder) as entries:
        for each in entries:
            if each.is_dir(follow_symlinks=False):
                found += [] if each.name.startswith(".") else _files(Path(each))
            elif each.name not in LITTER:
                found.append(Path(each))
    return sorted(found)


def is_photo(path: Path) -> bool:
    """Return whether a file is one by its name; a hidden one is none."""
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
