"""The proof that an artifact answers: photos to its own code, in a process that has nothing else of Kennel."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.artifact.archive import unpack
from training.artifact.layout import CARD, CODE
from training.common.errors import TrainingError

TOLERANCE = 1e-4
"""How far a served probability may lie from PyTorch's: ONNX Runtime fuses and reorders float32 sums (measured: under
1e-6), and the answer is rounded to 1e-6. An error in pixels, normalisation or layout is a thousand times that."""

COUNT = 8
"""Photos to prove a model with where there are none: every value of a pixel, smooth and rough, upright and not."""

# -I keeps the current folder and the user's packages out.
PROGRAM = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from serving import inference
model = inference.model_fn(sys.argv[1])
for line in sys.stdin:
    photo = inference.input_fn(Path(json.loads(line)).read_bytes(), "application/octet-stream")
    prediction = inference.predict_fn(photo, model)
    body, _ = inference.output_fn(prediction, "application/json", len(prediction.labels))
    print(json.dumps({"probabilities": prediction.probabilities.tolist(), "answer": json.loads(body)}))
"""


class NoAnswer(Exception):  # noqa: N818 the caller says whose mistake it is
    """The artifact does not serve; the message is the last line that it wrote."""


@dataclass(frozen=True)
class Proof:
    """How the packed artifact's answers compare with PyTorch's."""

    images: int
    tolerance: float
    max_probability_difference: float


def prove(archive: Path, photos: Sequence[Path], expected: NDArray[np.float32]) -> Proof:
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
        labels = [entry["label"] for entry in json.loads(Path(folder, CARD).read_bytes())["classes"]]
        try:
            answers = ask(Path(folder), photos)
        except NoAnswer as error:
            raise TrainingError(f"the packed artifact does not serve ({error}); nothing was written") from error
    served = np.array([answer["probabilities"] for answer in answers], np.float32)
    difference = np.abs(served - expected).max(axis=1)
    for path, answer, best, distance in zip(photos, answers, expected.argmax(1).tolist(), difference, strict=True):
        first = answer["answer"]["predictions"][0]["label"]
        if first != labels[best] or not distance <= TOLERANCE:
            raise TrainingError(
                f"the packed artifact and PyTorch disagree on {path}: {first} and {labels[best]}, probabilities "
                f"{distance:.1e} apart where {TOLERANCE:.0e} is allowed; nothing was written"
            )
    return Proof(len(photos), TOLERANCE, difference.max().item())


def ask(folder: Path, photos: Sequence[Path], seconds: float | None = None) -> list[dict[str, Any]]:
    """Return for each photo ``probabilities``, in the order of the classes, and ``answer``, as a caller gets it.

    Parameters
    ----------
    folder
        The unpacked artifact, whose own serving code reads it.
    seconds
        How long that may take; None for any time.

    Raises
    ------
    NoAnswer
        The model is not loaded, or a photo is not answered.
    """
    try:
        result = subprocess.run(  # noqa: S603
            [sys.executable, "-I", "-B", "-c", PROGRAM, str(folder), str(folder / CODE)],
            input="\n".join(json.dumps(str(path.absolute())) for path in photos),
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise NoAnswer(f"no answer in {seconds:.0f} s") from error
    if result.returncode < 0:
        raise NoAnswer(f"it was ended by signal {-result.returncode}, as happens where memory runs out")
    if result.returncode:
        raise NoAnswer((result.stderr.strip().splitlines() or ["no message"])[-1])
    return [json.loads(line) for line in result.stdout.splitlines()]


def write_stand_ins(folder: Path, side: int) -> list[Path]:
    """Write ``COUNT`` PNG files, the same ones each time, whose shorter side has ``side`` pixels or twice as many.

    Parameters
    ----------
    folder
        Is made.
    side
        Pixels, that of the shorter side of the model's input before the crop.
    """
    folder.mkdir()
    chance = np.random.default_rng(0)
    paths = []
    for number in range(COUNT):
        short = side * (1 + number % 2)
        height, width = (short, short + side // 4) if number < COUNT // 2 else (short + side // 4, short)
        rows, columns = np.mgrid[0 : 1 : complex(0, height), 0 : 1 : complex(0, width)]
        slopes = chance.uniform(-1, 1, (2, 3))
        smooth = 0.5 + 0.5 * (rows[..., None] * slopes[0] + columns[..., None] * slopes[1])
        pixels = 255 * smooth + chance.normal(0, 8 * number, (height, width, 3))
        paths.append(folder / f"{number}.png")
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(paths[-1])
    return paths
