"""Which files lie where: ``train``, ``valid`` and ``test``, each with a folder for every class."""

import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from training.common.errors import TrainingError
from training.data.findings import ERROR, Finding
from training.data.hints import Folder, is_archive, of_empty_split, of_missing_split, of_root
from training.data.labels import appearance, canonical, visible
from training.data.names import EXTENSIONS, SPLITS, hidden, litter, named_as_photo
from training.serving.photo_file import SIGNATURES

__all__ = ["EXTENSIONS", "SPLITS", "Photo", "Photos", "barren", "explore", "find", "is_photo"]

SIGNATURE_BYTES = 16
"""Enough of a file for serving's signatures."""


@dataclass(frozen=True)
class Photo:
    """A file and the index of its class."""

    path: Path
    target: int


@dataclass(frozen=True)
class Photos:
    """The splits, and the classes in the order of the model's output.

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
        For each split the folder that holds its classes: ``train``, ``valid`` and, if it is to be measured, ``test``.

    Raises
    ------
    TrainingError
        A folder is missing or empty, a class is not in all three splits or has files and no photo, or a link leads in
        a circle.
    """
    photos, findings = explore(folders)
    if findings:
        raise TrainingError(findings[0].text)
    return photos


def explore(folders: dict[str, Path]) -> tuple[Photos, list[Finding]]:
    """List the photos of each split, and what is wrong with the folders; every finding is an error."""
    found: dict[str, dict[str, list[Path]]] = {}
    ignored: list[Path] = []
    faults: list[Finding] = []
    for split, folder in folders.items():
        found[split] = {}
        written: dict[str, str] = {}
        for each in sorted(folder.iterdir()) if folder.is_dir() else ():
            if each.is_dir() and not hidden(each.name):
                files, circles = _files(each, frozenset({_identity(folder)}))
                photos = [path for path in files if is_photo(path)]
                if photos:
                    name = canonical(each.name)
                    if name in written:
                        faults.append(_same(folder, written[name], each.name))
                    written[name] = each.name
                    found[split].setdefault(name, []).extend(photos)
                elif shown := [path for path in files if not hidden(path.name)]:
                    faults.append(barren(str(each), [path.name for path in shown]))
                faults += [_circle(path) for path in circles]
                chosen = set(photos)
                ignored += [path for path in files if path not in chosen] if files else [each]
            elif not each.is_dir() and not litter(each.name):
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
        faults + _faults(folders, found, names),
    )


def barren(folder: str, files: Sequence[str]) -> Finding:
    """Return what is wrong with a class's folder whose ``files`` are no photos: the class would be left out unseen."""
    endings = sorted({PurePath(name).suffix.lower() or "no ending" for name in files})
    count = f"{len(files)} file{'s' if len(files) > 1 else ''}"
    remedy = "unpack it" if any(map(is_archive, files)) else "convert them, or move the folder away"
    text = f"{folder} has {count} ({', '.join(endings[:5])}) and no photo: JPEG, PNG and WebP files count; {remedy}"
    return Finding(ERROR, "class without photos", text)


def _same(folder: Path, one: str, other: str) -> Finding:
    text = (
        f"{folder} has {visible(one)} and {visible(other)}, which are the same class; move the photos into one folder"
    )
    return Finding(ERROR, "same class twice", text)


def _circle(link: Path) -> Finding:
    return Finding(ERROR, "circular link", f"{link} leads to a folder that holds it; remove the link")


