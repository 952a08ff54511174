"""A disk that is full at the end of a training: the error says what to do, and the weights are kept."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors.torch import save

from training.common.errors import TrainingError
from training.common.files import cache_folder
from training.fit.checkpoints import FULL
from training.model.network import Recipe

WEIGHTS = "model.safetensors"
RESCUED = "trained.safetensors"


@contextmanager
def full_disk_told(out: Path) -> Iterator[None]:
    """Say which disk is full, and what to do.

    Raises
    ------
    TrainingError
        The disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        free = shutil.disk_usage(out).free / 1e6
        raise TrainingError(
            f"the disk of {out} is full ({free:.0f} MB free); free disk space there, or choose --out on another disk"
        ) from error


@contextmanager
def weights_rescued(*, work: Path, out: Path, network: Recipe) -> Iterator[None]:
    """Keep the weights if the artifact cannot be written: a full disk must not cost hours of training.

    Parameters
    ----------
    work
        The folder that has the weights already, unless there was no room for them.

    Raises
    ------
    TrainingError
        The artifact cannot be written; the message names the file that has the weights.
    """
    try:
        with full_disk_told(out):
            yield
    except (OSError, TrainingError) as error:
        if isinstance(error, TrainingError) and not isinstance(error.__cause__, OSError):
            raise
        kept = _rescue(work, out, network)
        raise TrainingError(
            f"{error}; `./kennel package --from {kept} --data DIR --out DIR` packs the trained weights, which were kept"
            if kept
            else f"{error}; the trained weights are lost, because no disk has space for them"
        ) from error


def write_weights(path: Path, weights: bytes) -> None:
    """Write a file of weights, whole or not at all."""
    try:
        path.write_bytes(weights)  # save_file's is for its writer alone to read
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _rescue(work: Path, out: Path, network: Recipe) -> Path | None:
    """Return the file that the weights are in now: beside the artifact's place, or on another disk."""
    kept = out / RESCUED
    with suppress(OSError):
        (work / WEIGHTS).replace(kept)  # on the same disk, so that it takes no room
        return kept
    for folder in (cache_folder(), Path(tempfile.gettempdir())):
        kept = folder / RESCUED
        with suppress(OSError):
            write_weights(kept, save(network.classifier.network.state_dict(), network.metadata()))
            return kept
    return None
