"""Epochs, and the best of them: what both modes share."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.console import console
from training.errors import TrainingError
from training.fit.evaluation import Metrics, measure
from training.fit.schedule import Schedule


@dataclass(frozen=True)
class Epoch:
    """One pass over the photos.

    Parameters
    ----------
    number
        Counted from 1.
    train_loss
        Mean of the steps' losses, as the optimizer saw them: augmented photos, weights that change.
    """

    number: int
    train_loss: float
    validation: Metrics
    seconds: float

    def __str__(self) -> str:
        """Return the line of the log that SageMaker's metric definitions read."""
        return (
            f"epoch={self.number} train_loss={self.train_loss:.4f} valid_accuracy={self.validation.accuracy:.4f} "
            f"valid_loss={self.validation.loss:.4f} seconds={self.seconds:.1f}"
        )


@dataclass(frozen=True)
class Outcome:
    """What training gave: the classifier now holds the weights of ``epoch``, counted from 1, the best one."""

    epoch: int
    validation_logits: Tensor
    validation_targets: Tensor
    history: tuple[Epoch, ...]


class Learner:
    """One step of AdamW (https://arxiv.org/abs/1711.05101) under a one-cycle schedule."""

    def __init__(self, module: nn.Module, schedule: Schedule, steps: int) -> None:
        self.optimizer = torch.optim.AdamW(module.parameters(), lr=schedule.lr, weight_decay=0.05, fused=True)
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, schedule.lr, total_steps=schedule.epochs * steps, pct_start=0.25
        )

    def __call__(self, logits: Tensor, targets: Tensor) -> float:
        """Learn from one batch, and return its loss."""
        loss = F.cross_entropy(logits, targets)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.scheduler.step()
        return loss.item()


def best_epoch(
    module: nn.Module,
    schedule: Schedule,
    epoch: Callable[[int], float],
    validate: Callable[[], tuple[Tensor, Tensor]],
) -> Outcome:
    """Train for every epoch; leave the module with the weights of the one with the best validation accuracy."""
    best: tuple[float, float] | None = None
    history: list[Epoch] = []
    for number in range(schedule.epochs):
        start = time.perf_counter()
        loss = epoch(number)
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} in epoch {number + 1}: training diverged; choose a smaller --lr")
        logits, targets = validate()
        metrics = measure(logits, targets)
        history.append(Epoch(number + 1, loss, metrics, time.perf_counter() - start))
        console.print(str(history[-1]), markup=False)
        rank = (metrics.accuracy, -metrics.loss)
        if best is None or rank > best:
            best, state = rank, copy.deepcopy(module.state_dict())
            chosen = (number + 1, logits, targets)
    module.load_state_dict(state)
    return Outcome(*chosen, tuple(history))
