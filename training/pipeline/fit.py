"""One fit from beginning to end: photos in, a proven artifact beside its manifest out."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from training.artifact.layout import pinned_requirements
from training.artifact.wheels import fetch_wheels, wheel_cache
from training.common.console import console, say, warn
from training.common.files import workspace
from training.fit import distributed
from training.fit.learning import Learned, Task, learn, look, settle
from training.fit.options import Options
from training.fit.stopping import stopping
from training.metrics.assessment import Assessment, assess
from training.pipeline.pack import pack
from training.report.measurement import Findings, photos_digest
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
    chosen = settle(options)
    with stopping() as stop, _workspace(options.out) as work:
        task = look(options, chosen)
        if distributed.primary():
            with console.status("Fetching what the artifact carries for AWS's container"):
                wheels = fetch_wheels(pinned_requirements(), wheel_cache())
        learned = learn(task, stop)
        logits, targets = learned.test()
        test = assess(logits, targets, learned.temperature)
        console.print(f"test_accuracy={test.accuracy:.4f} test_loss={test.loss:.4f}", markup=False)
        if not distributed.primary():
            return

        findings = _findings(task, learned, test, logits)
        say("Test", str(findings))
        warn(findings.warning)
        facts = _facts(task, learned) | dict(about or {})
        to_prove, mode = task.found.splits["test"], chosen.mode
        recipe, classes, temperature = learned.recipe, task.found.classes, learned.temperature
        pack(work, options.out, recipe, classes, mode, temperature, wheels, to_prove, findings, facts)


@contextmanager
def _workspace(out: Path) -> Iterator[Path]:
    """Lend a folder beside what is to be written, to the process that writes it."""
    if distributed.primary():
        with workspace(out.absolute() / "model") as work:
            yield work
    else:
        yield out


def _findings(task: Task, learned: Learned, test: Assessment, logits: Tensor) -> Findings:
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
            "images": {split: len(each) for split, each in task.found.splits.items()},
            "findings": task.seen.findings,
        },
    }
