"""The proof that what was packed answers as PyTorch does."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from training.artifact.asking import NoAnswer, ask
from training.artifact.layout import CARD
from training.artifact.unpacking import unpack
from training.common.errors import TrainingError

TOLERANCE = 1e-4
"""How far a served probability may lie from PyTorch's: ONNX Runtime fuses and reorders float32 sums (measured: under
1e-6), and the answer is rounded to 1e-6. An error in pixels, normalisation or layout is a thousand times that."""


@dataclass(frozen=True)
class Proof:
    """How the packed artifact's answers compare with PyTorch's."""

    images: int
    tolerance: float
    max_probability_difference: float


def prove(archive: Path, photos: Sequence[Path], expected: Tensor) -> Proof:
    """Unpack the artifact and have it answer real photos, in a process that has nothing else of Kennel.

    Parameters
    ----------
    photos
        Files, sent as they are.
    expected
        PyTorch's probabilities for them, of shape [photos, classes].

    Raises
    ------
    TrainingError
        A label differs, or a probability by more than ``TOLERANCE``: there is no artifact then.
    """
    with tempfile.TemporaryDirectory() as folder:
        unpack(archive, Path(folder))
        labels = [each["label"] for each in json.loads(Path(folder, CARD).read_bytes())["classes"]]
        try:
            answers = ask(Path(folder), photos)
        except NoAnswer as error:
            raise TrainingError(f"the packed artifact does not serve ({error}); nothing was written") from error
    served = torch.tensor([answer["probabilities"] for answer in answers])
    difference = (served - expected).abs().amax(dim=1)
    for path, answer, best, distance in zip(photos, answers, expected.argmax(1).tolist(), difference, strict=True):
        first = answer["answer"]["predictions"][0]["label"]
        if first != labels[best] or not distance <= TOLERANCE:
            raise TrainingError(
                f"the packed artifact and PyTorch disagree on {path}: {first} and {labels[best]}, probabilities "
                f"{distance:.1e} apart where {TOLERANCE:.0e} is allowed; nothing was written"
            )
    return Proof(len(photos), TOLERANCE, difference.max().item())
