"""A model's outputs for a split, and how good they are."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.common.console import track
from training.data.photos import PixelDataset
from training.fit import distributed
from training.fit.loading import device, loader

EVALUATION_BATCH = 64


@dataclass(frozen=True)
class Metrics:
    """How good a model is on one split; ``loss`` is the mean cross-entropy in nats."""

    accuracy: float
    loss: float
    images: int


def measure(logits: Tensor, targets: Tensor, temperature: float = 1.0) -> Metrics:
    """Compare logits of shape [photos, classes] with targets of shape [photos]."""
    return Metrics(
        accuracy=(logits.argmax(1) == targets).double().mean().item(),
        loss=F.cross_entropy(logits / temperature, targets).item(),
        images=len(targets),
    )


def predict(model: nn.Module, photos: PixelDataset, title: str) -> tuple[Tensor, Tensor]:
    """Return the model's outputs [photos, ...] and the targets [photos], on the CPU."""
    outputs, targets = [], []
    model.eval()
    batches = loader(photos, EVALUATION_BATCH, range(len(photos)))
    with torch.no_grad():
        for pixels, target in track(batches, title, len(batches)):
            outputs.append(model(pixels.to(device())).cpu())
            targets.append(target)
    return torch.cat(outputs), torch.cat(targets)


def predict_together(model: nn.Module, photos: PixelDataset, title: str) -> tuple[Tensor, Tensor]:
    """Return the outputs [photos, ...] and the targets [photos], on the CPU and the same on every process.

    Each photo is seen by exactly one process.
    """
    mine = distributed.slice_of(photos.photos)
    part = PixelDataset(mine or photos.photos[:1], photos.rule)  # more processes than photos: one is seen for its shape
    outputs, targets = predict(model, part, title)
    count = len(photos)
    return distributed.gather(outputs[: len(mine)], count), distributed.gather(targets[: len(mine)], count)
