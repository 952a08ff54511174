"""One fit from beginning to end: photos in, a proven artifact beside its manifest out."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save

from training.artifact.layout import pinned_requirements
from training.artifact.wheels import fetch_wheels, wheel_cache
from training.common.console import console, say, warn
from training.common.errors import TrainingError
from training.common.files import cache_folder, workspace
from training.fit import distributed
from training.fit.learning import Learned, Task, learn, look, settle
from training.fit.options import Options
from training.fit.stopping import stopping
from training.metrics.assessment import assess
from training.model.network import Recipe
from training.pipeline.pack import WEIGHTS, pack, write_weights
from training.report.measurement import Findings, photos_digest
from training.report.thumbnails import worst

RESCUED = "trained.safetensors"
UNMEASURED = "there is no test split: nothing is known of the model's accuracy, and it cannot be deployed"


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
    chosen = settle(options)
    with stopping() as stop, _workspace(options.out) as work:
        task = look(options, chosen)
        if distributed.primary():
            with console.status("Fetching what the artifact carries for AWS's container"):
                wheels = fetch_wheels(pinned_requirements(), wheel_cache())
        learned = learn(task, stop)
        findings = _measure(task, learned)
        if not distributed.primary():
            return

        say("Test", UNMEASURED if findings is None else str(findings))
        if findings is not None:
            warn(findings.warning)
        facts = _facts(task, learned) | dict(about or {})
        to_prove, mode = task.found.splits.get("test") or task.found.splits["valid"], chosen.mode
        recipe, classes, temperature = learned.recipe, task.found.classes, learned.temperature
        with _rescued(work, options.out, recipe):
            pack(work, options.out, recipe, classes, mode, temperature, wheels, to_prove, findings, facts)


@contextmanager
def _workspace(out: Path) -> Iterator[Path]:
    """Lend a folder beside what is to be written, to the process that writes it."""
    if distributed.primary():
        with workspace(out.absolute() / "model") as work:
            yield work
    else:
        yield out


@contextmanager
def _rescued(work: Path, out: Path, recipe: Recipe) -> Iterator[None]:
    """Keep what was learnt where it cannot be packed: a full disk is to cost no hours of training."""
    try:
        yield
    except (OSError, TrainingError) as error:
        if isinstance(error, TrainingError) and not isinstance(error.__cause__, OSError):
            raise
        kept = _rescue(work, out, recipe)
        raise TrainingError(
            f"{error}; the trained weights are kept: `./kennel package --from {kept} --data DIR --out DIR` packs them"
            if kept
            else f"{error}; there was no room for the trained weights either"
        ) from error


def _rescue(work: Path, out: Path, recipe: Recipe) -> Path | None:
    """Return the file that the weights are in now: beside the artifact's place, or on another disk."""
    kept = out / RESCUED
    with suppress(OSError):
        (work / WEIGHTS).replace(kept)  # on the same disk, so that it takes no room
        return kept
    for folder in (cache_folder(), Path(tempfile.gettempdir())):
        kept = folder / RESCUED
        with suppress(OSError):
            write_weights(kept, save(recipe.classifier.network.state_dict(), recipe.metadata()))
            return kept
    return None


def _measure(task: Task, learned: Learned) -> Findings | None:
    """Look at the test split, if there is one."""
    if learned.test is None:
        return None
    logits, targets = learned.test()
    test = assess(logits, targets, learned.temperature)
    console.print(
        f"test_accuracy={test.accuracy:.4f} test_loss={test.loss:.4f} "
        f"test_balanced_accuracy={test.balanced_accuracy:.4f} test_macro_f1={test.macro_f1:.4f}",
        markup=False,
    )
    mistakes = worst(task.found.splits["test"], logits, learned.temperature)
    return Findings("test", test, mistakes, photos_digest(task.seen.digests["test"]), learned.validation)


def _facts(task: Task, learned: Learned) -> dict[str, Any]:
    """Return what the manifest says of the training and its photos."""
    outcome, chosen = learned.outcome, task.chosen
    return {
        "history": [asdict(epoch) for epoch in outcome.history],
        "training": asdict(chosen.schedule)
        | {"best_epoch": outcome.epoch, "image_size": learned.recipe.rule.crop, "augment": chosen.augment}
        | ({"views": task.options.views} if chosen.mode == "head" else {})
        | outcome.settings,
        "speed": outcome.speed | {"processes": distributed.size()},
        "data": {
            "fingerprint": task.seen.fingerprint,
            **_division(task.options),
            "images": {split: len(each) for split, each in task.found.splits.items()},
            "findings": task.seen.findings,
        },
    }


def _division(options: Options) -> dict[str, Any]:
    """Return how the photos were divided, if they were."""
    return {} if options.split is None else {"split": {"shares": str(options.split), "seed": options.seed}}
