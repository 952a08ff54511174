"""The artifact, ``model.tar.gz``: what serves and nothing else, and the proof that it serves as it was trained."""

import gzip
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from training.data.pixels import SERVING, InputRule
from training.errors import TrainingError

ROOT_FILES = ("deployment.py", "config.yaml")
CODE_FILES = tuple(sorted(path.name for path in SERVING.glob("*.py") if path.name not in ROOT_FILES))
"""Every module of serving, so that none is forgotten: the artifact has them under ``code/``, our own image beside its
``server.py``."""

WHEELS_IN_CONTAINER = "/opt/ml/model/code/wheels"

TOLERANCE = 1e-4
"""How far a served probability may lie from PyTorch's: ONNX Runtime fuses and reorders float32 sums (measured: under
1e-6), and the answer is rounded to 1e-6. An error in pixels, normalisation or layout is a thousand times that."""

# Runs on what was unpacked alone: -I keeps the current folder and the user's packages out.
PROOF = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1] + "/code")
import inference
model = inference.model_fn(sys.argv[1])
for line in sys.stdin:
    photo = inference.input_fn(Path(json.loads(line)).read_bytes(), "application/octet-stream")
    prediction = inference.predict_fn(photo, model)
    body, _ = inference.output_fn(prediction, "application/json", len(prediction.labels))
    print(json.dumps({"probabilities": prediction.probabilities.tolist(), "answer": json.loads(body)}))
"""


@dataclass(frozen=True)
class Platform:
    """The interpreter that installs the wheels; AWS's Ray Serve container unless said otherwise.

    https://github.com/aws/deep-learning-containers (Amazon Linux 2023: glibc 2.34)
    """

    python: str = "3.13"
    tag: str = "manylinux_2_28_x86_64"


@dataclass(frozen=True)
class Proof:
    """How the packed artifact's answers compare with PyTorch's."""

    images: int
    tolerance: float
    max_probability_difference: float


def wheel_cache() -> Path:
    """Return the folder that keeps downloaded wheels: ``KENNEL_CACHE``, or the user's cache."""
    if own := os.environ.get("KENNEL_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kennel"


def pinned_requirements() -> list[str]:
    """Return what the container lacks, each as ``name==version``."""
    lines = (SERVING / "requirements-container.txt").read_text().splitlines()
    return [pin for line in lines if (pin := line.partition("#")[0].strip())]


def fetch_wheels(requirements: Sequence[str], cache: Path, platform: Platform = Platform()) -> list[Path]:
    """Return one wheel for each requirement, downloaded unless the cache has it.

    Parameters
    ----------
    requirements
        Each as ``name==version``; their own dependencies are not fetched.

    Raises
    ------
    TrainingError
        A wheel is neither in the cache nor to be had from pip's index.
    """
    folder = cache / f"python{platform.python}-{platform.tag}"
    wheels = []
    for requirement in requirements:
        if (wheel := _cached(folder, requirement)) is None:
            _download(requirement, folder, platform)
            wheel = _cached(folder, requirement)
        if wheel is None:
            raise TrainingError(f"pip downloaded no wheel of {requirement} into {folder}")
        wheels.append(wheel)
    return wheels


def write_archive(path: Path, onnx: bytes, card: dict[str, object], wheels: Sequence[Path]) -> None:
    """Write the artifact: the same arguments give the same bytes.

    Parameters
    ----------
    card
        What serving reads as ``model.json``; the hash and the size of the graph are added here.
    """
    files = {"model.onnx": {"sha256": hashlib.sha256(onnx).hexdigest(), "size": len(onnx)}}
    requirements = ["--no-index", f"--find-links {WHEELS_IN_CONTAINER}", *pinned_requirements()]
    members: dict[str, bytes] = {
        "model.onnx": onnx,
        "model.json": _json(card | {"files": files}),
        "code/requirements.txt": ("\n".join(requirements) + "\n").encode(),
    }
    members |= {name: (SERVING / name).read_bytes() for name in ROOT_FILES}
    members |= {f"code/{name}": (SERVING / name).read_bytes() for name in CODE_FILES}
    members |= {f"code/wheels/{wheel.name}": wheel.read_bytes() for wheel in wheels}
    # Weights hardly compress, and wheels not at all: level 1 takes a tenth of the default level's time.
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", 1, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, content in sorted(members.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))


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
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        labels = [each["label"] for each in json.loads(Path(folder, "model.json").read_bytes())["classes"]]
        result = subprocess.run(  # noqa: S603
            [sys.executable, "-I", "-c", PROOF, folder],
            input="\n".join(json.dumps(str(path.absolute())) for path in photos),
            capture_output=True,
            text=True,
        )
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise TrainingError(f"the packed artifact does not serve ({reason}); nothing was written")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
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


def _cached(folder: Path, requirement: str) -> Path | None:
    name, _, version = requirement.partition("==")
    beginning = f"{re.sub(r'[-_.]+', '_', name)}-{version}-".lower()
    return next((path for path in sorted(folder.glob("*.whl")) if path.name.lower().startswith(beginning)), None)


def _download(requirement: str, folder: Path, platform: Platform) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as partial:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--python-version", platform.python, "--platform", platform.tag]
        result = subprocess.run(  # noqa: S603
            [*command, "--dest", partial, requirement], capture_output=True, text=True
        )
        if result.returncode:
            reason = next((line for line in result.stderr.splitlines() if line.startswith("ERROR")), "pip failed")
            again = shlex.join(["python", *command[1:], "--dest", str(folder), requirement])
            raise TrainingError(
                f"{requirement} for Python {platform.python}, which goes into the artifact, cannot be downloaded "
                f"({reason.removeprefix('ERROR: ')}); where there is a network, run `{again}`"
            )
        for wheel in Path(partial).glob("*.whl"):
            shutil.move(wheel, folder / wheel.name)


def card(rule: InputRule, classes: list[dict[str, str]]) -> dict[str, object]:
    """Return what serving must know, but for the graph's hash."""
    return {"schema": 1, "input": rule.as_card(), "classes": classes}


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"
