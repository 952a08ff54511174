"""What the training bench needs where nothing can be downloaded: photos, and a backbone.

Each class is a texture of stripes in two colours on an oval before a blurred background; within a class the place,
size, turn, light and noise vary.
"""

import math
import random
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.torch import save_file

from training.common.memory import keep_memory
from training.data.photos import SPLITS, PixelDataset, find
from training.fit.full import train_full
from training.fit.loading import set_seed
from training.fit.schedule import Schedule
from training.fit.speed import choose_precision
from training.model.network import create

WIDTH, HEIGHT = 500, 400

SIDE, EPOCHS = 112, 12
"""Of the backbone's training."""


def photo(kind: random.Random, chance: np.random.Generator) -> Image.Image:
    """Return a photo of the class that ``kind``, always in the same state, describes."""
    colours = np.array([[kind.uniform(30, 225) for _ in "rgb"] for _ in "ab"])
    angle, period, wobble = kind.uniform(0, math.pi), kind.uniform(8, 40), kind.uniform(0, 8)
    angle, period = angle + chance.normal(0, 0.15), period * chance.uniform(0.8, 1.25)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    stripes = np.sin((along + wobble * np.sin(across / 20)) * 2 * math.pi / period)[..., None] / 2 + 0.5
    centre = chance.uniform(0.4, 0.6, 2) * (WIDTH, HEIGHT)
    radius = chance.uniform(0.5, 0.9, 2) * (WIDTH, HEIGHT)
    inside = (((x - centre[0]) / radius[0]) ** 2 + ((y - centre[1]) / radius[1]) ** 2 < 1)[..., None]
    rough = Image.fromarray(chance.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    background = np.asarray(rough.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    pixels = np.where(inside, stripes * colours[0] + (1 - stripes) * colours[1], background) * chance.uniform(0.8, 1.2)
    return Image.fromarray(np.clip(pixels + chance.normal(0, 12, pixels.shape), 0, 255).astype(np.uint8))


def write_photos(folder: Path, classes: range, counts: dict[str, int]) -> None:
    """Write JPEG files as ``folder/<split>/<class>/<number>.jpg``; numbers in ``counts`` are for each class."""
    for number in classes:
        chance = np.random.default_rng(number)
        for split, count in counts.items():
            (folder / split / f"{number:03}").mkdir(parents=True)
            for i in range(count):
                made = photo(random.Random(number), chance)  # noqa: S311
                made.save(folder / split / f"{number:03}" / f"{i:03}.jpg", quality=90)


def write_backbone(file: Path, data: Path, epochs: int) -> None:
    """Write ResNet-50, trained on the photos in ``data``: other classes than those that a head is to learn.

    Few photos at half the side and few epochs, two minutes on two cores, are enough to tell such textures apart.
    """
    keep_memory()
    found = find({split: data / split for split in SPLITS})
    set_seed(0)
    recipe = create("resnet50", "none", len(found.classes), SIDE, SIDE)
    train = PixelDataset(found.splits["train"], recipe.rule, "photo")
    valid = PixelDataset(found.splits["valid"], recipe.rule)
    schedule = Schedule(epochs, batch_size=32, lr=2e-3, seed=0)
    train_full(recipe, train, valid, schedule, choose_precision(recipe.classifier, SIDE))
    save_file(recipe.classifier.network.state_dict(), file, recipe.metadata())
