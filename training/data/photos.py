"""Labelled photos as training takes them: found, looked at, and turned into the model's input."""

import random

import torch
from torch.utils.data import Dataset

from training.data.labels import label
from training.data.layout import EXTENSIONS, SPLITS, Photo, Photos, find
from training.data.pixels import InputRule, augment, fit, read_photo, to_tensor
from training.data.survey import Survey, survey

__all__ = ["EXTENSIONS", "SPLITS", "Photo", "Photos", "PixelDataset", "Survey", "find", "label", "survey"]


class PixelDataset(Dataset[tuple[torch.Tensor, int]]):
    """Photos as the model sees them: (uint8 pixels of shape [height, width, 3], class).

    Parameters
    ----------
    policy
        Augmentation, see ``pixels.augment``. Item ``epoch * len(photos) + i`` is photo ``i`` as varied for that epoch:
        the pixels depend on the seed and the item alone, not on the worker that makes them.
    """

    def __init__(self, photos: list[Photo], rule: InputRule, policy: str = "none", seed: int = 0) -> None:
        self.photos, self.rule, self.policy, self.seed = photos, rule, policy, seed

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, item: int) -> tuple[torch.Tensor, int]:
        photo = self.photos[item % len(self.photos)]
        image = read_photo(photo.path)
        if self.policy == "none":
            image = fit(image, self.rule)
        else:
            image = augment(image, self.rule, self.policy, random.Random(f"{self.seed} {item}"))  # noqa: S311
        return to_tensor(image), photo.target
