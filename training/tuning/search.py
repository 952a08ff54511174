"""A search from beginning to end: trials, and then one fit with the best of them."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from optuna.trial import FrozenTrial, Trial

from training.artifact.layout import pinned_requirements
from training.artifact.wheels import fetch_wheels, wheel_cache
from training.common.console import console, say
from training.common.errors import AlreadyTold, Stopped, TrainingError
from training.common.files import workspace
from training.fit.dataset import Dataset, load_dataset
from training.fit.loop import Epoch
from training.fit.options import configure
from training.fit.stopping import stopping
from training.model.network import create
from training.pipeline.fit import fit
from training.tuning.progress import introduce, show, show_best
from training.tuning.request import Request
from training.tuning.study import Study, number, open_study
from training.tuning.trial import TrialResult, TrialTrainer, attempt
from training.tuning.workers import Worker, receive, start_workers


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
        dataset = load_dataset(request.base.folders)
        _check_weights(request, dataset)
        with console.status("Fetching what the artifact carries for AWS's container"):
            fetch_wheels(pinned_requirements(), wheel_cache())  # what the last step needs is here before the first
    with open_study(request, dataset.survey.fingerprint) as study:
        try:
            with stopping():
                best = Search(request, study, TrialTrainer(dataset.without_test())).run()
                show_best(study)
                say("Fitting", f"trial {number(best)} again, to test and to pack it")
                with _threads(best.user_attrs["threads"]):  # then it is the same model
                    fit(request.options(best.params), {"tuning": study.manifest()})
        except Stopped as stopped:
            done = f"{len(study.ended())} of {request.trials} trials are in {request.study}"
            print(f"stopped; {done}, and the same command goes on", file=sys.stderr)  # noqa: T201
            raise AlreadyTold(stopped.status) from None


def _check_weights(request: Request, dataset: Dataset) -> None:
    """Refuse weights that no network of the search can begin with, and download them if there are some to."""
    base, classes, side = request.base, len(dataset.photos.classes), dataset.survey.side
    if base.weights.lower() == "none":
        return
    first: TrainingError | None = None
    for name in request.architectures():
        try:
            create(name, base.weights, classes, base.image_size, side, base.weights_key)
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


class Search:
    """The trials of one request that its study does not have yet."""

    def __init__(self, request: Request, study: Study, trainer: TrialTrainer) -> None:
        self.request, self.study, self.trainer = request, study, trainer
        self.begun = len(study.ended())
        self.deadline = time.monotonic() + 60 * request.minutes if request.minutes else float("inf")

    def run(self) -> FrozenTrial:
        """Try them, and return the best of all.

        Raises
        ------
        TrainingError
            None of them gave a model.
        """
        introduce(self.request, self.study)
        if self._more():
            if self.request.parallel == 1:
                self._one_at_a_time()
            else:
                self._in_parallel()
        best = self.study.best()
        if best is None:
            ended = self.study.ended()
            last = f"the last one: {ended[-1].user_attrs['reason']}" if ended else "there was no time for one"
            raise TrainingError(
                f"none of {len(ended)} trials gave a model; {last}; change what is tried, and give another --study"
            )
        return best

    def _one_at_a_time(self) -> None:
        while self._more():
            trial, epochs = self._begin()

            def should_continue(epoch: Epoch, trial: Trial = trial, epochs: int = epochs) -> bool:
                return self.study.should_continue(trial, epoch, epochs)

            result = attempt(self.trainer.train, self.request.options(trial.params), should_continue)
            self._end(trial, result, epochs)

    def _in_parallel(self) -> None:
        running = dict[Worker, tuple[Trial, int]]()
        count = min(self.request.parallel, self.request.trials - self.begun)
        with (
            start_workers(count, self.request.threads, self.trainer.dataset) as workers,
            console.status("Trials are running"),
        ):
            while True:
                for worker in workers:
                    if worker not in running and self._more():
                        running[worker] = self._send(worker)
                if not running:
                    return
                for worker, message in receive(list(running)):
                    trial, epochs = running[worker]
                    if isinstance(message, Epoch):
                        worker.send(self.study.should_continue(trial, message, epochs))
                        continue
                    del running[worker]
                    if message is None:
                        workers[workers.index(worker)] = worker.replacement()
                        message = TrialResult("failed", 0.0, reason="its process died, maybe for want of memory")
                    self._end(trial, message, epochs)

    def _more(self) -> bool:
        return self.begun < self.request.trials and time.monotonic() < self.deadline

    def _begin(self) -> tuple[Trial, int]:
        self.begun += 1
        trial = self.study.ask()
        try:
            return trial, configure(self.request.options(trial.params)).schedule.epochs
        except TrainingError:  # as training will say
            return trial, 0

    def _send(self, worker: Worker) -> tuple[Trial, int]:
        trial, epochs = self._begin()
        options = self.request.options(trial.params)
        with suppress(TrainingError):  # as the worker will say
            self.trainer.prepare(options)
        worker.send(options)
        return trial, epochs

    def _end(self, trial: Trial, result: TrialResult, epochs: int) -> None:
        show(self.request, self.study.tell(trial, result), epochs, self.study.best())
