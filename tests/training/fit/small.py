"""A small network over the few small photos of the conftest."""

import torch
from torch import Tensor

from training.data import photos
from training.data.photos import PixelDataset
from training.fit.schedule import Schedule
from training.model.network import Recipe, create

SCHEDULE = Schedule(epochs=3, batch_size=8, lr=1e-3, seed=0)


def recipe(architecture: str = "resnet18", seed: int = 0) -> Recipe:
    torch.manual_seed(seed)
    return create(architecture, "none", 3, 32, 32)


def datasets(
    splits: dict[str, list[photos.Photo]], made: Recipe, policy: str = "none"
) -> tuple[PixelDataset, PixelDataset]:
    return PixelDataset(splits["train"], made.rule, policy), PixelDataset(splits["valid"], made.rule)


def state(made: Recipe) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in made.classifier.state_dict().items()}
