"""What a fit and a trial of a tuning job have in common: photos in, a model that has not seen the test split."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor

from training.artifact.wheels import wheel_cache
from training.common.console import console, say, warn
from training.common.errors import TrainingError
from training.common.files import sha256
from training.data import photos
from training.data.photos import Photos, PixelDataset, Survey
from training.fit import distributed
from training.fit.checkpoints import Checkpoints
from training.fit.evaluation import predict_together
from training.fit.features import FeatureBank, Views
from training.fit.frozen import last_layer
from training.fit.full import train_full
from training.fit.head import answer, train_head
from training.fit.loading import device, set_seed
from training.fit.loop import Outcome
from training.fit.options import Options, Plan, plan
from training.fit.schedule import Schedule
from training.fit.speed import choose_precision
from training.fit.stopping import Stop, stopping
from training.metrics.assessment import Assessment, assess
from training.metrics.calibration import fit_temperature
from training.metrics.commonest import no_better
from training.model.network import Recipe, check_architecture, create

Ask: TypeAlias = Callable[[], tuple[Tensor, Tensor]]
"""Returns a model's logits for a split, and the split's targets: shapes [photos, classes] and [photos]."""


@dataclass(frozen=True)
class Task:
    """What is to be learnt, and the photos that were found for it."""

    options: Options
    chosen: Plan
    found: Photos
    seen: Survey


@dataclass(frozen=True)
class Learned:
    """A model with the weights that were best on the validation split.

    Parameters
    ----------
    test
        Of the test split, which nobody has looked at until it is called; None without such a split.
    """

    recipe: Recipe
    outcome: Outcome
    temperature: float
    validation: Assessment
    test: Ask | None


def try_out(options: Options) -> None:
    """Train and validate, and leave nothing but what is printed: a trial, of which a tuning job takes the metric.

    Raises
    ------
    TrainingError, Stopped
        As by ``fit``.
    """
    chosen = settle(options)
    with stopping() as stop:
        learn(look(options, chosen), stop)


def settle(options: Options) -> Plan:
    """Choose what was left open, before anything is read or written.

    Raises
    ------
    TrainingError
        The options do not fit each other.
    """
    chosen = plan(options)
    check_architecture(options.arch)
    return chosen


def look(options: Options, chosen: Plan) -> Task:
    """Read every photo once.

    Raises
    ------
    TrainingError
        They cannot be learnt from, or there are checkpoints that nobody said are to be gone on from.
    """
    _look_for_checkpoints(options)
    found = photos.find(options.folders)
    return Task(options, chosen, found, _survey(found))


def learn(task: Task, stop: Stop) -> Learned:
    """Train on the training split, choose and calibrate on the validation split.

    Raises
    ------
    TrainingError
        For whatever the user can put right.
    Stopped
        By SIGTERM.
    """
    options, chosen, found = task.options, task.chosen, task.found
    set_seed(options.seed)
    recipe = distributed.once_for_each_machine(
        lambda: create(
            options.arch,
            options.weights,
            len(found.classes),
            options.image_size,
            task.seen.side,
            options.weights_key,
        )
    )
    _introduce(found, recipe, chosen)
    recipe.classifier.to(device())
    precision = options.precision or distributed.share(choose_precision(recipe.classifier, recipe.rule.crop))
    if chosen.mode == "full":
        outcome, test = _every_layer(task, recipe, precision, stop)
    else:
        outcome, test = _last_layer(task, recipe, precision)
    temperature = fit_temperature(outcome.validation_logits, outcome.validation_targets)
    validation = assess(outcome.validation_logits, outcome.validation_targets, temperature)
    if len(outcome.history) < chosen.schedule.epochs:
        say("Early end", f"after epoch {len(outcome.history)} of {chosen.schedule.epochs}: --patience is at its end")
    say("Best", f"epoch {outcome.epoch}, validation accuracy {validation.accuracy:.4f}; {validation.by_class}")
    warn(no_better(validation.accuracy, validation.confusion.sum(1).tolist()))
    # A tuning job takes a metric's last value: this is of the weights that were kept, not of the last epoch's.
    console.print(f"valid_accuracy={validation.accuracy:.4f}", markup=False)
    return Learned(recipe, outcome, temperature, validation, test)


def _every_layer(task: Task, recipe: Recipe, precision: str, stop: Stop) -> tuple[Outcome, Ask | None]:
    splits, chosen = task.found.splits, task.chosen
    train = PixelDataset(splits["train"], recipe.rule, chosen.augment, task.options.seed)
    valid = PixelDataset(splits["valid"], recipe.rule)
    checkpoints = _checkpoints(task, recipe, precision)
    outcome = train_full(recipe, train, valid, chosen.schedule, precision, checkpoints, stop)
    if "test" not in splits:
        return outcome, None
    return outcome, lambda: predict_together(recipe.classifier, PixelDataset(splits["test"], recipe.rule), "Testing")


def _last_layer(task: Task, recipe: Recipe, precision: str) -> tuple[Outcome, Ask | None]:
    options, chosen = task.options, task.chosen
    views = Views(options.views, chosen.augment, options.seed)
    bank = FeatureBank(recipe, task.found, options.features or wheel_cache() / "features", precision, views)
    head = last_layer(recipe)
    outcome = replace(train_head(head, bank["train"], bank["valid"], chosen.schedule), speed=bank.facts)
    return outcome, (lambda: answer(head, bank["test"])) if "test" in task.found.splits else None


def _survey(found: Photos) -> Survey:
    """Read every photo, once on each machine."""
    if distributed.size() == 1:
        return photos.survey(found)
    mine = asdict(photos.survey(found)) if distributed.first_here() else None
    surveys = [Survey(**each) for each in distributed.everyone(mine) if each is not None]
    if any(each.fingerprint != surveys[0].fingerprint for each in surveys):
        raise TrainingError("the machines do not hold the same photos: each process needs all of them")
    return surveys[0]


def _look_for_checkpoints(options: Options) -> None:
    """Refuse a folder of checkpoints that cannot be written, or that nobody said is to be gone on from."""
    if options.checkpoints is None or not distributed.primary():
        return
    folder = Checkpoints(options.checkpoints, {})
    folder.prepare()
    if folder.exist() and not options.resume:
        raise TrainingError(
            f"{options.checkpoints} holds checkpoints: --resume goes on from them; without it, remove them or give "
            "another folder"
        )


def _checkpoints(task: Task, recipe: Recipe, precision: str) -> Checkpoints | None:
    options = task.options
    if options.checkpoints is None:
        return None
    identity = _settings(task.chosen.schedule) | {
        "architecture": recipe.architecture,
        "weights": sha256(Path(options.weights)) if Path(options.weights).is_file() else options.weights,
        "photos": task.seen.fingerprint,
        "augment": task.chosen.augment,
        "image size": recipe.rule.crop,
        "precision": precision,
        **({} if options.weights_key is None else {"weights key": options.weights_key}),
    }
    return Checkpoints(options.checkpoints, identity, options.checkpoint_minutes, options.checkpoint_steps)


def _settings(schedule: Schedule) -> dict[str, Any]:
    """Return what decides the result; what is newer than the version before only where it is asked for."""
    newer: dict[str, Any] = {"class_weights": "none", "patience": None}
    return {name: value for name, value in asdict(schedule).items() if name not in newer or value != newer[name]}


def _introduce(found: Photos, recipe: Recipe, chosen: Plan) -> None:
    images = {split: len(each) for split, each in found.splits.items()}
    labels = [photos.label(name) for name in found.classes]
    shown = ", ".join(labels if len(labels) <= 12 else [*labels[:5], "...", labels[-1]])
    say(
        "Photos",
        f"{images['train']} to train, {images['valid']} to validate, {images.get('test', 'none')} to test; "
        f"{len(labels)} classes: {shown}",
    )
    side, size = recipe.rule.crop, distributed.size()
    say(
        "Model",
        f"{recipe.architecture}, weights {recipe.weights}, {side} x {side} pixels; training "
        + ("the last layer" if chosen.mode == "head" else f"every layer, augmentation {chosen.augment}")
        + f", on the {'GPU' if device().type == 'cuda' else 'CPU'}"
        + (f", in {size} processes" if size > 1 else ""),
    )
