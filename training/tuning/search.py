"""A search from beginning to end: trials, and then one fit with the best of them."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import torch
from optuna.trial import FrozenTrial, Trial

from training.artifact.layout import pinned_requirements
from training.artifact.wheels import fetch_wheels, wheel_cache
from training.common.console import console, say
from training.common.errors import AlreadyTold, Stopped, TrainingError
from training.common.files import workspace
from training.data import photos
from training.data.photos import Photos, Survey
from training.fit.loop import Epoch
from training.fit.options import plan
from training.fit.stopping import stopping
from training.model.network import create
from training.pipeline.fit import fit
from training.tuning.progress import introduce, show, show_best
from training.tuning.request import Request
from training.tuning.study import Study, number, opened
from training.tuning.trial import Ending, Trainer, attempt
from training.tuning.workers import Worker, heard, working


def tune(request: Request) -> None:
    """Try what the study has not yet tried, then fit with the best and write the artifact.

    Raises
    ------
    TrainingError
        For whatever the user can put right, or if no trial gave a model.
    AlreadyTold
        By Ctrl-C or SIGTERM; the study has all that ended before.
    """
    if request.parallel > 1 and torch.cuda.is_available():
        raise TrainingError("a GPU takes one trial at a time: leave out --parallel")
    request.check()
    with stopping(), workspace(request.base.out.absolute() / "model"):  # it can be written
        found = photos.find(request.base.folders)
        seen = photos.survey(found)
        _look_at_weights(request, found, seen)
        with console.status("Fetching what the artifact carries for AWS's container"):
            fetch_wheels(pinned_requirements(), wheel_cache())  # what the last step needs is here before the first
    with opened(request, seen.fingerprint) as study:
        try:
            with stopping():
                features = request.base.features or wheel_cache() / "features"
                best = Search(request, study, Trainer(_without_test(found), seen.side, features))()
                show_best(study)
                say("Fitting", f"trial {number(best)} again, to test and to pack it")
                with _threads(best.user_attrs["threads"]):  # then it is the same model
                    fit(request.options(best.params), {"tuning": study.manifest()})
        except Stopped as stopped:
            done = f"{len(study.ended())} of {request.trials} trials are in {request.study}"
            print(f"stopped; {done}, and the same command goes on", file=sys.stderr)  # noqa: T201
            raise AlreadyTold(stopped.status) from None


def _look_at_weights(request: Request, found: Photos, seen: Survey) -> None:
    """Refuse weights that no network of the search can begin with, and download them if there are some to."""
    base = request.base
    if base.weights.lower() == "none":
        return
    first: TrainingError | None = None
    for name in request.architectures():
        try:
            create(name, base.weights, len(found.classes), base.image_size, seen.side, base.weights_key)
        except TrainingError as error:
            first = first or error
        else:
            return
    if first:
        raise first


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _without_test(found: Photos) -> Photos:
    learning = ("train", "valid")
    return replace(
        found,
        splits={split: found.splits[split] for split in learning},
        folders={split: found.folders[split] for split in learning},
    )


class Search:
    """The trials of one request that its study does not have yet."""

    def __init__(self, request: Request, study: Study, trainer: Trainer) -> None:
        self.request, self.study, self.trainer = request, study, trainer
        self.begun = len(study.ended())
        self.deadline = time.monotonic() + 60 * request.minutes if request.minutes else float("inf")

    def __call__(self) -> FrozenTrial:
        """Try them, and return the best of all.

        Raises
        ------
        TrainingError
            None of them gave a model.
        """
        introduce(self.request, self.study)
        if self._more():
            if self.request.parallel == 1:
                self._alone()
            else:
                self._together()
        best = self.study.best()
        if best is None:
            ended = self.study.ended()
            last = f"the last one: {ended[-1].user_attrs['reason']}" if ended else "there was no time for one"
            raise TrainingError(
                f"none of {len(ended)} trials gave a model; {last}; change what is tried, and give another --study"
            )
        return best

    def _alone(self) -> None:
        while self._more():
            trial, epochs = self._begin()

            def go_on(epoch: Epoch, trial: Trial = trial, epochs: int = epochs) -> bool:
                return self.study.goes_on(trial, epoch, epochs)

            self._end(trial, attempt(self.trainer, self.request.options(trial.params), go_on), epochs)

    def _together(self) -> None:
        trainer, running = self.trainer, dict[Worker, tuple[Trial, int]]()
        count = min(self.request.parallel, self.request.trials - self.begun)
        with (
            working(count, self.request.threads, trainer.photos, trainer.side, trainer.features) as workers,
            console.status("Trials are running"),
        ):
            while True:
                for worker in workers:
                    if worker not in running and self._more():
                        running[worker] = self._send(worker)
                if not running:
                    return
                for worker, said in heard(list(running)):
                    trial, epochs = running[worker]
                    if isinstance(said, Epoch):
                        worker.tell(self.study.goes_on(trial, said, epochs))
                        continue
                    del running[worker]
                    if said is None:
                        workers[workers.index(worker)] = worker.another()
                        said = Ending("failed", 0.0, reason="its process died, maybe for want of memory")
                    self._end(trial, said, epochs)

    def _more(self) -> bool:
        return self.begun < self.request.trials and time.monotonic() < self.deadline

    def _begin(self) -> tuple[Trial, int]:
        self.begun += 1
        trial = self.study.ask()
        try:
            return trial, plan(self.request.options(trial.params)).schedule.epochs
        except TrainingError:  # as training will say
            return trial, 0

    def _send(self, worker: Worker) -> tuple[Trial, int]:
        trial, epochs = self._begin()
        options = self.request.options(trial.params)
        with suppress(TrainingError):  # as the worker will say
            self.trainer.prepare(options)
        worker.tell(options)
        return trial, epochs

    def _end(self, trial: Trial, ending: Ending, epochs: int) -> None:
        show(self.request, self.study.tell(trial, ending), epochs, self.study.best())
