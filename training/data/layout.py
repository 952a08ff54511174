"""Which files lie where: ``train``, ``valid`` and ``test``, each with a folder for every class."""

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from training.common.errors import TrainingError
from training.data.findings import ERROR, Finding
from training.data.hints import CLASS_FOLDERS, Folder, empty_split_hint, is_archive, missing_split_hint, root_hint
from training.data.labels import appearance, canonical, visible
from training.data.names import EXTENSIONS, SPLITS, hidden, litter, named_as_photo
from training.serving.photo_file import SIGNATURES

__all__ = ["EXTENSIONS", "SPLITS", "Photo", "Photos", "class_without_photos", "explore", "find", "is_photo"]

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

        Parameters
        ----------
        path
            Of the photo, below the folder of ``split``.
        """
        name = f"{split}/{path.relative_to(self.folders[split]).as_posix()}"
        return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in name)


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
    """List the photos of each split, and what is wrong with the folders; every finding is an error.

    Parameters
    ----------
    folders
        For each split the folder that holds its classes, as in ``find``.
    """
    contents = {split: _SplitFolder(folder) for split, folder in folders.items()}
    classes = sorted({name for content in contents.values() for name in content.photos})
    photos = Photos(
        tuple(classes),
        {
            split: [Photo(path, target) for target, name in enumerate(classes) for path in content.photos.get(name, ())]
            for split, content in contents.items()
        },
        folders,
        tuple(path for content in contents.values() for path in content.ignored),
    )
    findings = [finding for content in contents.values() for finding in content.findings]
    return photos, findings + _findings_across(contents, classes)


class _SplitFolder:
    """What lies in the folder of one split.

    Attributes
    ----------
    photos
        Files by the canonical name of their class.
    ignored, findings
        See ``Photos`` and ``explore``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.photos: dict[str, list[Path]] = {}
        self.ignored: list[Path] = []
        self.findings: list[Finding] = []
        self._spellings: dict[str, str] = {}
        for entry in sorted(path.iterdir()) if path.is_dir() else ():
            if entry.is_dir() and not hidden(entry.name):
                self._add_class(entry)
            elif not entry.is_dir() and not litter(entry.name):
                self.ignored.append(entry)

    def _add_class(self, folder: Path) -> None:
        files, circles = _files(folder, frozenset({_identity(self.path)}))
        photos = [path for path in files if is_photo(path)]
        if photos:
            self._add_photos(folder.name, photos)
        elif shown := [path.name for path in files if not hidden(path.name)]:
            self.findings.append(class_without_photos(str(folder), shown))
        self.findings += map(_circle, circles)
        self.ignored += sorted(set(files) - set(photos)) if files else [folder]

    def _add_photos(self, spelling: str, photos: list[Path]) -> None:
        name = canonical(spelling)
        if name in self._spellings:
            self.findings.append(_same(self.path, self._spellings[name], spelling))
        self._spellings[name] = spelling
        self.photos.setdefault(name, []).extend(photos)


def class_without_photos(folder: str, files: Sequence[str]) -> Finding:
    """Return what is wrong with a class's folder whose ``files`` are no photos: the class would be left out unseen.

    Parameters
    ----------
    folder
        A path or an address in S3, as the user knows it.
    files
        Names of the files in it.
    """
    endings = sorted({PurePath(name).suffix.lower() or "no ending" for name in files})
    count = f"{len(files)} file{'s' if len(files) > 1 else ''}"
    remedy = "unpack the archive" if any(map(is_archive, files)) else "convert them, or move the folder away"
    text = f"{folder} has {count} ({', '.join(endings[:5])}) and no JPEG, PNG or WebP photo; {remedy}"
    return Finding(ERROR, "class without photos", text)


def _same(folder: Path, one: str, other: str) -> Finding:
    text = (
        f"{folder} has {visible(one)} and {visible(other)}, which are the same class; move the photos into one folder"
    )
    return Finding(ERROR, "same class twice", text)


