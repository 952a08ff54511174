"""Steps, epochs and the best of them: what both modes share."""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.common.console import console
from training.common.errors import TrainingError
from training.fit import distributed
from training.fit.evaluation import Metrics, measure
from training.fit.schedule import Schedule, learning_rates


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


Report: TypeAlias = Callable[[Epoch], None]
"""Is called after each epoch; what it raises ends training."""

Predict: TypeAlias = Callable[[str], tuple[Tensor, Tensor]]
"""Returns a model's logits for a split, and the split's targets: shapes [photos, classes] and [photos]."""


def print_epoch(epoch: Epoch) -> None:
    """Print the epoch's line."""
    console.print(str(epoch), markup=False)


@dataclass(frozen=True)
class TrainResult:
    """What training gives: the network now has the weights of the best epoch.

    Parameters
    ----------
    epoch
        The best one, counted from 1.
    validation_logits, validation_targets
        Of that epoch; shapes [photos, classes] and [photos].
    speed
        What was chosen for this machine, and measured on it.
    settings
        What was chosen besides the schedule, as the manifest has it.
    predict
        Asks the trained network; no split but train and valid has been looked at before.
    """

    epoch: int
    validation_logits: Tensor
    validation_targets: Tensor
    history: tuple[Epoch, ...]
    speed: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    predict: Predict | None = None


@dataclass
class Best:
    """The epoch with the best validation accuracy so far, the lower loss deciding between equals; 0: none yet."""

    epoch: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)
    logits: Tensor = field(default_factory=lambda: torch.empty(0))
    targets: Tensor = field(default_factory=lambda: torch.empty(0))

    def offer(self, history: list[Epoch], module: nn.Module, logits: Tensor, targets: Tensor) -> None:
        """Keep the last epoch of the history if it is better than the best one so far.

        Raises
        ------
        TrainingError
            The last step, whose own loss was of the weights before it, made weights that give no numbers.
        """
        check_finite(history[-1].validation.loss, history[-1].number - 1)

        def rank(epoch: Epoch) -> tuple[float, float]:
            return epoch.validation.accuracy, -epoch.validation.loss

        if not self.epoch or rank(history[-1]) > rank(history[self.epoch - 1]):
            self.epoch, self.weights = history[-1].number, copy.deepcopy(module.state_dict())
            self.logits, self.targets = logits, targets

    def result(self, module: nn.Module, history: list[Epoch]) -> TrainResult:
        """Give the module its best weights."""
        load_weights(module, self.weights)
        return TrainResult(self.epoch, self.logits, self.targets, tuple(history))


def load_weights(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load all of a module's weights from a checkpoint, which does not have the versions of its layers.

    MNASNet refuses to load anything without.
    """
    state = module.state_dict()
    if state.keys() != weights.keys():
        raise ValueError(f"weights of another network: {sorted(state.keys() ^ weights.keys())[:3]}")
    state.update(weights)
    module.load_state_dict(state)


class Learner:
    """AdamW (https://arxiv.org/abs/1711.05101) under the schedule's learning rates, a step at a time.

    Parameters
    ----------
    steps
        How many there are in an epoch.
    head
        Beginning of the names of the last layer's parameters; all others learn at the backbone's rate.
    targets
        Classes of all training photos, for balanced class weights.
    """

    def __init__(
        self, module: nn.Module, schedule: Schedule, steps: int, head: str = "", targets: Sequence[int] = ()
    ) -> None:
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in module.named_parameters():
            # Decay is for what multiplies; the scale and the bias of a layer have no length to keep in check.
            groups.setdefault((name.startswith(head), parameter.dim() > 1), []).append(parameter)
        self.optimizer = torch.optim.AdamW(
            [
                {
                    "params": parameters,
                    "lr": schedule.lr * (1 if in_head else schedule.backbone_lr),
                    "weight_decay": schedule.weight_decay if decays else 0.0,
                }
                for (in_head, decays), parameters in groups.items()
            ],
            fused=True,
        )
        self.smoothing = schedule.label_smoothing
        self.weights = balanced(targets) if schedule.class_weights == "balanced" else None
        self.scheduler = learning_rates(self.optimizer, schedule, schedule.epochs * steps)

    def step(self, logits: Tensor, targets: Tensor, share: float = 1.0) -> float:
        """Learn from one batch, and return its loss.

        Parameters
        ----------
        share
            What part of the batch this process has. The gradients' mean over all processes is then that of the whole.
        """
        loss = self._loss(logits.float(), targets)
        self.optimizer.zero_grad()
        (loss * (share * distributed.size())).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.scheduler.step()
        return loss.item() * share

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.weights is None:
            return F.cross_entropy(logits, targets, label_smoothing=self.smoothing)
        # Weights whose mean over all photos is 1, and the plain mean of a batch: then the mean of several processes'
        # batches is that of the whole, which it is not if each is divided by its own weights' sum, as PyTorch does.
        losses = F.cross_entropy(logits, targets, label_smoothing=self.smoothing, reduction="none")
        return (losses * self.weights.to(losses.device)[targets]).mean()


def balanced(targets: Sequence[int]) -> Tensor:
    """Return a weight for each class that gives all classes the same say, whatever their numbers of photos.

    It is that of scikit-learn's ``class_weight="balanced"``: photos / (classes x photos of the class)
    (https://scikit-learn.org/stable/modules/generated/sklearn.utils.class_weight.compute_class_weight.html).
    """
    counts = torch.bincount(torch.tensor(targets)).double()
    return (len(targets) / (int((counts > 0).sum()) * counts.clamp(min=1))).float()


def exhausted(schedule: Schedule, best: int, done: int) -> bool:
    """Return whether patience is at its end, ``done`` epochs after the beginning and with epoch ``best`` the best."""
    return schedule.patience is not None and done - best >= schedule.patience


def best_epoch(
    module: nn.Module,
    schedule: Schedule,
    epoch: Callable[[int], float],
    validate: Callable[[], tuple[Tensor, Tensor]],
    report: Report = print_epoch,
) -> TrainResult:
    """Train for every epoch, or until patience ends; leave the module the weights of the one that validated best."""
    best, history = Best(), list[Epoch]()
    for number in range(schedule.epochs):
        start = time.perf_counter()
        loss = check_finite(epoch(number), number)
        logits, targets = validate()
        history.append(Epoch(number + 1, loss, measure(logits, targets), time.perf_counter() - start))
        best.offer(history, module, logits, targets)
        report(history[-1])
        if exhausted(schedule, best.epoch, number + 1):
            break
    return best.result(module, history)


def check_finite(loss: float, epoch: int) -> float:
    """Return the loss.

    Raises
    ------
    TrainingError
        It is not a finite number any more.
    """
    if not math.isfinite(loss):
        raise TrainingError(f"the loss is {loss} in epoch {epoch + 1}: training diverged; choose a smaller --lr")
    return loss
