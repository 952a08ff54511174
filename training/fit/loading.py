"""Batches of pixels, and the device that takes them."""

import os

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from training.data.photos import PixelDataset


def device() -> torch.device:
    """Return the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def loader(photos: PixelDataset, batch_size: int, order: list[int] | range) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return the photos of ``order`` in batches of (pixels [n, height, width, 3], targets [n])."""
    # Beside a GPU, decoding is what takes time; without one, training would only lend its cores to the workers.
    gpu = device().type == "cuda"
    workers = min(os.cpu_count() or 1, 16) if gpu and len(order) > batch_size else 0
    return DataLoader(
        photos,  # type: ignore[arg-type]
        batch_size,
        sampler=order,
        num_workers=workers,
        pin_memory=gpu,
    )
