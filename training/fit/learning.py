"""Training, its two modes, and the evaluation that both share."""

import copy
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader

from training.console import console, track
from training.data.photos import PixelDataset
from training.errors import TrainingError
from training.model.network import Recipe

EVALUATION_BATCH = 64


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    Parameters
    ----------
    lr
        Highest learning rate of the one-cycle schedule (https://arxiv.org/abs/1708.07120): it warms up for a quarter
        of the steps and then falls along a cosine.
    """

    epochs: int
    batch_size: int
    lr: float
    seed: int


@dataclass(frozen=True)
class Metrics:
    """How good a model is on one split; ``loss`` is the mean cross-entropy in nats."""

    accuracy: float
    loss: float
    images: int


@dataclass(frozen=True)
class Outcome:
    """What training gave: the classifier now holds the weights of ``epoch``, counted from 1, the best one."""

    epoch: int
    validation_logits: Tensor
    validation_targets: Tensor


def device() -> torch.device:
    """Return the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def measure(logits: Tensor, targets: Tensor, temperature: float = 1.0) -> Metrics:
    """Compare logits of shape [photos, classes] with targets of shape [photos]."""
    return Metrics(
        accuracy=(logits.argmax(1) == targets).double().mean().item(),
        loss=F.cross_entropy(logits / temperature, targets).item(),
        images=len(targets),
    )


def predict(model: nn.Module, photos: PixelDataset, title: str) -> tuple[Tensor, Tensor]:
    """Return the model's outputs [photos, ...] and the targets [photos], on the CPU."""
    outputs, targets = [], []
    model.eval()
    loader = _loader(photos, EVALUATION_BATCH, range(len(photos)))
    with torch.no_grad():
        for pixels, target in track(loader, title, len(loader)):
            outputs.append(model(pixels.to(device())).cpu())
            targets.append(target)
    return torch.cat(outputs), torch.cat(targets)


def train_full(recipe: Recipe, train: PixelDataset, valid: PixelDataset, schedule: Schedule) -> Outcome:
    """Train every layer.

    Raises
    ------
    TrainingError
        The loss is not finite any more.
    """
    classifier = recipe.classifier
    # A batch of one photo has no variance to normalise by, so a rest of a batch waits for the next epoch's order.
    batch_size = min(schedule.batch_size, len(train))
    steps = len(train) // batch_size
    step = _Learner(classifier, schedule, steps)

    def epoch(number: int) -> float:
        classifier.train()
        order = [number * len(train) + i for i in _order(len(train), schedule.seed, number)[: steps * batch_size]]
        total = 0.0
        for pixels, targets in track(_loader(train, batch_size, order), f"Epoch {number + 1}", steps):
            total += step(classifier(pixels.to(device())), targets.to(device()))
        return total / steps

    return _best_epoch(classifier, schedule, epoch, lambda: predict(classifier, valid, "Validating"))


def train_head(recipe: Recipe, train: PixelDataset, valid: PixelDataset, schedule: Schedule) -> Outcome:
    """Train the last layer alone, on features that the frozen rest computes once for each photo.

    Raises
    ------
    TrainingError
        The last layer is not a linear one that takes the features of the rest, or the loss is not finite any more.
    """
    network = recipe.classifier.network
    head = network.get_submodule(recipe.head)
    if not isinstance(head, nn.Linear):
        raise TrainingError(f"{recipe.architecture} has no linear last layer to train alone; use --mode full")
    network.set_submodule(recipe.head, nn.Identity())
    try:
        features, targets = (each.to(device()) for each in predict(recipe.classifier, train, "Features"))
        valid_features, valid_targets = predict(recipe.classifier, valid, "Features")
    finally:
        network.set_submodule(recipe.head, head)
    batch_size = min(schedule.batch_size, len(train))
    step = _Learner(head, schedule, -(-len(train) // batch_size))

    def epoch(number: int) -> float:
        head.train()
        order = _order(len(train), schedule.seed, number)
        batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
        losses = [step(head(features[batch]), targets[batch]) for batch in batches]
        return sum(losses) / len(losses)

    def validate() -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return head(valid_features.to(device())).cpu(), valid_targets

    return _best_epoch(head, schedule, epoch, validate)


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """Return the temperature that makes probabilities honest (https://arxiv.org/abs/1706.04599).

    It minimises the cross-entropy on the validation split, and is 1 where that split has no mistake: the best
    temperature would then be 0, which claims certainty.

    Parameters
    ----------
    logits, targets
        Shapes [photos, classes] and [photos].
    """
    if bool((logits.argmax(1) == targets).all()):
        return 1.0
    logits = logits.double()
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(logits / log_temperature.exp(), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    # Beyond these bounds the split says nothing reliable: a model that only guesses has no best temperature.
    return min(max(log_temperature.exp().item(), 0.1), 10.0)


class _Learner:
    """One step of AdamW (https://arxiv.org/abs/1711.05101) under a one-cycle schedule."""

    def __init__(self, module: nn.Module, schedule: Schedule, steps: int) -> None:
        self.optimizer = torch.optim.AdamW(module.parameters(), lr=schedule.lr, weight_decay=0.05, fused=True)
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, schedule.lr, total_steps=schedule.epochs * steps, pct_start=0.25
        )

    def __call__(self, logits: Tensor, targets: Tensor) -> float:
        loss = F.cross_entropy(logits, targets)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.scheduler.step()
        return loss.item()


def _best_epoch(
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


def _loader(photos: PixelDataset, batch_size: int, order: list[int] | range) -> DataLoader[tuple[Tensor, Tensor]]:
    # Beside a GPU, decoding is what takes time; without one, training would only lend its cores to the workers.
    gpu = device().type == "cuda"
    workers = min(os.cpu_count() or 1, 16) if gpu and len(order) > batch_size else 0
    return DataLoader(
        photos,  # type: ignore[arg-type]
        batch_size,
        sampler=order,
        num_workers=workers,
        pin_memory=gpu,
    )


def _order(photos: int, seed: int, epoch: int) -> list[int]:
    generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
    order: list[int] = torch.randperm(photos, generator=generator).tolist()
    return order
