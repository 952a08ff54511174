"""What the user sees of a search: a line for each trial, and the best ones in the end."""

from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from training.common.console import console, say, warn
from training.tuning.request import Request
from training.tuning.space import Numbers, Range
from training.tuning.study import Study, number, rank

SHOWN = 5


def introduce(request: Request, study: Study) -> None:
    """Say what is tried, and how far an earlier search came."""
    say("Search", ", ".join(f"{name} {_range(choice)}" for name, choice in request.space.items()))
    if request.given:
        say("All have", values(request.given))
    ended = len(study.ended())
    at_a_time = "one at a time" if request.parallel == 1 else f"{request.parallel} at a time"
    going_on = f"goes on after {ended}" if ended else "a new one"
    say("Study", f"{request.study}: {going_on}, {request.trials} trials in all, {at_a_time}")


def show(request: Request, trial: FrozenTrial, epochs: int, best: FrozenTrial | None) -> None:
    """Say how a trial ended."""
    about = trial.user_attrs
    accuracy = f"accuracy {about['accuracy']:.4f}, loss {about['loss']:.4f} in epoch {about['epoch']} of {epochs}"
    text = {
        TrialState.COMPLETE: accuracy,
        TrialState.PRUNED: f"ended early: {accuracy}",
        TrialState.FAIL: f"failed: {about['reason']}",
    }[trial.state]
    standing = "" if best is None else f"; best so far {best.user_attrs['accuracy']:.4f} (trial {number(best)})"
    if best is not None and best.number == trial.number:
        standing = "; the best so far"
    place = f"Trial {number(trial)}/{request.trials}"
    say(place, f"{values(trial.params)}: {text}, {about['seconds']:.1f} s{standing}")
    if trial.state == TrialState.COMPLETE:
        warn(about["reason"])


def show_best(study: Study) -> None:
    """Print the best trials as a table, the best first."""
    complete = sorted((trial for trial in study.ended() if trial.state == TrialState.COMPLETE), key=rank, reverse=True)
    table = Table("Trial", "Accuracy", "Loss", "Epoch", *complete[0].params, box=None, pad_edge=False)
    for trial in complete[:SHOWN]:
        about = trial.user_attrs
        table.add_row(
            str(number(trial)),
            f"{about['accuracy']:.4f}",
            f"{about['loss']:.4f}",
            str(about["epoch"]),
            *(_value(value) for value in trial.params.values()),
        )
    console.print(table)
    counts = study.counts()
    say("Trials", f"{counts['complete']} complete, {counts['pruned']} ended early, {counts['failed']} failed")


def values(tried: Mapping[str, Any]) -> str:
    """Return options and their values in words."""
    return ", ".join(f"{name} {_value(value)}" for name, value in tried.items())


def _range(choice: Range) -> str:
    if isinstance(choice, Numbers):
        return f"{_value(choice.low)} to {_value(choice.high)}" + (" (log)" if choice.log else "")
    return " | ".join(choice.values)


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
