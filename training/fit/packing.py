"""The end of a fit: the artifact packed and proven, and only then put in place with its manifest."""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from training.artifact import package
from training.console import console, say
from training.data import photos
from training.data.photos import Photos, PixelDataset
from training.files import publish, sha256
from training.model.export import Calibrated, to_onnx
from training.model.network import Recipe

PROOF_PHOTOS = 32


def pack(
    work: Path,
    out: Path,
    recipe: Recipe,
    found: Photos,
    mode: str,
    temperature: float,
    wheels: Sequence[Path],
    facts: dict[str, Any],
) -> None:
    """Write ``model.tar.gz``, ``model.safetensors`` and ``model.json`` into ``out``.

    Parameters
    ----------
    work
        A folder on the file system of ``out`` where they come to be.
    facts
        What else the manifest says.

    Raises
    ------
    TrainingError
        The packed artifact does not answer as PyTorch does.
    """
    classes = [{"name": name, "label": photos.label(name)} for name in found.classes]
    archive = work / "model.tar.gz"
    with console.status("Packing the artifact, and proving that it answers as PyTorch does"):
        recipe.classifier.cpu()
        graph = to_onnx(Calibrated(recipe.classifier, temperature), recipe.rule.crop)
        package.write_archive(archive, graph, package.card(recipe.rule, classes), wheels)
        proof = _prove(archive, recipe, found, temperature)
    save_file(recipe.classifier.network.state_dict(), work / "model.safetensors", recipe.metadata())
    digest, size = sha256(archive), archive.stat().st_size
    manifest = {
        "schema": 1,
        "artifact": {"location": "model.tar.gz", "sha256": digest, "size": size},
        "model": {
            "architecture": recipe.architecture,
            "weights": recipe.weights,
            "mode": mode,
            "temperature": temperature,
        },
        "input": recipe.rule.as_card(),
        "classes": classes,
        **facts,
        "export": vars(proof),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "torchvision", "onnx", "onnxruntime", "Pillow", "numpy")},
    }
    (work / "model.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    publish(work, out, ["model.tar.gz", "model.safetensors", "model.json"])
    say(
        "Proof",
        f"the packed artifact answers {proof.images} test photos as PyTorch does, "
        f"to {proof.max_probability_difference:.0e}",
    )
    say("Artifact", f"{out / 'model.tar.gz'}  {size / 1e6:.1f} MB  sha256 {digest}")
    say("", "beside it: model.json (what it is and how good), model.safetensors (its weights, for --weights)")


def _prove(archive: Path, recipe: Recipe, found: Photos, temperature: float) -> package.Proof:
    """Hold the artifact to PyTorch on test photos from the whole split."""
    test = found.splits["test"]
    chosen = [test[i * len(test) // PROOF_PHOTOS] for i in range(PROOF_PHOTOS)] if len(test) > PROOF_PHOTOS else test
    dataset = PixelDataset(chosen, recipe.rule)
    pixels = torch.stack([dataset[i][0] for i in range(len(chosen))])
    with torch.no_grad():
        expected = Calibrated(recipe.classifier, temperature).eval()(pixels)
    return package.prove(archive, [photo.path for photo in chosen], expected)
