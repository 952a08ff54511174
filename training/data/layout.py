"""Which files lie where: ``train``, ``valid`` and ``test``, each with a folder for every class."""

from dataclasses import dataclass
from pathlib import Path

from training.data.findings import ERROR, Finding
from training.data.labels import label
from training.errors import TrainingError

SPLITS = ("train", "valid", "test")
EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp"}
"""What the endpoint takes."""

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
        Files in those folders that are no photos of a class.
    """

    classes: tuple[str, ...]
    splits: dict[str, list[Photo]]
    folders: dict[str, Path]
    ignored: tuple[Path, ...] = ()

    def name(self, split: str, path: Path) -> str:
        """Return a photo's name within the data set, the same wherever that lies: ``train/class/file.jpg``."""
        return f"{split}/{path.relative_to(self.folders[split]).as_posix()}"


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
                files = sorted(path for path in each.rglob("*") if path.is_file())
                if photos := [path for path in files if is_photo(path)]:
                    found[split][each.name] = photos
                ignored += [path for path in files if not is_photo(path)]
            elif each.is_file():
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
            tuple(path for path in ignored if path.name not in LITTER),
        ),
        _faults(folders, found, names),
    )


def _faults(folders: dict[str, Path], found: dict[str, dict[str, list[Path]]], names: list[str]) -> list[Finding]:
    faults = []
    for split, folder in folders.items():
        if not folder.is_dir():
            text = f"{folder} is missing: photos lie in DIR/{{train,valid,test}}/CLASS/"
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
    by_label: dict[str, list[str]] = {}
    for name in names:
        by_label.setdefault(label(name), []).append(name)
    for shown, same in by_label.items():
        if len(same) > 1:
            text = f"several classes have the label {shown!r}; rename a folder such as {same[0]}"
            faults.append(Finding(ERROR, "same label", text))
    return faults


def is_photo(path: Path) -> bool:
    """Return whether a file is one by its name; a hidden one is none."""
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
