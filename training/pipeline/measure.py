"""How good a finished model is, on photos that are laid out as ``fit`` has them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.common.console import say, warn
from training.common.errors import TrainingError
from training.data import photos
from training.data.labels import canonical, visible
from training.data.photos import Photos, PixelDataset
from training.fit.evaluation import predict_together
from training.fit.loading import device
from training.metrics.assessment import assess
from training.metrics.calibration import fit_temperature
from training.model.network import Recipe
from training.report.measurement import Findings, photos_digest
from training.report.thumbnails import worst


@dataclass(frozen=True)
class Trial:
    """What was measured, if anything was; ``facts`` as the manifest has them."""

    temperature: float
    findings: Findings | None
    facts: Mapping[str, Any]


def look(folders: dict[str, Path], names: list[str]) -> Photos:
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
        split: [replace(photo, target=order[photo.target]) for photo in each] for split, each in found.splits.items()
    }
    return replace(found, classes=tuple(names), splits=splits)


def try_out(recipe: Recipe, found: Photos) -> Trial:
    """Fit the temperature on the validation split, and measure the model on the test split."""
    seen = photos.survey(found)
    recipe.classifier.to(device())
    sets = {split: PixelDataset(found.splits[split], recipe.rule) for split in ("valid", "test")}
    logits, targets = predict_together(recipe.classifier, sets["valid"], "Validating")
    temperature = fit_temperature(logits, targets)
    validation = assess(logits, targets, temperature)
    logits, targets = predict_together(recipe.classifier, sets["test"], "Testing")
    test = assess(logits, targets, temperature)
    mistakes = worst(found.splits["test"], logits, temperature)
    findings = Findings("test", test, mistakes, photos_digest(seen.digests["test"]), validation)
    say("Test", f"accuracy {test.accuracy:.4f}, {test.by_class}: {findings}")
    warn(findings.warning)
    images = {split: len(each) for split, each in found.splits.items()}
    return Trial(
        temperature,
        findings,
        {"data": {"fingerprint": seen.fingerprint, "images": images, "findings": seen.findings}},
    )
