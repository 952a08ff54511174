"""How long, how fast and in which order to learn."""

import hashlib
import math
from dataclasses import dataclass

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

SHAPES = ("one-cycle", "cosine")


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn; what is said of layers, averages and batch norm is for mode ``full``.

    Parameters
    ----------
    batch_size
        Photos a step, over all processes.
    lr
        Highest learning rate, that of the last layer.
    shape
        ``one-cycle`` (https://arxiv.org/abs/1708.07120) begins at a 25th of ``lr`` and lowers the momentum while the
        rate is high; ``cosine`` warms up in a straight line from 0. Both then fall along a cosine.
    warm_up
        Share of the steps that it takes to reach ``lr``.
    backbone_lr
        Share of ``lr`` at which all layers but the last one learn.
    weight_decay
        Of AdamW, for what multiplies (https://arxiv.org/abs/1711.05101).
    label_smoothing
        Share of each target that goes to all classes alike (https://arxiv.org/abs/1512.00567).
    ema
        Weight of the past in a running average of the weights, which is then what is validated and kept; 0: none.
    class_weights
        ``balanced``: a photo counts the more in the loss, the fewer its class has, see ``loop.balanced``.
    patience
        Training ends after so many epochs in a row that are not the best one; None: never early.
    batch_norm
        ``train``: statistics of the batch, over all processes. ``frozen``: those that the weights came with.
    """

    epochs: int
    batch_size: int
    lr: float
    seed: int
    shape: str = "one-cycle"
    warm_up: float = 0.25
    backbone_lr: float = 1.0
    weight_decay: float = 0.05
    label_smoothing: float = 0.0
    ema: float = 0.0
    batch_norm: str = "train"
    class_weights: str = "none"
    patience: int | None = None


def learning_rates(optimizer: Optimizer, schedule: Schedule, steps: int) -> LRScheduler:
    """Return what sets the optimizer's rates, over ``steps`` steps in all; each group's ``lr`` is its highest."""
    if schedule.shape == "one-cycle" and steps > 1:
        highest = [group["lr"] for group in optimizer.param_groups]
        # OneCycleLR divides by the warm-up's steps less one.
        warming = min(max(schedule.warm_up, 1.001 / steps), 0.999)
        return OneCycleLR(optimizer, highest, total_steps=steps, pct_start=warming)
    warm_up = max(1, round(schedule.warm_up * steps))

    def factor(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))

    return LambdaLR(optimizer, factor)


def weight_of_the_past(decay: float, count: int) -> float:
    """Return the weight of the past in a running average of ``count`` weights so far: less while there are few."""
    return min(decay, (1 + count) / (10 + count))


def order(photos: int, seed: int, epoch: int) -> list[int]:
    """Return the order of the photos in an epoch: the seed and the epoch decide it, nothing else."""
    generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
    order: list[int] = torch.randperm(photos, generator=generator).tolist()
    return order


def roll_dice(seed: int, epoch: int, step: int, rank: int) -> None:
    """Set PyTorch's random numbers, which dropout takes, for one step.

    They then depend on where training stands and on nothing before it, so that a checkpoint need not hold them.
    """
    text = f"{seed} {epoch} {step} {rank}"
    torch.manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:7]))
