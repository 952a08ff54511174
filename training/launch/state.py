"""``launch.json``: what was started from here, so that it can be found again."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from training.common.errors import TrainingError
from training.common.files import sync_folder

KEPT = 50


@dataclass(frozen=True)
class Started:
    """A run, and where it goes on.

    Parameters
    ----------
    kind
        ``training``, ``tuning`` or ``instance``.
    """

    name: str
    kind: str
    environment: str


def remember(out: Path, started: Started) -> None:
    """Put a run in front of the others.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        others = [each for each in recall(out) if each.name != started.name]
        partial = out / ".launch.json.incomplete"
        text = json.dumps({"schema": 1, "runs": [asdict(each) for each in [started, *others][:KEPT]]}, indent=2)
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(out / "launch.json")
        sync_folder(out)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other launch changes the folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def recall(out: Path) -> list[Started]:
    """Return the runs, the latest first.

    Raises
    ------
    TrainingError
        The file is not one of ours.
    """
    file = out / "launch.json"
    if not file.exists():
        return []
    try:
        return [Started(**each) for each in json.loads(file.read_bytes())["runs"]]
    except (ValueError, LookupError, TypeError):
        raise TrainingError(f"{file} is damaged; remove it, and give --attach the run's name") from None
