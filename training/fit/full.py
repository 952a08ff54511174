"""Mode ``full``: every layer learns, in one process or several, from the beginning or from a checkpoint."""

import copy
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from training.common.console import say, track
from training.common.errors import AlreadyTold, Stopped, TrainingError
from training.data.photos import PixelDataset
from training.fit import distributed
from training.fit.batch_norm import freeze, needs_statistics, synchronise, with_statistics_of
from training.fit.checkpoints import Checkpoints
from training.fit.evaluation import measure, predict_together
from training.fit.loading import batches, device, workers_for
from training.fit.loop import Learner, Report, TrainResult, check_finite, exhausted, print_epoch
from training.fit.progress import Progress
from training.fit.schedule import Schedule, order, roll_dice, weight_of_the_past
from training.fit.speed import machine
from training.fit.stopping import Stop
from training.model.network import Recipe


def train_full(
    recipe: Recipe,
    train: PixelDataset,
    valid: PixelDataset,
    schedule: Schedule,
    precision: str = "float32",
    checkpoints: Checkpoints | None = None,
    stop: Stop | None = None,
    report: Report = print_epoch,
) -> TrainResult:
    """Train every layer; if there is a checkpoint, from there, bit for bit as if training had never stopped.

    Parameters
    ----------
    precision
        See ``speed.PRECISIONS``.
    stop
        Looked at after each step.

    Raises
    ------
    TrainingError
        The loss is not finite any more, a step has fewer photos than there are processes, or the checkpoint is of
        another run.
    Stopped
        It was asked to; the checkpoint is written.
    """
    return Trainer(recipe, train, valid, schedule, precision, checkpoints, stop or Stop(), report).train()


