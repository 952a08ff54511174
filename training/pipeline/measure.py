"""How good a model is: calibrated on the validation split, measured on the test split."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
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
from training.fit.options import TrainConfig
from training.metrics.assessment import Assessment, assess
from training.metrics.calibration import fit_temperature
from training.metrics.commonest import no_better
from training.model.network import Recipe
from training.report.measurement import Findings, photos_digest
from training.report.thumbnails import worst

UNMEASURED = "there is no test split: nothing is known of the model's accuracy, and it cannot be deployed"


@dataclass(frozen=True)
class Evaluation:
    """How good a model is.

    Parameters
    ----------
    temperature
        Calibrates the model: it divides the logits.
    findings
        What the test split says; None without such a split.
    """

    temperature: float
    findings: Findings | None


def evaluate(dataset: Dataset, result: TrainResult, config: TrainConfig) -> Evaluation:
    """Calibrate the best epoch, and look at the test split, if there is one, for the first and only time."""
    temperature, validation = validate(result, config)
    if "test" not in dataset.photos.splits or result.predict is None:
        say("Test", UNMEASURED)
        return Evaluation(temperature, None)
    logits, _ = result.predict("test")
    findings = _of_test(dataset, logits, temperature, validation)
    test = findings.assessment
    console.print(
        f"test_accuracy={test.accuracy:.4f} test_loss={test.loss:.4f} "
        f"test_balanced_accuracy={test.balanced_accuracy:.4f} test_macro_f1={test.macro_f1:.4f}",
        markup=False,
    )
    say("Test", str(findings))
    warn(findings.warning)
    return Evaluation(temperature, findings)


def validate(result: TrainResult, config: TrainConfig) -> tuple[float, Assessment]:
    """Return the temperature that calibrates the best epoch, and how good it is on the validation split."""
    temperature, validation = _calibrate(result.validation_logits, result.validation_targets)
    epochs, done = config.schedule.epochs, len(result.history)
    if done < epochs:
        say("Early end", f"after epoch {done} of {epochs}: --patience is at its end")
    say("Best", f"epoch {result.epoch}, validation accuracy {validation.accuracy:.4f}; {validation.by_class}")
    warn(no_better(validation.accuracy, validation.confusion.sum(1).tolist()))
    # A tuning job takes a metric's last value: this is of the weights that were kept, not of the last epoch's.
    console.print(f"valid_accuracy={validation.accuracy:.4f}", markup=False)
    return temperature, validation


def measure(network: Recipe, dataset: Dataset) -> Evaluation:
    """Calibrate a model from elsewhere on the validation split, and measure it on the test split."""
    network.classifier.to(device())
    sets = {split: PixelDataset(dataset.photos.splits[split], network.rule) for split in ("valid", "test")}
    temperature, validation = _calibrate(*predict_together(network.classifier, sets["valid"], "Validating"))
    logits, _ = predict_together(network.classifier, sets["test"], "Testing")
    findings = _of_test(dataset, logits, temperature, validation)
    say("Test", f"accuracy {findings.assessment.accuracy:.4f}, {findings.assessment.by_class}: {findings}")
    warn(findings.warning)
    return Evaluation(temperature, findings)


def _calibrate(logits: Tensor, targets: Tensor) -> tuple[float, Assessment]:
    temperature = fit_temperature(logits, targets)
    return temperature, assess(logits, targets, temperature)


def _of_test(dataset: Dataset, logits: Tensor, temperature: float, validation: Assessment) -> Findings:
    photos = dataset.photos.splits["test"]
    targets = torch.tensor([photo.target for photo in photos])
    mistakes = worst(photos, logits, temperature)
    digest = photos_digest(dataset.survey.digests["test"])
    return Findings("test", assess(logits, targets, temperature), mistakes, digest, validation)


def find_photos(folders: dict[str, Path], names: list[str]) -> Photos:
    """List the photos, with the classes in the order of the model's output.

    Raises
    ------
    TrainingError
        The classes are not the model's.
    """
    listed = photos.find(folders)
    model_classes = [canonical(name) for name in names]
    for mine, others, what in (
        (model_classes, listed.classes, "has no photos of"),
        (listed.classes, model_classes, "has photos of"),
    ):
        if only := [name for name in mine if name not in others]:
            but = "" if mine is model_classes else ", which the model does not know"
            raise TrainingError(f"{folders['test']} {what} {visible(only[0])}{but} ({len(only)} such classes)")
    order = [model_classes.index(name) for name in listed.classes]
    splits = {
        split: [replace(photo, target=order[photo.target]) for photo in of_split]
        for split, of_split in listed.splits.items()
    }
    return replace(listed, classes=tuple(names), splits=splits)