def _faults(folders: dict[str, Path], found: dict[str, dict[str, list[Path]]], names: list[str]) -> list[Finding]:
    if not any(folder.is_dir() for folder in folders.values()):
        root = next(iter(folders.values())).parent
        if hint := of_root(Folder(root)):
            text = f"{root} has no {_either(folders)} in it: {hint}"
            return [Finding(ERROR, "missing split", text)]
    faults = []
    for split, folder in folders.items():
        if not folder.is_dir():
            text = f"{folder} is missing: photos lie in DIR/{{train,valid,test}}/CLASS/"
            hint = of_missing_split(Folder(folder.parent), split)
            if split == "test" and len(folders) > 1 and not hint:
                hint = "add --no-test to train without measuring the model"
            faults.append(Finding(ERROR, "missing split", f"{text}; {hint}" if hint else text))
        elif not found[split]:
            text = f"{folder} holds no photos: JPEG, PNG and WebP files in a folder for each class count"
            hint = of_empty_split(Folder(folder))
            faults.append(Finding(ERROR, "empty split", f"{text}; {hint}" if hint else text))
        elif missing := [name for name in names if name not in found[split]]:
            like = {appearance(name): name for name in found[split]}
            if twin := next((name for name in missing if appearance(name) in like), None):
                text = (
                    f"{folder} has {visible(like[appearance(twin)])} where another split has {visible(twin)}: "
                    "the names only look the same; rename a folder"
                )
            else:
                text = (
                    f"{folder} has no photos of {_some([visible(name) for name in missing])}, which another split has: "
                    f"every class needs photos in {_and(folders)}"
                )
            faults.append(Finding(ERROR, "missing class", text))
    if len(names) == 1:
        text = f"{next(iter(folders.values()))} has one class, {names[0]}: there is nothing to tell apart"
        inside = Folder(next(iter(folders.values())) / names[0]).inside()[0]
        if len(inside) > 1:
            text += f"; if its folders ({_some(inside)}) are the classes, move them up by one folder in every split"
        faults.append(Finding(ERROR, "one class", text))
    for name in names:
        if any(unicodedata.category(each) in ("Cc", "Cs") for each in name):  # control characters; bytes not in UTF-8
            text = f"a class is called {name!r}, which not everything can print; rename its folders"
            faults.append(Finding(ERROR, "unprintable class", text))
    by_label: dict[str, list[str]] = {}
    for name in names:
        by_label.setdefault(appearance(name), []).append(name)
    for shown, same in by_label.items():
        if len(same) > 1:
            text = f"several classes have the label {shown!r}; rename a folder such as {visible(same[0])}"
            faults.append(Finding(ERROR, "same label", text))
    return faults


def _files(folder: Path, above: frozenset[tuple[int, int]]) -> tuple[list[Path], list[Path]]:
    """Return what lies in a folder and in those below it, and the links to folders that lead in a circle.

    Parameters
    ----------
    above
        Folders that hold this one, see ``_identity``.
    """
    here = _identity(folder)
    if here in above:
        return [], [folder]
    files, circles = list[Path](), list[Path]()
    with os.scandir(folder) as entries:
        for each in entries:
            if Path(each).is_dir() if each.is_symlink() else each.is_dir():  # a link may lead to itself
                if not hidden(each.name):
                    inside = _files(Path(each), above | {here})
                    files += inside[0]
                    circles += inside[1]
            elif not litter(each.name):
                files.append(Path(each))
    return sorted(files), sorted(circles)


def _identity(folder: Path) -> tuple[int, int]:
    """Return what is the same for a folder however it is reached."""
    about = folder.stat()
    return about.st_dev, about.st_ino


def is_photo(path: Path) -> bool:
    """Return whether a file is a photo: by its ending, or by its first bytes as serving does; a hidden one is none.

    A link that leads nowhere is a photo by its ending: one that is missing, which reading it will tell.
    """
    if hidden(path.name):
        return False
    if not path.is_file():
        return named_as_photo(path.name) and not path.exists()
    return named_as_photo(path.name) or _begins_as_photo(path)


def _begins_as_photo(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            first = file.read(SIGNATURE_BYTES)
    except OSError:  # it cannot be told what it is
        return False
    return any(signature.match(first) for signature in SIGNATURES.values())


def _either(names: Iterable[str]) -> str:
    *rest, last = names
    return f"{', '.join(rest)} or {last}" if rest else last


def _and(names: Iterable[str]) -> str:
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