class Trainer:
    """See ``train_full``. The network that learns is a copy; the recipe's gets the best weights in the end."""

    def __init__(
        self,
        recipe: Recipe,
        train: PixelDataset,
        valid: PixelDataset,
        schedule: Schedule,
        precision: str,
        checkpoints: Checkpoints | None,
        stop: Stop,
        report: Report = print_epoch,
    ) -> None:
        self.recipe, self.photos, self.valid, self.schedule = recipe, train, valid, schedule
        self.precision, self.checkpoints, self.stop, self.report = precision, checkpoints, stop, report
        # A batch of one photo has no variance to normalise by, so a rest of a batch waits for the next epoch's order.
        self.batch_size = min(schedule.batch_size, len(train))
        self.steps = len(train) // self.batch_size
        if self.batch_size < distributed.size():
            more = "" if self.batch_size == len(train) else "raise --batch-size, or "
            raise TrainingError(
                f"a step of {self.batch_size} photos cannot be shared by {distributed.size()} processes; "
                f"{more}start fewer"
            )
        self.module = synchronise(copy.deepcopy(recipe.classifier).to(device()))
        self.learner = Learner(
            self.module, schedule, self.steps, f"network.{recipe.head}.", [photo.target for photo in train.photos]
        )
        average = None
        if schedule.ema:
            average = AveragedModel(self.module, multi_avg_fn=_averaging(schedule.ema), use_buffers=True)
        self.progress = Progress(self.module, self.learner, average)
        self.forward: nn.Module = self.module
        if distributed.size() > 1:
            # Every process computes the same statistics, so there are none to send.
            self.forward = DistributedDataParallel(self.module, forward_sync_buffers=False)
            self._rehearse()
        self.workers = workers_for(train)
        # With patience, training may end after one epoch more than that.
        fewest = schedule.epochs if schedule.patience is None else min(schedule.epochs, schedule.patience + 1)
        self.retakes = schedule.batch_norm == "train" and needs_statistics(
            self.module, fewest * self.steps, schedule.ema
        )
        """Whether statistics of batch norm are computed again before each validation."""

    def train(self) -> TrainResult:
        """Train to the end."""
        progress = self.progress
        with self.stop.later():
            if self.checkpoints:
                self.stop.kept = f"--resume goes on from {self.checkpoints.folder}"
            self._resume()
            while not self._done():
                began = time.perf_counter() - progress.seconds
                self.train_epoch(began)
                candidate, logits, targets = self._validate()
                seconds = time.perf_counter() - began
                self.report(progress.finish_epoch(measure(logits, targets), seconds, candidate, logits, targets))
                if self.checkpoints and (self._done() or self.checkpoints.due(self._position())):
                    self._save()
        speed = {"precision": self.precision, "workers": self.workers}
        settings = {"batch_norm_statistics": "one pass over train before each validation"} if self.retakes else {}
        result = progress.best.result(self.recipe.classifier, progress.history)
        return replace(result, speed=speed, settings=settings)

    def _done(self) -> bool:
        epoch = self.progress.epoch
        return epoch >= self.schedule.epochs or exhausted(self.schedule, self.progress.best.epoch, epoch)

    def train_epoch(self, began: float) -> None:
        """Take the steps of this epoch that are not taken yet."""
        progress, schedule, size = self.progress, self.schedule, self.batch_size
        self._train_mode()
        shuffled = order(len(self.photos), schedule.seed, progress.epoch)
        items = [progress.epoch * len(self.photos) + item for item in shuffled]
        groups = [distributed.slice_of(items[i * size : (i + 1) * size]) for i in range(progress.step, self.steps)]
        decoded = batches(self.photos, groups, self.workers)
        for pixels, targets in track(decoded, f"Epoch {progress.epoch + 1}", len(groups)):
            roll_dice(schedule.seed, progress.epoch, progress.step, distributed.rank())
            with self._arithmetic():
                logits = self.forward(pixels.to(device(), non_blocking=True))
            mine = self.learner.step(logits, targets.to(device(), non_blocking=True), len(targets) / size)
            if progress.average is not None:
                progress.average.update_parameters(self.module)
            loss, stops = distributed.total([mine, self.stop.requested])
            progress.loss += check_finite(loss, progress.epoch)
            progress.step += 1
            progress.seconds = time.perf_counter() - began
            if stops:
                self._end()
            if self.checkpoints and self.checkpoints.due(self._position()):
                self._save()

    def _validate(self) -> tuple[nn.Module, Tensor, Tensor]:
        """Return the weights to keep, their outputs and the targets."""
        try:
            with self.stop.at_once():  # no weights change here
                candidate = self.progress.candidate
                if self.retakes:
                    candidate = with_statistics_of(candidate, self._plain_batches())
                return candidate, *predict_together(candidate, self.valid, "Validating")
        except (Stopped, RuntimeError) as error:  # a process that was stopped first is missed by those that gather
            if not self.stop.requested and not isinstance(error, Stopped):
                raise
            self._end()

    def _plain_batches(self) -> Iterator[Tensor]:
        """Yield this process's part of the epoch's batches, in its order (by class they would differ), not varied."""
        size, photos = self.batch_size, PixelDataset(self.photos.photos, self.photos.rule)
        items = order(len(photos), self.schedule.seed, self.progress.epoch)
        groups = [distributed.slice_of(items[i * size : (i + 1) * size]) for i in range(self.steps)]
        for pixels, _ in track(batches(photos, groups, self.workers), "Batch norm", len(groups)):
            yield pixels.to(device(), non_blocking=True)

    def _end(self) -> NoReturn:
        if not self._save():
            self.stop.kept = "its last checkpoint could not be written"
        stopped = self.stop.end(f" in epoch {self.progress.epoch + 1}")
        raise stopped if distributed.primary() else AlreadyTold(stopped.status)

    def _position(self) -> int:
        """Return how much is done: steps, a validation counting as one."""
        return self.progress.epoch * (self.steps + 1) + self.progress.step

    def _save(self) -> bool:
        if self.checkpoints and distributed.primary():  # all have the same
            try:
                tensors, facts = self.progress.state()
                self.checkpoints.save(
                    self._position(), tensors, facts | {"circumstances": _circumstances(self.precision)}
                )
            except OSError as error:  # a full disk should not cost what is learnt
                say("Checkpoint", f"not written: {error}")
                return False
        return True

    def _resume(self) -> None:
        if self.checkpoints is None:
            return
        tensors, facts = (self.checkpoints.newest() if distributed.primary() else None) or ({}, None)
        if (facts := distributed.share(facts)) is None:
            say("Checkpoint", f"{self.checkpoints.folder} has none; training begins at its beginning")
            return
        self.progress.restore(distributed.share_tensors(tensors), facts)
        say("Resumed", f"after step {facts['step']} of {self.steps} in epoch {facts['epoch'] + 1}")
        then, now = facts["circumstances"], _circumstances(self.precision)
        if changed := [f"{name} {then[name]}, now {now[name]}" for name in now if then[name] != now[name]]:
            say("Resumed", f"it was made with {'; '.join(changed)}: the result will be as good, but not bit for bit")

    def _rehearse(self) -> None:
        """Take a step that changes nothing.

        DistributedDataParallel packs gradients anew after the first step it sees. The order of its sums, so the last
        digits, would differ between a run that goes on and one that never stopped.
        """
        before = {name: value.clone() for name, value in self.module.named_buffers()}
        self._train_mode()
        with self._arithmetic():
            logits = self.forward(torch.stack([self.photos[0][0]] * 2).to(device()))
        with warnings.catch_warnings():  # gradients of 1 x 1 convolutions may lie in either of two equal layouts
            warnings.filterwarnings("ignore", message="Grad strides do not match")
            logits.float().sum().backward()
        self.learner.optimizer.zero_grad()
        for name, value in self.module.named_buffers():
            value.copy_(before[name])

    def _train_mode(self) -> None:
        self.module.train()
        if self.schedule.batch_norm == "frozen":
            freeze(self.module)

    def _arithmetic(self) -> torch.autocast:
        return torch.autocast(device().type, torch.bfloat16, enabled=self.precision == "bfloat16")


def _circumstances(precision: str) -> dict[str, Any]:
    """Return what decides the last digits besides settings and photos, and may change while training is stopped."""
    return {
        "processes": distributed.size(),
        "threads": torch.get_num_threads(),
        "PyTorch": torch.__version__,
        "processor": machine(precision),
    }


def _averaging(decay: float) -> Callable[..., None]:
    """Return a running average that forgets the random beginning: it weighs the past less while there is little."""

    def average(averages: list[Tensor], weights: list[Tensor], count: Tensor) -> None:
        if not averages[0].is_floating_point():  # batch norm's count of batches
            torch._foreach_copy_(averages, weights)
            return
        torch._foreach_lerp_(averages, weights, 1 - weight_of_the_past(decay, int(count)))

    return average
