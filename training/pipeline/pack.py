"""The whole way of a model into its artifact: packed and proven, and only then put in place with its manifest."""

import hashlib
import json
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from training.artifact import proof
from training.artifact.archive import write_archive
from training.artifact.manifest import Archive, Manifest
from training.common.console import console, say
from training.common.errors import TrainingError
from training.common.files import publish, sha256
from training.common.version import VERSION
from training.data import photos
from training.data.photos import Photo, PixelDataset
from training.fit.checkpoints import FULL
from training.model.export import Calibrated, to_onnx
from training.model.network import Recipe
from training.report import page
from training.report.measurement import Findings

WEIGHTS = "model.safetensors"
PROOF_PHOTOS = 32
LIBRARIES = ("torch", "torchvision", "onnx", "onnxruntime", "Pillow", "numpy")


def pack(
    work: Path,
    out: Path,
    recipe: Recipe,
    classes: Sequence[str],
    mode: str,
    temperature: float,
    wheels: Sequence[Path],
    to_prove: Sequence[Photo],
    findings: Findings | None,
    facts: Mapping[str, Any],
    *,
    shown: Sequence[str] | None = None,
) -> Manifest:
    """Write ``model.tar.gz``, ``model.safetensors``, ``model.json`` and, of findings, ``report.html`` into ``out``.

    Parameters
    ----------
    work
        A folder on the file system of ``out`` where they come to be.
    classes
        Names, in the order of the model's output.
    to_prove
        Photos, of which the proof takes ``PROOF_PHOTOS`` from beginning to end.
    findings
        What was measured, if anything was.
    facts
        What else the manifest says.
    shown
        What people call the classes, if that is not what their names say.

    Raises
    ------
    TrainingError
        The packed artifact does not answer as PyTorch does, or the disk is full; ``work`` has the weights by then,
        unless there was no room for these either.
    """
    pairs = zip(classes, shown or classes, strict=True)
    named = [{"name": name, "label": photos.label(each)} for name, each in pairs]
    archive = work / "model.tar.gz"
    with console.status("Packing the artifact, and proving that it answers as PyTorch does"), _room(out):
        recipe.classifier.cpu()
        # The weights come first: they are what took long, and what is left if the rest has no room.
        weights = save(recipe.classifier.network.state_dict(), recipe.metadata())
        write_weights(work / WEIGHTS, weights)
        graph = to_onnx(Calibrated(recipe.classifier, temperature), recipe.rule.crop)
        card = {"schema": 1, "input": recipe.rule.as_card(), "classes": named}
        write_archive(archive, graph, card, wheels)
        proved = _prove(archive, recipe, to_prove, temperature)
    manifest = Manifest(
        Archive("model.tar.gz", sha256(archive), archive.stat().st_size),
        model={
            "architecture": recipe.architecture,
            "weights": recipe.weights,
            "mode": mode,
            "temperature": temperature,
            **recipe.normalisation,
        },
        input=recipe.rule.as_card(),
        classes=named,
        metrics={"test": None} if findings is None else findings.metrics([each["label"] for each in named]),
        facts={
            **facts,
            "weights": {"file": WEIGHTS, "sha256": hashlib.sha256(weights).hexdigest()},
            "export": vars(proved),
            "versions": {
                "kennel": VERSION,
                "python": platform.python_version(),
                **{name: version(name) for name in LIBRARIES},
            },
        },
    )
    names = ["model.tar.gz", WEIGHTS, "model.json"]
    with _room(out):
        (work / "model.json").write_text(manifest.text(), encoding="utf-8")
        if findings is None:
            (out / "report.html").unlink(missing_ok=True)  # of another model
        else:
            page.write(work / "report.html", json.loads(manifest.text()), findings)
            names.insert(0, "report.html")
        publish(work, out, names)
    say(
        "Proof",
        f"the packed artifact answers {proved.images} photos as PyTorch does, "
        f"to {proved.max_probability_difference:.0e}",
    )
    about = manifest.archive
    say("Artifact", f"{out / about.location}  {about.size / 1e6:.1f} MB  sha256 {about.sha256}")
    if findings is not None:
        say("Report", f"{out / 'report.html'}")
    say("", "beside it: model.json (what it is and how good), model.safetensors (its weights, for --weights)")
    return manifest


def write_weights(path: Path, weights: bytes) -> None:
    """Write a file of weights, whole or not at all."""
    try:
        path.write_bytes(weights)  # save_file's is for its writer alone to read
    except OSError:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def _room(out: Path) -> Iterator[None]:
    """Say where a disk is full, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        free = shutil.disk_usage(out).free / 1e6
        raise TrainingError(
            f"the disk of {out} is full ({free:.0f} MB left): make room there, or give --out a folder on another disk"
        ) from error


def _prove(archive: Path, recipe: Recipe, chosen: Sequence[Photo], temperature: float) -> proof.Proof:
    """Hold the artifact to PyTorch."""
    if len(chosen) > PROOF_PHOTOS:
        chosen = [chosen[i * len(chosen) // PROOF_PHOTOS] for i in range(PROOF_PHOTOS)]
    dataset = PixelDataset(list(chosen), recipe.rule)
    pixels = torch.stack([dataset[i][0] for i in range(len(chosen))])
    with torch.no_grad():
        expected = Calibrated(recipe.classifier, temperature).eval()(pixels).numpy()
    return proof.prove(archive, [photo.path for photo in chosen], expected)
