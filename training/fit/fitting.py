"""One fit from beginning to end: photos in, a proven artifact beside its manifest out."""

import json
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file

from training.artifact import package
from training.console import console, say
from training.data import photos
from training.data.photos import Photos, PixelDataset
from training.errors import TrainingError
from training.files import publish, sha256, workspace
from training.fit.calibration import fit_temperature
from training.fit.evaluation import measure, predict
from training.fit.full import train_full
from training.fit.head import train_head
from training.fit.loading import device
from training.fit.schedule import Schedule
from training.model.export import Calibrated, to_onnx
from training.model.network import Recipe, check_architecture, create

PROOF_PHOTOS = 32

DEFAULT_EPOCHS = {"full": 10, "head": 30}
"""Ten epochs of ``full`` bring the scanned digits to a test accuracy of 0.99; an epoch of ``head`` takes a moment."""

NEW_LAYERS_LR, TRAINED_LAYERS_LR = 1e-3, 1e-4
"""AdamW's usual rate, and a tenth of it where layers that were trained before go on training."""


@dataclass(frozen=True)
class Options:
    """What ``python -m training fit`` was asked for; its help says what each means. None: chosen by the rest."""

    folders: dict[str, Path]
    out: Path
    arch: str = "resnet18"
    weights: str = "none"
    mode: str | None = None
    augment: str | None = None
    epochs: int | None = None
    batch_size: int = 64
    lr: float | None = None
    image_size: int | None = None
    seed: int = 0


def fit(options: Options) -> None:
    """Train, evaluate once on the test split, pack, prove, and only then write the artifact.

    Raises
    ------
    TrainingError
        For whatever the user can put right; nothing is written then, and what was there stays.
    """
    pretrained = options.weights.lower() != "none"
    mode = options.mode or ("head" if pretrained else "full")
    augment = options.augment or ("light" if mode == "full" else "none")
    if mode == "head" and not pretrained:
        raise TrainingError("--mode head trains on what the rest of the network knows: give it --weights, e.g. DEFAULT")
    if mode == "head" and augment != "none":
        raise TrainingError("--mode head reads each photo once, as it is: leave out --augment, or use --mode full")
    schedule = Schedule(
        epochs=options.epochs or DEFAULT_EPOCHS[mode],
        batch_size=options.batch_size,
        lr=options.lr or (TRAINED_LAYERS_LR if mode == "full" and pretrained else NEW_LAYERS_LR),
        seed=options.seed,
    )
    check_architecture(options.arch)
    with workspace(options.out.absolute() / "model") as work:
        found = photos.find(options.folders)
        seen = photos.survey(found)
        with console.status("Fetching what the artifact carries for AWS's container"):
            wheels = package.fetch_wheels(package.pinned_requirements(), package.wheel_cache())
        _seed(options.seed)
        recipe = create(options.arch, options.weights, len(found.classes), options.image_size, seen.side)
        _introduce(found, recipe, mode, augment)

        sets = {split: PixelDataset(each, recipe.rule) for split, each in found.splits.items()}
        train = PixelDataset(found.splits["train"], recipe.rule, augment, options.seed)
        recipe.classifier.to(device())
        learn = train_full if mode == "full" else train_head
        outcome = learn(recipe, train, sets["valid"], schedule)
        temperature = fit_temperature(outcome.validation_logits, outcome.validation_targets)
        validation = measure(outcome.validation_logits, outcome.validation_targets, temperature)
        say("Best", f"epoch {outcome.epoch}, validation accuracy {validation.accuracy:.4f}")
        logits, targets = predict(recipe.classifier, sets["test"], "Testing")
        test = measure(logits, targets, temperature)
        console.print(f"test_accuracy={test.accuracy:.4f} test_loss={test.loss:.4f}", markup=False)

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
            "metrics": {"test": asdict(test), "validation": asdict(validation)},
            "history": [asdict(epoch) for epoch in outcome.history],
            "training": asdict(schedule)
            | {"best_epoch": outcome.epoch, "image_size": recipe.rule.crop, "augment": augment},
            "data": {
                "fingerprint": seen.fingerprint,
                "images": {split: len(each) for split, each in found.splits.items()},
            },
            "export": asdict(proof),
            "versions": {"python": platform.python_version()}
            | {name: version(name) for name in ("torch", "torchvision", "onnx", "onnxruntime", "Pillow", "numpy")},
        }
        (work / "model.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        publish(work, options.out, ["model.tar.gz", "model.safetensors", "model.json"])
    say(
        "Proof",
        f"the packed artifact answers {proof.images} test photos as PyTorch does, "
        f"to {proof.max_probability_difference:.0e}",
    )
    say("Artifact", f"{options.out / 'model.tar.gz'}  {size / 1e6:.1f} MB  sha256 {digest}")
    say("", "beside it: model.json (what it is and how good), model.safetensors (its weights, for --weights)")


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    if torch.cuda.is_available():
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False


def _introduce(found: Photos, recipe: Recipe, mode: str, augment: str) -> None:
    images = {split: len(each) for split, each in found.splits.items()}
    labels = [photos.label(name) for name in found.classes]
    shown = ", ".join(labels if len(labels) <= 12 else [*labels[:5], "...", labels[-1]])
    say(
        "Photos",
        f"{images['train']} to train, {images['valid']} to validate, {images['test']} to test; "
        f"{len(labels)} classes: {shown}",
    )
    side = recipe.rule.crop
    say(
        "Model",
        f"{recipe.architecture}, weights {recipe.weights}, {side} x {side} pixels; training "
        + ("the last layer" if mode == "head" else f"every layer, augmentation {augment}")
        + f", on the {'GPU' if device().type == 'cuda' else 'CPU'}",
    )


def _prove(archive: Path, recipe: Recipe, found: Photos, temperature: float) -> package.Proof:
    """Hold the artifact to PyTorch on test photos from the whole split."""
    test = found.splits["test"]
    chosen = [test[i * len(test) // PROOF_PHOTOS] for i in range(PROOF_PHOTOS)] if len(test) > PROOF_PHOTOS else test
    dataset = PixelDataset(chosen, recipe.rule)
    pixels = torch.stack([dataset[i][0] for i in range(len(chosen))])
    with torch.no_grad():
        expected = Calibrated(recipe.classifier, temperature).eval()(pixels)
    return package.prove(archive, [photo.path for photo in chosen], expected)
