"""How good a finished model is, on photos that are laid out as ``fit`` has them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from training.common.console import console, say, warn
from training.common.errors import TrainingError
from training.data import photos
from training.data.labels import canonical, visible
from training.data.photos import Photos, PixelDataset
from training.fit.dataset import Dataset
from training.fit.evaluation import predict_together
from training.fit.loading import device
from training.fit.loop import TrainResult
from training.fit.train import Validation
from training.metrics.assessment import assess
from training.metrics.calibration import fit_temperature
from training.model.network import Recipe
from training.report.measurement import Findings, photos_digest
from training.report.thumbnails import worst

UNMEASURED = "there is no test split: nothing is known of the model's accuracy, and it cannot be deployed"


@dataclass(frozen=True)
class Measurement:
    """What was measured, if anything was; ``facts`` as the manifest has them."""

    temperature: float
    findings: Findings | None
    facts: Mapping[str, Any]


def evaluate(dataset: Dataset, result: TrainResult, validation: Validation) -> Findings | None:
    """Look at the test split, if there is one, for the first and only time, and print what it says."""
    if "test" not in dataset.photos.splits or result.predict is None:
        say("Test", UNMEASURED)
        return None
    findings = _findings(dataset, *result.predict("test"), validation)
    test = findings.assessment
    console.print(
        f"test_accuracy={test.accuracy:.4f} test_loss={test.loss:.4f} "
        f"test_balanced_accuracy={test.balanced_accuracy:.4f} test_macro_f1={test.macro_f1:.4f}",
        markup=False,
    )
    say("Test", str(findings))
    warn(findings.warning)
    return findings


def measure(network: Recipe, dataset: Dataset) -> Measurement:
    """Fit the temperature of a model from elsewhere on the validation split, and measure it on the test split."""
    network.classifier.to(device())
    sets = {split: PixelDataset(dataset.photos.splits[split], network.rule) for split in ("valid", "test")}
    logits, targets = predict_together(network.classifier, sets["valid"], "Validating")
    temperature = fit_temperature(logits, targets)
    validation = Validation(temperature, assess(logits, targets, temperature))
    findings = _findings(dataset, *predict_together(network.classifier, sets["test"], "Testing"), validation)
    say("Test", f"accuracy {findings.assessment.accuracy:.4f}, {findings.assessment.by_class}: {findings}")
    warn(findings.warning)
    return Measurement(temperature, findings, {"data": dataset.facts()})


def _findings(dataset: Dataset, logits: Tensor, targets: Tensor, validation: Validation) -> Findings:
    test = assess(logits, targets, validation.temperature)
    mistakes = worst(dataset.photos.splits["test"], logits, validation.temperature)
    digest = photos_digest(dataset.survey.digests["test"])
    return Findings("test", test, mistakes, digest, validation.assessment)


def find_photos(folders: dict[str, Path], names: list[str]) -> Photos:
    """List the photos, with the classes in the order of the model's output.

    Raises
    ------
    TrainingError
        The classes are not the model's.
    """
    found = photos.find(folders)
    known = [canonical(name) for name in names]
    for mine, others, what in (
        (known, found.classes, "has no photos of"),
        (found.classes, known, "has photos of"),
    ):
        if only := [name for name in mine if name not in others]:
            but = "" if mine is known else ", which the model does not know"
            raise TrainingError(f"{folders['test']} {what} {visible(only[0])}{but} ({len(only)} such classes)")
    order = [known.index(name) for name in found.classes]
    splits = {
        split: [replace(photo, target=order[photo.target]) for photo in listed]
        for split, listed in found.splits.items()
    }
    return replace(found, classes=tuple(names), splits=splits)
