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
from training.fit.evaluation import measure
from training.fit.schedule import Schedule


@dataclass(frozen=True)
class Outcome:
    """What training gave: the classifier now holds the weights of ``epoch``, counted from 1, the best one."""

    epoch: int
    validation_logits: Tensor
    validation_targets: Tensor


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
    for number in range(schedule.epochs):
        start = time.perf_counter()
        loss = epoch(number)
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} in epoch {number + 1}: training diverged; choose a smaller --lr")
        logits, targets = validate()
        metrics = measure(logits, targets)
        seconds = time.perf_counter() - start
        rank = (metrics.accuracy, -metrics.loss)
        if best is None or rank > best:
            best, state = rank, copy.deepcopy(module.state_dict())
            outcome = Outcome(number + 1, logits, targets)
        console.print(
            f"  epoch {number + 1:>3}/{schedule.epochs}  loss {loss:.4f}  "
            f"validation accuracy {metrics.accuracy:.4f}  {seconds:.1f} s",
            markup=False,
        )
    module.load_state_dict(state)
    return outcome