def _circle(link: Path) -> Finding:
    return Finding(ERROR, "circular link", f"{link} links to a folder that contains it; remove the link")


def _findings_across(splits: Mapping[str, _SplitFolder], classes: Sequence[str]) -> list[Finding]:
    """Return what is wrong with the splits and classes taken together.

    Parameters
    ----------
    classes
        Canonical names, those of all splits.
    """
    first = next(iter(splits.values())).path
    if not any(content.path.is_dir() for content in splits.values()) and (hint := root_hint(Folder(first.parent))):
        return [Finding(ERROR, "missing split", f"{first.parent} has no folder {_either(splits)}; {hint}")]
    return [
        *_unusable_splits(splits, classes),
        *_only_class(first, classes),
        *_unprintable_classes(classes),
        *_same_labels(classes),
    ]


def _unusable_splits(splits: Mapping[str, _SplitFolder], classes: Sequence[str]) -> Iterator[Finding]:
    for split, content in splits.items():
        if not content.path.is_dir():
            yield _missing_split(split, content.path, is_only=len(splits) == 1)
        elif not content.photos:
            yield _empty_split(content.path)
        elif missing := [name for name in classes if name not in content.photos]:
            yield _missing_class(content, missing, splits)


def _missing_split(split: str, folder: Path, *, is_only: bool) -> Finding:
    text = f"{folder} is missing; photos belong in DIR/{{train,valid,test}}/CLASS/"
    hint = missing_split_hint(Folder(folder.parent), split)
    if split == "test" and not is_only and not hint:
        hint = "add --no-test to train without a test split"
    return Finding(ERROR, "missing split", f"{text}; {hint}" if hint else text)


def _empty_split(folder: Path) -> Finding:
    hint = empty_split_hint(Folder(folder)) or CLASS_FOLDERS
    return Finding(ERROR, "empty split", f"{folder} has no photos in class folders; {hint}")


def _missing_class(content: _SplitFolder, missing: Sequence[str], splits: Iterable[str]) -> Finding:
    by_appearance = {appearance(name): name for name in content.photos}
    if twin := next((name for name in missing if appearance(name) in by_appearance), None):
        text = (
            f"{content.path} has {visible(by_appearance[appearance(twin)])} where another split has {visible(twin)}: "
            "the names only look the same; rename a folder"
        )
    else:
        text = (
            f"{content.path} has no photos of {_some([visible(name) for name in missing])}, unlike another split; "
            f"every class needs photos in {_and(splits)}"
        )
    return Finding(ERROR, "missing class", text)


def _only_class(split: Path, classes: Sequence[str]) -> Iterator[Finding]:
    if len(classes) != 1:
        return
    text = f"{split} has only the class {classes[0]}; a classifier needs at least two"
    inside = Folder(split / classes[0]).inside()[0]
    if len(inside) > 1:
        text += f"; if its folders ({_some(inside)}) are the classes, move them up by one folder in every split"
    yield Finding(ERROR, "one class", text)


def _unprintable_classes(classes: Sequence[str]) -> Iterator[Finding]:
    for name in classes:
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):  # control characters; bytes not UTF-8
            text = f"the class name {name!r} has characters that cannot be printed; rename its folders"
            yield Finding(ERROR, "unprintable class", text)


def _same_labels(classes: Sequence[str]) -> Iterator[Finding]:
    by_label: dict[str, list[str]] = {}
    for name in classes:
        by_label.setdefault(appearance(name), []).append(name)
    for shown, names in by_label.items():
        if len(names) > 1:
            text = f"several classes have the label {shown!r}; rename a folder such as {visible(names[0])}"
            yield Finding(ERROR, "same label", text)


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
        for entry in entries:
            if Path(entry).is_dir() if entry.is_symlink() else entry.is_dir():  # a link may lead to itself
                if not hidden(entry.name):
                    inside = _files(Path(entry), above | {here})
                    files += inside[0]
                    circles += inside[1]
            elif not litter(entry.name):
                files.append(Path(entry))
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
