"""The study: every trial on disk as it goes, and what to try next.

Optuna (https://optuna.org) chooses and keeps, because it does both a step at a time: it is asked for trials and told of
them, so processes, progress and stopping stay Kennel's. Its journal is one file that only grows, so what is cut short
is at its end; its database would load SQLAlchemy. Its import takes 0.3 s. Ray Tune spreads trials over machines, which
SageMaker's tuning jobs do here, and would bring a cluster to share two cores (Ray 2.57: 196 MB, 13 s to start).
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

from training.common.errors import TrainingError
from training.fit.loop import Epoch
from training.tuning.request import Request
from training.tuning.space import Numbers, Range
from training.tuning.trial import TrialResult

NAME = "kennel"
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
RESULT = ("accuracy", "loss", "epoch", "seconds")
NUMBERS = ("place", "threads", *RESULT)
QUARTER = 25
"""Percent of its epochs that a trial has at least: before, the learning rate still rises."""

STARTUP = 5
"""Trials that are not pruned, for want of others to compare with: Optuna's number."""


class Study:
    """Asked for trials, and told how they end.

    A trial has a place, counted from 0: it decides the random numbers that choose its values, beside the trials that
    ended before it. So a search that is stopped and goes on tries what it would have tried, one trial at a time.
    """

    def __init__(self, study: optuna.Study, request: Request) -> None:
        self._study, self._request = study, request
        self._distributions = {name: _distribution(values) for name, values in request.space.items()}

    def whole(self) -> bool:
        """Return whether the file tells of each trial all that ``ask`` and ``tell`` wrote."""
        return self._study.directions == [optuna.study.StudyDirection.MAXIMIZE] and all(
            trial.params.keys() == self._distributions.keys()
            and all(isinstance(trial.user_attrs.get(name), int | float) for name in NUMBERS)
            and (trial.state != TrialState.FAIL or "reason" in trial.user_attrs)
            for trial in self.ended()
        )

    def ended(self) -> list[FrozenTrial]:
        """Return the trials that count, as they ended."""
        trials = self._study.get_trials(deepcopy=False, states=tuple(STATES.values()))
        return [trial for trial in trials if not trial.user_attrs.get("interrupted")]

    def best(self) -> FrozenTrial | None:
        """Return the trial with the best validation accuracy, the lower loss deciding between equals."""
        complete = [trial for trial in self.ended() if trial.state == TrialState.COMPLETE]
        return max(complete, key=rank, default=None)

    def counts(self) -> dict[str, int]:
        """Return how many trials ended in which way."""
        states = [trial.state for trial in self.ended()]
        return {name: states.count(state) for name, state in STATES.items()}

    def ask(self) -> Trial:
        """Return the next trial, running."""
        kept = self._study.get_trials(deepcopy=False)
        taken = {trial.user_attrs.get("place") for trial in kept if not trial.user_attrs.get("interrupted")}
        place = next(number for number in range(len(kept) + 1) if number not in taken)
        seed = hashlib.sha256(f"{self._request.base.seed} {place}".encode()).digest()[:4]
        self._study.sampler = optuna.samplers.TPESampler(
            seed=int.from_bytes(seed), constant_liar=self._request.parallel > 1
        )
        if place == 0:
            self._study.enqueue_trial(self._request.defaults(), skip_if_exists=True)
        trial = self._study.ask(self._distributions)
        trial.set_user_attr("place", place)
        trial.set_user_attr("threads", self._request.threads)
        return trial

    def should_continue(self, trial: Trial, epoch: Epoch, epochs: int) -> bool:
        """Record an epoch, and return whether the trial is worth another one.

        Trials are compared where they have had the same share of their epochs, so the same part of the learning rate's
        curve, however many epochs each has.
        """
        if epoch.number == epochs:
            return True
        percent, before = (100 * number // epochs for number in (epoch.number, epoch.number - 1))
        if percent == before:
            return True
        trial.report(epoch.validation.accuracy, percent)
        return not trial.should_prune()

    def tell(self, trial: Trial, result: TrialResult) -> FrozenTrial:
        """Record how a trial ended."""
        for name in (*RESULT, "reason"):
            trial.set_user_attr(name, getattr(result, name))
        value = result.accuracy if result.state == "complete" else None
        return self._study.tell(trial, value, STATES[result.state])

    def manifest(self) -> dict[str, Any]:
        """Return what the manifest says of the search."""
        best = self.best()
        return {
            "study": self._request.study.name,
            "library": f"optuna {optuna.__version__}",
            "pruning": self._request.pruning,
            "trials": self.counts(),
            "space": {name: vars(values) for name, values in self._request.space.items()},
            "best": best
            and {
                "trial": number(best),
                "parameters": best.params,
                "validation_accuracy": best.user_attrs["accuracy"],
                "validation_loss": best.user_attrs["loss"],
                "epoch": best.user_attrs["epoch"],
                "threads": best.user_attrs["threads"],
            },
        }


def number(trial: FrozenTrial | Trial) -> int:
    """Return which trial it is, counted from 1."""
    return int(trial.user_attrs["place"]) + 1


def rank(trial: FrozenTrial) -> tuple[float, float, int]:
    """Return what orders complete trials: the larger, the better."""
    return trial.user_attrs["accuracy"], -trial.user_attrs["loss"], -number(trial)


@contextmanager
def open_study(request: Request, photos: str) -> Iterator[Study]:
    """Open the study of a request, or begin it; nobody else can meanwhile.

    Parameters
    ----------
    photos
        Fingerprint of the data.

    Raises
    ------
    TrainingError
        The file is something else, in use, damaged, or a study of something else.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = request.study
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+b") as locked:
        _lock(file, locked)
        _mend(file, locked)
        try:
            storage = JournalStorage(JournalFileBackend(str(file), _Locked(str(file))))
            if NAME in optuna.get_all_study_names(storage):
                study = optuna.load_study(study_name=NAME, storage=storage, pruner=_pruner(request.pruning))
            else:
                study = optuna.create_study(
                    study_name=NAME, storage=storage, pruner=_pruner(request.pruning), direction="maximize"
                )
            identity = study.user_attrs.get("identity")
        except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
            raise TrainingError(f"{file} is damaged ({error}); remove it, or give another --study") from error
        expected = json.loads(json.dumps(request.identity(photos) | {"seed": request.base.seed}))
        if identity is None:
            study.set_user_attr("identity", expected)
        elif different := [word for word in expected if expected[word] != identity.get(word)]:
            raise TrainingError(f"{file} is a study with another {different[0]}: remove it, or give another --study")
        made = Study(study, request)
        if not made.whole():
            raise TrainingError(f"{file} is damaged (a line of a trial is missing); remove it, or give another --study")
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            storage.set_trial_user_attr(trial._trial_id, "interrupted", True)
            storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        yield made


class _Locked(JournalFileOpenLock):
    """The file is locked for as long as the search lasts, and by the kernel, which lets go of it with the process."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _lock(file: Path, locked: IO[bytes]) -> None:
    try:
        fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise TrainingError(f"{file} is in use by another search; wait for it, or give another --study") from None


def _mend(file: Path, locked: IO[bytes]) -> None:
    """Cut off a line that was not written to its end; leave a file alone that is no study."""
    locked.seek(0)
    first = locked.readline()
    if first and not first.startswith(b'{"op_code":'[: len(first)]):
        raise TrainingError(f"{file} is no study; give another --study")
    size = locked.seek(0, os.SEEK_END)
    locked.seek(0)
    whole = sum(len(line) for line in locked if line.endswith(b"\n"))
    if whole < size:
        locked.truncate(whole)
        os.fsync(locked.fileno())


def _distribution(values: Range) -> BaseDistribution:
    if not isinstance(values, Numbers):
        return CategoricalDistribution(values.values)
    if values.whole:
        return IntDistribution(int(values.low), int(values.high), values.log)
    return FloatDistribution(values.low, values.high, values.log)


def _pruner(name: str) -> optuna.pruners.BasePruner:
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=QUARTER)
    if name == "asha":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=QUARTER, reduction_factor=2)
    return optuna.pruners.NopPruner()
