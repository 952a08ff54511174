"""The mistakes that a model was surest of, as small pictures."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from training.data.photos import Photo
from training.data.pixels import read_photo

MOST = 24
SIDE, QUALITY = 144, 80
"""Pixels of a thumbnail's longer side, and JPEG's quality: some 6 KB each."""


@dataclass(frozen=True)
class Mistake:
    """A photo that was taken for another class; ``true`` and ``predicted`` are indices.

    Parameters
    ----------
    probability, true_probability
        Of the class that was answered, and of the right one.
    """

    photo: Path
    true: int
    predicted: int
    probability: float
    true_probability: float

    def thumbnail(self) -> str:
        """Return the whole photo as a data URI.

        Raises
        ------
        TrainingError
            The photo cannot be read any more.
        """
        image = read_photo(self.photo)
        image.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=QUALITY)
        return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def worst(photos: Sequence[Photo], logits: Tensor, temperature: float = 1.0, most: int = MOST) -> list[Mistake]:
    """Return the mistakes with the highest probabilities, the highest first.

    Parameters
    ----------
    photos, logits
        In the same order; logits of shape [photos, classes].
    """
    probabilities = (logits.double() / temperature).softmax(1)
    highest, answers = probabilities.max(1)
    order = highest.argsort(descending=True, stable=True).tolist()
    wrong = [i for i in order if int(answers[i]) != photos[i].target]
    return [
        Mistake(
            photos[i].path,
            photos[i].target,
            int(answers[i]),
            float(highest[i]),
            float(probabilities[i, photos[i].target]),
        )
        for i in wrong[:most]
    ]
