"""The steps from a trained network to its published artifact: pack, prove, manifest, report, publish."""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from training.artifact import proof
from training.artifact.archive import write_archive
from training.artifact.manifest import Archive, Manifest
from training.artifact.proof import Proof
from training.common.console import console, say
from training.common.files import publish, sha256
from training.common.version import VERSION
from training.data.labels import label
from training.data.photos import Photo, PixelDataset
from training.model.export import Calibrated, to_onnx
from training.model.network import Recipe
from training.pipeline.full_disk import WEIGHTS, write_weights
from training.report import page
from training.report.measurement import Findings

ARCHIVE, MANIFEST, REPORT = "model.tar.gz", "model.json", "report.html"
PROOF_PHOTOS = 32
LIBRARIES = ("torch", "torchvision", "onnx", "onnxruntime", "Pillow", "numpy")


@dataclass(frozen=True)
class Model:
    """What an artifact answers with.

    Parameters
    ----------
    names
        Of the classes, in the order of the network's output.
    mode
        How it was trained, as the manifest says it.
    temperature
        Divides the logits, so that the probabilities are calibrated.
    shown
        What people call the classes, if that is not what their names say.
    """

    network: Recipe
    names: Sequence[str]
    mode: str
    temperature: float
    shown: Sequence[str] | None = None

    @property
    def classes(self) -> list[dict[str, str]]:
        """The classes as a manifest has them."""
        pairs = zip(self.names, self.shown or self.names, strict=True)
        return [{"name": name, "label": label(text)} for name, text in pairs]


@dataclass(frozen=True)
class Packed:
    """The archive that serves, and the SHA-256 of the weights beside it."""

    archive: Path
    weights_sha256: str


def pack(model: Model, *, wheels: Sequence[Path], work: Path) -> Packed:
    """Write ``model.safetensors`` and ``model.tar.gz`` into ``work``.

    The weights come first: they are what took long, and what is left if the rest has no room.

    Raises
    ------
    OSError
        The disk is full.
    """
    network = model.network
    with console.status("Packing the artifact"):
        network.classifier.cpu()
        weights = save(network.classifier.network.state_dict(), network.metadata())
        write_weights(work / WEIGHTS, weights)
        graph = to_onnx(Calibrated(network.classifier, model.temperature), network.rule.crop)
        card = {"schema": 1, "input": network.rule.as_card(), "classes": model.classes}
        write_archive(work / ARCHIVE, graph, card, wheels)
    return Packed(work / ARCHIVE, hashlib.sha256(weights).hexdigest())


def prove(model: Model, packed: Packed, *, photos: Sequence[Photo]) -> Proof:
    """Ask the packed artifact, and PyTorch, for the same photos.

    Parameters
    ----------
    photos
        The proof takes ``PROOF_PHOTOS`` of them, from beginning to end.

    Raises
    ------
    TrainingError
        The answers differ.
    """
    count = min(len(photos), PROOF_PHOTOS)
    asked = [photos[i * len(photos) // count] for i in range(count)]
    with console.status("Proving that the artifact answers as PyTorch does"):
        dataset = PixelDataset(asked, model.network.rule)
        pixels = torch.stack([dataset[i][0] for i in range(count)])
        with torch.no_grad():
            expected = Calibrated(model.network.classifier, model.temperature).eval()(pixels).numpy()
        return proof.prove(packed.archive, [photo.path for photo in asked], expected)


def write_manifest(
    model: Model,
    packed: Packed,
    *,
    proof: Proof,
    findings: Findings | None,
    facts: Mapping[str, Any],
    work: Path,
) -> Manifest:
    """Write ``model.json`` into ``work``.

    Parameters
    ----------
    findings
        What the test split says of the model; None if nothing was measured.
    facts
        What else the manifest says.
    """
    network, classes = model.network, model.classes
    manifest = Manifest(
        Archive(ARCHIVE, sha256(packed.archive), packed.archive.stat().st_size),
        model={
            "architecture": network.architecture,
            "weights": network.weights,
            "mode": model.mode,
            "temperature": model.temperature,
            **network.normalisation,
        },
        input=network.rule.as_card(),
        classes=classes,
        metrics={"test": None} if findings is None else findings.metrics([item["label"] for item in classes]),
        facts={
            **facts,
            "weights": {"file": WEIGHTS, "sha256": packed.weights_sha256},
            "export": vars(proof),
            "versions": {
                "kennel": VERSION,
                "python": platform.python_version(),
                **{name: version(name) for name in LIBRARIES},
            },
        },
    )
    (work / MANIFEST).write_text(manifest.text(), encoding="utf-8")
    return manifest


def write_report(manifest: Manifest, findings: Findings | None, *, work: Path) -> None:
    """Write ``report.html`` into ``work`` if there is anything to report."""
    if findings is not None:
        page.write(work / REPORT, json.loads(manifest.text()), findings)


def publish_artifact(manifest: Manifest, *, proof: Proof, work: Path, out: Path) -> None:
    """Move everything from ``work`` to ``out``, the manifest last, and print what is there."""
    reported = (work / REPORT).exists()
    if not reported:
        (out / REPORT).unlink(missing_ok=True)  # of another model
    publish(work, out, [*[REPORT] * reported, ARCHIVE, WEIGHTS, MANIFEST])
    archive = manifest.archive
    say(
        "Proof",
        f"the packed artifact answers {proof.images} photos as PyTorch does, to {proof.max_probability_difference:.0e}",
    )
    say("Artifact", f"{out / archive.location}  {archive.size / 1e6:.1f} MB  sha256 {archive.sha256}")
    if reported:
        say("Report", f"{out / REPORT}")
    say("", "beside it: model.json (what it is and how good), model.safetensors (its weights, for --weights)")
