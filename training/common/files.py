"""Files that are whole or absent, whenever the process or the machine stops."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.common.errors import TrainingError

UNUSED = 30 * 86400
"""Seconds after which what nobody asked for may leave the cache, when something new comes."""


def sha256(path: Path) -> str:
    """Return the hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Return what keeps what can be had again: ``KENNEL_CACHE``, or Kennel's folder in the user's cache."""
    if own := os.environ.get("KENNEL_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kennel"


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Wait until no other process of this machine works on a folder of the cache.

    Raises
    ------
    TrainingError
        It cannot be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = (root / "lock").open("w")
    except OSError as error:
        raise TrainingError(
            f"{root} cannot be written ({error.strerror}); set KENNEL_CACHE to another folder"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def workspace(beside: Path) -> Iterator[Path]:
    """Lend an empty folder on the same file system as ``beside``, and remove it afterwards.

    Parameters
    ----------
    beside
        What will be written; the folder is in the same one, and named after it.

    Raises
    ------
    TrainingError
        The folder that would hold it cannot be written, or another process has the same one.
    """
    folder = beside.parent / f".{beside.name}.incomplete"
    try:
        lock = _locked(folder)
        for path in folder.iterdir():  # of a run that was killed
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    except BlockingIOError:
        raise TrainingError(
            f"another run writes to {beside.parent}: wait for its end, or choose another folder"
        ) from None
    except OSError as error:
        raise TrainingError(f"{beside.parent} cannot be written: {error.strerror}; choose another folder") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked(folder: Path) -> int:
    """Make a folder, and return its descriptor, which keeps others out until it is closed."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(folder.stat(), os.fstat(descriptor)):
                return descriptor
        except FileNotFoundError:  # the one who had it has just removed it
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def publish(folder: Path, out: Path, names: list[str]) -> None:
    """Move files from ``folder`` to ``out`` so that the last one never lies beside others than its own.

    The last of ``names`` vouches for the others (the manifest holds their hashes). It goes first and comes last:
    whenever the process stops, ``out`` holds the old set, the new set, or no voucher.

    Parameters
    ----------
    folder
        Where the finished files lie, on the same file system as ``out``.
    """
    for name in names:
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())
    (out / names[-1]).unlink(missing_ok=True)
    sync_folder(out)
    for name in names:
        (folder / name).replace(out / name)
        sync_folder(out)


def sync_folder(folder: Path) -> None:
    """Make the renames within a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
