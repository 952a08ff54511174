"""A small network over the few small photos of the conftest."""

import torch
from torch import Tensor, nn

from training.data import photos
from training.data.photos import PixelDataset
from training.data.pixels import InputRule
from training.fit.schedule import Schedule
from training.model.network import Classifier, Recipe, create

SCHEDULE = Schedule(epochs=3, batch_size=8, lr=1e-3, seed=0)


def recipe(architecture: str = "resnet18", seed: int = 0) -> Recipe:
    torch.manual_seed(seed)
    return create(architecture, "none", 3, 32, 32)


def tiny(dropout: float = 0.3, classes: int = 3) -> Recipe:
    """Return a network that trains in moments, with all that a checkpoint must know of: batch norm and dropout."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    network = nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(dropout), nn.Linear(128, classes)
    )
    classifier = Classifier(network, [0.5] * 3, [0.25] * 3)
    return Recipe(classifier, "tiny", "none", "6", InputRule(32, 32, "bilinear"))


def datasets(
    splits: dict[str, list[photos.Photo]], made: Recipe, policy: str = "none"
) -> tuple[PixelDataset, PixelDataset]:
    return PixelDataset(splits["train"], made.rule, policy), PixelDataset(splits["valid"], made.rule)


def state(made: Recipe) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in made.classifier.state_dict().items()}
