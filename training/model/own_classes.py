"""The classes that a checkpoint itself names, and whether somebody else's names contradict them."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from training.common.errors import TrainingError
from training.data.class_names import ClassNames, names_by_folder, names_of_map
from training.data.labels import appearance, visible
from training.model.plain_values import plain

KEYS = ("class_to_idx", "idx_to_class", "class_names", "classes")
WITHIN = ("hyper_parameters", "args", "config")
"""Where else training loops keep them: Lightning's ``save_hyperparameters``, a Namespace, a dictionary of settings."""


def own_classes(content: Mapping[Any, Any], count: int, source: str) -> tuple[ClassNames, str] | None:
    """Return the classes that a checkpoint names, and under which key; None if it names none.

    Parameters
    ----------
    content
        What the checkpoint's pickle holds.
    count
        Classes that the model has.
    source
        What errors call the checkpoint.

    Raises
    ------
    TrainingError
        There are other than ``count``, which the model has.
    """
    for holder in (content, *(content.get(name) for name in WITHIN)):
        for key in KEYS:
            if found := _named(holder, key):
                if len(found.names) != count:
                    raise TrainingError(
                        f"{source} contradicts itself: its {key} has {len(found.names)} classes, and the model "
                        f"{count}; save it anew with the right {key}, or without it"
                    )
                return found, key
    return None


def reconcile(own: ClassNames, key: str, others: ClassNames, source: str) -> list[str]:
    """Return the names by which the classes go that both a checkpoint and the user name: the user's.

    A map from folder to name goes with a checkpoint that has the folders, whatever their order in the map.

    Parameters
    ----------
    own, key
        The checkpoint's classes, and the key under which it has them.
    others, source
        The user's classes, and what errors call their origin.

    Raises
    ------
    TrainingError
        They are not the same classes, or a list has them in another order.
    """
    if names := names_by_folder(others, own.names, source, f"the checkpoint's {key}"):
        return names
    if len(others.names) != len(own.names):
        raise TrainingError(f"{source} has {len(others.names)} classes, and the checkpoint's {key} {len(own.names)}")
    for output, (name, mine) in enumerate(zip(others.names, own.names, strict=True)):
        if appearance(name) != appearance(mine):
            raise TrainingError(
                f"{source} calls the model's output {output} {visible(name)}, and the checkpoint's {key} "
                f"{visible(mine)}; leave out --classes, or put it right"
            )
    return others.names


def by_folders(own: ClassNames, key: str, folders: Sequence[str], source: str) -> list[str]:
    """Return the names of folders in the order of the checkpoint's classes, which need not be theirs.

    Parameters
    ----------
    own, key
        The checkpoint's classes, and the key under which it has them.
    folders, source
        Names of the folders of photos, and what errors call their origin.

    Raises
    ------
    TrainingError
        A class has no folder, or a folder no class.
    """
    by_appearance = {appearance(folder): folder for folder in folders}
    mine = [appearance(name) for name in own.names]
    for name, seen in zip(own.names, mine, strict=True):
        if seen not in by_appearance:
            raise TrainingError(f"the checkpoint's {key} has {visible(name)}, and {source} no such class")
    for seen, folder in by_appearance.items():
        if seen not in mine:
            raise TrainingError(f"{source} has {visible(folder)}, and the checkpoint's {key} no such class")
    return [by_appearance[seen] for seen in mine]


def _named(holder: Any, key: str) -> ClassNames | None:
    """Return what lies under a key, if it is names of classes and not something else that is called so."""
    try:
        content = plain((vars(holder) if isinstance(holder, argparse.Namespace) else holder)[key])
        if isinstance(content, Mapping):
            return names_of_map(content)
        if isinstance(content, list) and all(isinstance(name, str) for name in content):
            return ClassNames(content)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    return None
