"""The classes of a model that was trained elsewhere, in the order of its output."""

import json
from pathlib import Path
from typing import Any

from training.common.errors import TrainingError
from training.data.labels import appearance, canonical, label
from training.data.layout import explore
from training.data.names import hidden


def read_classes(path: Path) -> list[str]:
    """Read the names of classes.

    Parameters
    ----------
    path
        A text file with a name on each line; a JSON file with a list of names, an object from index to name or from
        name to index (ImageFolder's ``class_to_idx``), or a manifest; or a folder with one for each class, which are
        taken in the order of their names, as ImageFolder does; if there is a ``train`` in it, the folders of that.
        Folders without photos do not count, as for ``fit`` and ``check``, unless no folder has any.

    Raises
    ------
    TrainingError
        It is none of that, or names a class twice.
    """
    try:
        names = _folders(path) if path.is_dir() else _file(path)
    except OSError as error:
        raise TrainingError(f"--classes {path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise TrainingError(
            f"--classes {path} is neither a name on each line nor a JSON list of names ({error})"
        ) from error
    if len(names) < 2:
        raise TrainingError(f"--classes {path} names {len(names)} classes; there must be at least 2")
    check_labels(names, f"--classes {path}")
    return names


def check_labels(names: list[str], source: str) -> None:
    """Raise a TrainingError unless every class has a label of its own."""
    seen = [appearance(name) for name in names]
    for name, each in zip(names, seen, strict=True):
        if not label(name).strip():
            raise TrainingError(f"{source} has a class without a name")
        if seen.count(each) > 1:
            raise TrainingError(f"{source} has several classes with the label {each!r}")


def _folders(path: Path) -> list[str]:
    folder = path / "train" if (path / "train").is_dir() else path
    found, faults = explore({"train": folder})
    if found.classes:
        barren = [each for each in faults if each.kind == "class without photos"]
        if barren:
            raise TrainingError(barren[0].text)
        return list(found.classes)
    return sorted(canonical(each.name) for each in folder.iterdir() if each.is_dir() and not hidden(each.name))


def _file(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8-sig")
    if text.lstrip()[:1] not in ("[", "{"):
        return [line.strip() for line in text.splitlines() if line.strip()]
    content: Any = json.loads(text)
    if isinstance(content, dict) and isinstance(content.get("classes"), list):
        content = [each["name"] for each in content["classes"]]
    if isinstance(content, dict):
        by_index = {int(name): each for name, each in content.items()} if _from_index(content) else _inverted(content)
        content = [by_index[i] for i in range(len(by_index))]
    if not all(isinstance(each, str) for each in content):
        raise ValueError("a name is not a text")
    return list(content)


def _from_index(content: dict[str, Any]) -> bool:
    return all(name.isdecimal() for name in content) and all(isinstance(each, str) for each in content.values())


def _inverted(content: dict[str, Any]) -> dict[int, str]:
    return {int(index): name for name, index in content.items()}
