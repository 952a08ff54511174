"""The classes of a model that was trained elsewhere, in the order of its output."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.common.errors import TrainingError
from training.data.labels import appearance, canonical, label, visible
from training.data.layout import explore
from training.data.names import hidden


@dataclass(frozen=True)
class ClassNames:
    """The names of a model's classes, in the order of its output.

    Parameters
    ----------
    taken
        How they were understood, where they could have been understood in another way.
    by_key
        The names by the keys of a map, which may be what the classes' folders are called.
    from_one
        Whether the classes were counted from 1.
    """

    names: list[str]
    taken: str = ""
    by_key: Mapping[str, str] | None = None
    from_one: bool = False


def read_classes(path: Path) -> ClassNames:
    """Read the names of classes.

    Parameters
    ----------
    path
        A text file with a name on each line; a JSON file with a list of names, a manifest, or a map (see
        ``names_of_map``); or a folder with one for each class, which are taken in the order of their names, as
        ImageFolder does; if there is a ``train`` in it, the folders of that.
        Folders without photos do not count, as for ``fit`` and ``check``, unless no folder has any.

    Raises
    ------
    TrainingError
        It is none of that, or names a class twice.
    """
    try:
        found = ClassNames(_folders(path)) if path.is_dir() else _file(path)
    except OSError as error:
        raise TrainingError(f"--classes {path} cannot be read: {error.strerror}") from error
    except UnreadableMapError as error:
        raise TrainingError(f"--classes {path}: {error}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise TrainingError(
            f"--classes {path} is neither a name on each line nor JSON with names: a list, a map from index to name, "
            f"from name to index, or from folder to name ({error})"
        ) from error
    if len(found.names) < 2:
        raise TrainingError(f"--classes {path} names {len(found.names)} classes; there must be at least 2")
    check_labels(found.names, f"--classes {path}")
    return found


class UnreadableMapError(ValueError):
    """A map's numbers leave open which class is which."""


def names_of_map(content: Mapping[Any, Any]) -> ClassNames:
    """Read a map as people have it: index to name, name to index (ImageFolder's ``class_to_idx``), folder to name.

    Both kinds of index may count from 0 or from 1. Numbers as keys are indices if they are 0 to n-1, or 1 to n for up
    to nine classes. Any other keys are names of folders, in the order in which ImageFolder sorts them, which is that of
    texts: 1, 10, 100, 2. So is the ``cat_to_name.json`` of the flowers that many courses use, with keys from 1 to 102:
    https://github.com/udacity/pytorch_challenge. Up to nine classes, both readings are the same.

    Parameters
    ----------
    content
        Keys and values that are texts or numbers.

    Raises
    ------
    UnreadableMapError
        The numbers have a gap, or several classes have the same.
    """
    content = {_text(key): value for key, value in content.items()}
    if all(_is_index(value) for value in content.values()) and not _to_names(content):
        return _by_index(_numbered(content), "numbers")
    if not all(isinstance(value, str) for value in content.values()):
        raise ValueError("neither its keys nor its values are all names")
    names = {canonical(key): str(name) for key, name in content.items()}
    if _are_outputs(names):
        return replace(_by_index({int(key): name for key, name in names.items()}, "keys"), by_key=names)
    folders = sorted(names)
    order = ", ".join(folders[:3])
    return ClassNames(
        [names[folder] for folder in folders],
        f"its keys are read as folder names, in ImageFolder's order: {order} ...",
        names,
    )


def names_by_folder(found: ClassNames, folders: Sequence[str], source: str, theirs: str) -> list[str] | None:
    """Return the names that a map gives to folders, in the order of these; None if its keys are other things.

    Parameters
    ----------
    source, theirs
        What errors call the map, and what has the folders.

    Raises
    ------
    TrainingError
        The map has some of the folders and not the others, or more.
    """
    by_key = found.by_key or {}
    keys = [canonical(folder) for folder in folders]
    if not by_key.keys() & set(keys):
        return None
    if lacking := [folder for folder, key in zip(folders, keys, strict=True) if key not in by_key]:
        raise TrainingError(
            f"{source} has no name for {visible(lacking[0])}, a class of {theirs} ({len(lacking)} such classes); add it"
        )
    if others := sorted(by_key.keys() - set(keys)):
        raise TrainingError(
            f"{source} has a name for {visible(others[0])}, which is not a class of {theirs} ({len(others)} such "
            "classes); remove it"
        )
    return [by_key[key] for key in keys]


def _numbered(content: Mapping[str, Any]) -> dict[int, str]:
    indices = {int(value): name for name, value in content.items()}
    if len(indices) < len(content):
        raise UnreadableMapError("several names have the same number; number the classes from 0")
    return indices


def _are_outputs(keys: Collection[str]) -> bool:
    """Return whether keys number the model's outputs: from 0, or from 1 where both readings are the same."""
    if not all(key.isdecimal() for key in keys):
        return False
    numbers = {int(key) for key in keys}
    return len(numbers) == len(keys) and (0 in numbers or (len(numbers) < 10 and max(numbers) == len(numbers)))


def _by_index(indices: dict[int, str], what: str) -> ClassNames:
    first, count = min(indices, default=0), len(indices)
    if first not in (0, 1) or max(indices, default=-1) != first + count - 1:
        lacks = next(index for index in range(count + 2) if index not in indices and (index or first > 1))
        raise UnreadableMapError(
            f"its {what} go up to {max(indices)}, but {lacks} is missing; number the {count} classes from 0 to "
            f"{count - 1}"
        )
    names = [indices[index] for index in range(first, first + count)]
    taken = f"its {what} count from 1: 1 is the model's first output, {names[0]}" if first else ""
    return ClassNames(names, taken, from_one=bool(first))


def _text(key: Any) -> str:
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise ValueError(f"{key!r} is neither a name nor a number")
    return str(key)


def _is_index(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and value.isdecimal())


def _to_names(content: Mapping[str, Any]) -> bool:
    """Return whether numbers lead to names that are numbers too, such as years."""
    return all(isinstance(value, str) for value in content.values()) and all(key.isdecimal() for key in content)


def check_labels(names: list[str], source: str) -> None:
    """Raise a TrainingError unless every class has a label of its own.

    Parameters
    ----------
    names
        As folders have them, in the order of the model's output.
    source
        What errors call their origin.
    """
    labels = [appearance(name) for name in names]
    for name, seen in zip(names, labels, strict=True):
        if not label(name).strip():
            raise TrainingError(f"{source} has a class without a name; name it")
        if labels.count(seen) > 1:
            raise TrainingError(f"{source} has several classes with the label {seen!r}; rename one")


def _folders(path: Path) -> list[str]:
    folder = path / "train" if (path / "train").is_dir() else path
    photos, faults = explore({"train": folder})
    if photos.classes:
        barren = [fault for fault in faults if fault.kind == "class without photos"]
        if barren:
            raise TrainingError(barren[0].text)
        return list(photos.classes)
    return sorted(canonical(entry.name) for entry in folder.iterdir() if entry.is_dir() and not hidden(entry.name))


def _file(path: Path) -> ClassNames:
    text = path.read_text(encoding="utf-8-sig")
    if text.lstrip()[:1] not in ("[", "{"):
        return ClassNames([line.strip() for line in text.splitlines() if line.strip()])
    content: Any = json.loads(text)
    if isinstance(content, dict) and isinstance(content.get("classes"), list):
        content = [entry["name"] for entry in content["classes"]]
    if isinstance(content, dict):
        return names_of_map(content)
    if not all(isinstance(name, str) for name in content):
        raise ValueError("a name is not a string")
    return ClassNames(list(content))
