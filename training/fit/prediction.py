"""A model's outputs for a split, each photo seen by exactly one process."""

from torch import Tensor, nn

from training.data.photos import PixelDataset
from training.fit import distributed
from training.fit.evaluation import predict


def predict_together(model: nn.Module, photos: PixelDataset, title: str) -> tuple[Tensor, Tensor]:
    """Return the outputs [photos, ...] and the targets [photos], on the CPU and the same on every process."""
    mine = distributed.slice_of(photos.photos)
    part = PixelDataset(mine or photos.photos[:1], photos.rule)  # more processes than photos: one is seen for its shape
    outputs, targets = predict(model, part, title)
    count = len(photos)
    return distributed.gather(outputs[: len(mine)], count), distributed.gather(targets[: len(mine)], count)
