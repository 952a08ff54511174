"""Batches of pixels, and the device that takes them."""

import signal
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from training.data.photos import PixelDataset
from training.serving.cores import cores

Batches = DataLoader[tuple[Tensor, Tensor]]


def device() -> torch.device:
    """Return the GPU if there is one; with several, the one that this process was given."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def set_seed(seed: int) -> None:
    """Decide the random numbers of this process, and have a GPU compute the same every time."""
    torch.manual_seed(seed)
    if torch.cuda.is_available():
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False


def loader(photos: PixelDataset, batch_size: int, order: list[int] | range) -> Batches:
    """Return the photos of ``order`` in batches of (pixels [n, height, width, 3], targets [n])."""
    # Beside a GPU, decoding is what takes time; without one, training would only lend its cores to the workers.
    workers = min(cores(), 16) if device().type == "cuda" and len(order) > batch_size else 0
    return _loader(photos, workers, batch_size=batch_size, sampler=order)


def batches(photos: PixelDataset, groups: list[list[int]], workers: int) -> Batches:
    """Return the photos of each group as a batch, decoded by so many worker processes (0: by this one)."""
    return _loader(photos, workers, batch_sampler=groups)


def _loader(photos: PixelDataset, workers: int, **order: Any) -> Batches:
    return DataLoader(
        photos,  # type: ignore[arg-type]
        num_workers=workers,
        pin_memory=device().type == "cuda",
        worker_init_fn=_leave_signals,
        **order,
    )


def _leave_signals(worker: int) -> None:
    """Let the training process decide about the end: its workers end with it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
