"""What a fit was asked for, and what follows from that."""

from dataclasses import dataclass
from pathlib import Path

from training.common.errors import TrainingError
from training.data.shares import Shares
from training.fit.schedule import Schedule

DEFAULT_EPOCHS = {"full": 10, "head": 30}
"""Ten epochs of ``full`` bring the scanned digits to a test accuracy of 0.99; an epoch of ``head`` takes a moment."""

LR, TRAINED_LAYERS_SHARE = 1e-3, 0.1
"""AdamW's usual rate, and the share of it where layers that were trained before go on training."""


@dataclass(frozen=True)
class Options:
    """What ``./kennel fit`` was asked for; its help says what each means. None: chosen by the rest."""

    folders: dict[str, Path]
    out: Path
    arch: str = "resnet18"
    weights: str = "none"
    weights_key: str | None = None
    mode: str | None = None
    augment: str | None = None
    epochs: int | None = None
    batch_size: int = 64
    lr: float | None = None
    image_size: int | None = None
    seed: int = 0
    shape: str = "one-cycle"
    warm_up: float = 0.25
    backbone_lr: float | None = None
    weight_decay: float = 0.05
    label_smoothing: float = 0.0
    ema: float = 0.0
    batch_norm: str = "train"
    precision: str | None = None
    checkpoints: Path | None = None
    checkpoint_minutes: float = 5.0
    checkpoint_steps: int | None = None
    resume: bool = False
    views: int = 1
    features: Path | None = None
    class_weights: str = "none"
    patience: int | None = None
    split: Shares | None = None
    no_test: bool = False


@dataclass(frozen=True)
class Plan:
    """What ``Options`` come to."""

    mode: str
    augment: str
    schedule: Schedule


def plan(options: Options) -> Plan:
    """Choose what was left open.

    Raises
    ------
    TrainingError
        The options do not fit each other.
    """
    pretrained = options.weights.lower() != "none"
    mode = options.mode or ("head" if pretrained else "full")
    augment = options.augment or ("light" if mode == "full" or options.views > 1 else "none")
    if mode == "head" and not pretrained:
        raise TrainingError("--mode head trains on what the rest of the network knows: give it --weights, e.g. DEFAULT")
    if mode == "full" and options.views > 1:
        raise TrainingError("--views is for --mode head; --mode full varies each photo in every epoch by itself")
    if mode == "head" and options.views == 1 and augment != "none":
        raise TrainingError("--mode head reads each photo once, as it is: leave out --augment, or add --views 5")
    if options.views > 1 and augment == "none":
        raise TrainingError("--views of photos that do not vary are all the same: give --augment light or photo")
    others = {
        "--backbone-lr": options.backbone_lr,
        "--ema": options.ema,
        "--batch-norm frozen": options.batch_norm == "frozen",
    }
    if mode == "head" and (given := [name for name, value in others.items() if value]):
        raise TrainingError(f"{given[0]} is for --mode full; --mode head trains the last layer alone")
    if options.batch_norm == "frozen" and not pretrained:
        raise TrainingError("--batch-norm frozen keeps the statistics that the weights came with: give it --weights")
    if options.resume and options.checkpoints is None:
        raise TrainingError("--resume goes on from a checkpoint: say by --checkpoints DIR where they are")
    schedule = Schedule(
        epochs=options.epochs or DEFAULT_EPOCHS[mode],
        batch_size=options.batch_size,
        lr=options.lr or LR,
        seed=options.seed,
        shape=options.shape,
        warm_up=options.warm_up,
        backbone_lr=options.backbone_lr or (TRAINED_LAYERS_SHARE if pretrained else 1.0),
        weight_decay=options.weight_decay,
        label_smoothing=options.label_smoothing,
        ema=options.ema,
        batch_norm=options.batch_norm,
        class_weights=options.class_weights,
        patience=options.patience,
    )
    return Plan(mode, augment, schedule)
