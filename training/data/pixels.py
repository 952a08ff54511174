"""From a photo to the pixels that the model sees, by the very code that does so when it serves.

The resize (Pillow's, antialiased) and the centre crop are serving's own, as the reading is: see ``reading.py``.
"""

import math
import random
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from training.common.torchvision_compat import functional
from training.data.reading import photo_pixels, read_photo

__all__ = ["AUGMENTATIONS", "InputRule", "augment", "fit", "read_photo", "to_tensor"]

AUGMENTATIONS = ("none", "light", "photo")


@dataclass(frozen=True)
class InputRule:
    """How a photo becomes the model's input; travels in the artifact.

    Parameters
    ----------
    resize
        Pixels of the shorter side after resizing.
    crop
        Pixels of each side of the centre that the model sees.
    interpolation
        ``bilinear`` or ``bicubic``.
    """

    resize: int
    crop: int
    interpolation: str

    def as_card(self) -> dict[str, object]:
        """Return the form that ``model.json`` has."""
        return {"resize": self.resize, "crop": [self.crop, self.crop], "interpolation": self.interpolation}


def fit(photo: Image.Image, rule: InputRule) -> Image.Image:
    """Resize and crop an RGB photo as the endpoint does."""
    size, filter_ = (rule.crop, rule.crop), photo_pixels.INTERPOLATIONS[rule.interpolation]
    return photo_pixels.fit(photo, photo_pixels.ResizeAndCrop(rule.resize, size, filter_))


def augment(photo: Image.Image, rule: InputRule, policy: str, chance: random.Random) -> Image.Image:
    """Vary an RGB photo, and bring it to the model's input.

    Parameters
    ----------
    policy
        ``light`` turns by up to 10 degrees, shifts by up to 10 % and scales by up to 10 %: safe for whatever has a
        top, a left and a right, like digits. ``photo`` cuts out a random 35 to 100 % of the photo and mirrors every
        other one: for objects in photographs. ``none`` changes nothing.
    chance
        Where the variation comes from: the same state gives the same pixels.
    """
    if policy == "photo":
        width, height = photo.size
        area = width * height * chance.uniform(0.35, 1)
        ratio = math.exp(chance.uniform(math.log(3 / 4), math.log(4 / 3)))  # as torchvision's RandomResizedCrop
        w, h = min(width, round(math.sqrt(area * ratio))), min(height, round(math.sqrt(area / ratio)))
        left, top = chance.randint(0, width - w), chance.randint(0, height - h)
        size, filter_ = (rule.crop, rule.crop), photo_pixels.INTERPOLATIONS[rule.interpolation]
        photo = photo.resize(size, filter_, box=(left, top, left + w, top + h))
        return photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if chance.random() < 0.5 else photo
    photo = fit(photo, rule)
    if policy == "light":
        photo = functional.affine(
            photo,
            angle=chance.uniform(-10, 10),
            translate=[round(chance.uniform(-0.1, 0.1) * rule.crop) for _ in "xy"],
            scale=chance.uniform(0.9, 1.1),
            shear=[0.0],
            interpolation=functional.InterpolationMode.BILINEAR,
        )
    return photo


def to_tensor(photo: Image.Image) -> torch.Tensor:
    """Return uint8 pixels of shape [height, width, 3]."""
    return torch.from_numpy(np.array(photo))
