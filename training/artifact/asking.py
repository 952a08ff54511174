"""Photos to an unpacked artifact, answers back, by a process that has nothing else of Kennel."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.artifact.layout import CODE

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
