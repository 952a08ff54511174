"""Everything that changes while a model trains, so that a checkpoint misses nothing."""

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from training.fit.evaluation import Metrics
from training.fit.loop import Best, Epoch, Learner, load_weights


class Progress:
    """Where training stands: ``step`` steps of epoch ``epoch`` (both from 0) are done.

    What random numbers there are follow from that position (``schedule.order``, ``schedule.roll_dice``, the items of a
    ``PixelDataset``), and so need no keeping.

    Parameters
    ----------
    average
        The running average of the module's weights, if there is one.
    """

    def __init__(self, module: nn.Module, learner: Learner, average: AveragedModel | None) -> None:
        self.module, self.learner, self.average = module, learner, average
        self.epoch = self.step = 0
        self.loss = self.seconds = 0.0
        """Of this epoch so far: sum of the steps' losses, and time."""
        self.history: list[Epoch] = []
        self.best = Best()

    def finish_epoch(
        self, metrics: Metrics, seconds: float, validated: nn.Module, logits: Tensor, targets: Tensor
    ) -> Epoch:
        """Record the epoch's validation, and stand at the beginning of the next epoch."""
        self.history.append(Epoch(self.epoch + 1, self.loss / self.step, metrics, seconds))
        self.best.offer(self.history, validated, logits, targets)
        self.epoch, self.step, self.loss, self.seconds = self.epoch + 1, 0, 0.0, 0.0
        return self.history[-1]

    @property
    def candidate(self) -> nn.Module:
        """The weights to validate and to keep."""
        average: nn.Module | None = None if self.average is None else self.average.module
        return self.module if average is None else average

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all of it as tensors, and as facts that JSON can hold."""
        optimizer = self.learner.optimizer.state_dict()
        parts: dict[str, dict[str, Tensor]] = {
            "model": self.module.state_dict(),
            "average": {} if self.average is None else self.average.state_dict(),
            "best": self.best.weights,
            "validation": {"logits": self.best.logits, "targets": self.best.targets},
            "optimizer": {
                f"{number}.{name}": value
                for number, state in optimizer["state"].items()
                for name, value in state.items()
            },
        }
        facts = {
            "epoch": self.epoch,
            "step": self.step,
            "loss": self.loss,
            "seconds": self.seconds,
            "history": [asdict(epoch) for epoch in self.history],
            "best": self.best.epoch,
            "optimizer": optimizer["param_groups"],
            "scheduler": self.learner.scheduler.state_dict(),
        }
        return {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}, facts

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Stand where ``state`` was taken."""
        parts: dict[str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = value
        load_weights(self.module, parts["model"])
        if self.average is not None:
            load_weights(self.average, parts["average"])
        self._restore_optimizer(parts.get("optimizer", {}), facts["optimizer"])
        self.learner.scheduler.load_state_dict(facts["scheduler"])
        self.epoch, self.step, self.loss, self.seconds = (facts[name] for name in ("epoch", "step", "loss", "seconds"))
        self.history = [Epoch(**(epoch | {"validation": Metrics(**epoch["validation"])})) for epoch in facts["history"]]
        self.best = Best(facts["best"], parts.get("best", {}), **parts["validation"])

    def _restore_optimizer(self, tensors: dict[str, Tensor], groups: list[dict[str, Any]]) -> None:
        optimizer = self.learner.optimizer
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            number, _, key = name.partition(".")
            like = parameters[int(number)]
            # In the parameter's own layout of memory, over which the fused optimizer goes without looking.
            placed = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
            state.setdefault(int(number), {})[key] = placed
        groups = [group | {"betas": tuple(group["betas"])} for group in groups]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
