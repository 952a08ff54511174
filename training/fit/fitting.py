"""One fit from beginning to end: photos in, a proven artifact beside its manifest out."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from training.artifact.layout import pinned_requirements
from training.artifact.packing import pack
from training.artifact.wheels import fetch_wheels, wheel_cache
from training.console import console, say
from training.data import photos
from training.data.photos import Photos, PixelDataset, Survey
from training.errors import TrainingError
from training.files import sha256, workspace
from training.fit import distributed
from training.fit.assessment import assess
from training.fit.calibration import fit_temperature
from training.fit.checkpoints import Checkpoints
from training.fit.features import FeatureBank, Views
from training.fit.frozen import last_layer
from training.fit.full import train_full
from training.fit.head import answer, train_head
from training.fit.loading import device, set_seed
from training.fit.options import Options, Plan, plan
from training.fit.prediction import predict_together
from training.fit.speed import choose_precision
from training.fit.stopping import stopping
from training.model.network import Recipe, check_architecture, create
from training.report.findings import Findings, photos_digest
from training.report.thumbnails import worst


def fit(options: Options, about: Mapping[str, Any] | None = None) -> None:
    """Train, evaluate once on the test split, pack, prove, and only then write the artifact.

    Parameters
    ----------
    about
        What else the manifest is to say.

    Raises
    ------
    TrainingError
        For whatever the user can put right; nothing is written then, and what was there stays.
    Stopped
        By SIGTERM.
    """
    chosen = plan(options)
    check_architecture(options.arch)
    with stopping() as stop, _workspace(options.out) as work:
        _look_for_checkpoints(options)
        found = photos.find(options.folders)
        seen = _survey(found)
        if distributed.primary():
            with console.status("Fetching what the artifact carries for AWS's container"):
                wheels = fetch_wheels(pinned_requirements(), wheel_cache())
        set_seed(options.seed)
        recipe = distributed.once_for_each_machine(
            lambda: create(options.arch, options.weights, len(found.classes), options.image_size, seen.side)
        )
        _introduce(found, recipe, chosen)

        sets = {split: PixelDataset(each, recipe.rule) for split, each in found.splits.items()}
        train = PixelDataset(found.splits["train"], recipe.rule, chosen.augment, options.seed)
        recipe.classifier.to(device())
        precision = options.precision or distributed.share(choose_precision(recipe.rule.crop))
        if chosen.mode == "full":
            checkpoints = _checkpoints(options, chosen, recipe, seen, precision)
            outcome = train_full(recipe, train, sets["valid"], chosen.schedule, precision, checkpoints, stop)
        else:
            views = Views(options.views, chosen.augment, options.seed)
            bank = FeatureBank(recipe, found, options.features or wheel_cache() / "features", precision, views)
            head = last_layer(recipe)
            outcome = replace(train_head(head, bank["train"], bank["valid"], chosen.schedule), speed=bank.facts)
        temperature = fit_temperature(outcome.validation_logits, outcome.validation_targets)
        validation = assess(outcome.validation_logits, outcome.validation_targets, temperature)
        say("Best", f"epoch {outcome.epoch}, validation accuracy {validation.accuracy:.4f}")
        if chosen.mode == "full":
            logits, targets = predict_together(recipe.classifier, sets["test"], "Testing")
        else:
            logits, targets = answer(head, bank["test"])
        test = assess(logits, targets, temperature)
        console.print(f"test_accuracy={test.accuracy:.4f} test_loss={test.loss:.4f}", markup=False)
        if not distributed.primary():
            return

        mistakes = worst(found.splits["test"], logits, temperature)
        findings = Findings("test", test, mistakes, photos_digest(seen.digests["test"]), validation)
        say("Test", str(findings))
        facts = {
            "history": [asdict(epoch) for epoch in outcome.history],
            "training": asdict(chosen.schedule)
            | {"best_epoch": outcome.epoch, "image_size": recipe.rule.crop, "augment": chosen.augment},
            "speed": outcome.speed | {"processes": distributed.size()},
            "data": {
                "fingerprint": seen.fingerprint,
                "images": {split: len(each) for split, each in found.splits.items()},
                "findings": seen.findings,
            },
            **(about or {}),
        }
        to_prove = found.splits["test"]
        pack(work, options.out, recipe, found.classes, chosen.mode, temperature, wheels, to_prove, findings, facts)


@contextmanager
def _workspace(out: Path) -> Iterator[Path]:
    """Lend a folder beside what is to be written, to the process that writes it."""
    if distributed.primary():
        with workspace(out.absolute() / "model") as work:
            yield work
    else:
        yield out


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


def _checkpoints(options: Options, chosen: Plan, recipe: Recipe, seen: Survey, precision: str) -> Checkpoints | None:
    if options.checkpoints is None:
        return None
    identity = asdict(chosen.schedule) | {
        "architecture": recipe.architecture,
        "weights": sha256(Path(options.weights)) if Path(options.weights).is_file() else options.weights,
        "photos": seen.fingerprint,
        "augment": chosen.augment,
        "image size": recipe.rule.crop,
        "precision": precision,
    }
    return Checkpoints(options.checkpoints, identity, options.checkpoint_minutes, options.checkpoint_steps)


def _introduce(found: Photos, recipe: Recipe, chosen: Plan) -> None:
    images = {split: len(each) for split, each in found.splits.items()}
    labels = [photos.label(name) for name in found.classes]
    shown = ", ".join(labels if len(labels) <= 12 else [*labels[:5], "...", labels[-1]])
    say(
        "Photos",
        f"{images['train']} to train, {images['valid']} to validate, {images['test']} to test; "
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
