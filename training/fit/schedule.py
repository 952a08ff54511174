"""How long, how fast and in which order to learn."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    Parameters
    ----------
    lr
        Highest learning rate of the one-cycle schedule (https://arxiv.org/abs/1708.07120): it warms up for a quarter
        of the steps and then falls along a cosine.
    """

    epochs: int
    batch_size: int
    lr: float
    seed: int


def order(photos: int, seed: int, epoch: int) -> list[int]:
    """Return the order of the photos in an epoch: the seed and the epoch decide it, nothing else."""
    generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
    order: list[int] = torch.randperm(photos, generator=generator).tolist()
    return order
