"""The options of a training, and the configuration that follows from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.common.errors import TrainingError
from training.common.files import cache_folder
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
class TrainConfig:
    """What decides a training: ``Options`` with everything chosen that does not depend on the network.

    Parameters
    ----------
    mode
        ``head`` trains the last layer on features of the others, ``full`` trains every layer.
    precision
        None: chosen for the network, see ``speed.choose_precision``.
    features
        The folder that keeps what frozen layers compute.
    """

    architecture: str
    weights: str
    weights_key: str | None
    image_size: int | None
    mode: str
    augment: str
    views: int
    schedule: Schedule
    precision: str | None
    features: Path
    checkpoints: Path | None
    checkpoint_minutes: float
    checkpoint_steps: int | None
    resume: bool


def configure(options: Options) -> TrainConfig:
    """Choose what was left open.

    Raises
    ------
    TrainingError
        The options do not fit each other.
    """
    pretrained = options.weights.lower() != "none"
    mode = options.mode or ("head" if pretrained else "full")
    varies = mode == "full" or options.views > 1
    augment = options.augment or ("light" if varies else "none")
    for refused, message in (*_of_mode(options, mode, augment, pretrained), *_of_any_mode(options, pretrained)):
        if refused:
            raise TrainingError(message)
    return TrainConfig(
        architecture=options.arch,
        weights=options.weights,
        weights_key=options.weights_key,
        image_size=options.image_size,
        mode=mode,
        augment=augment,
        views=options.views,
        schedule=_schedule(options, mode, pretrained),
        precision=options.precision,
        features=options.features or cache_folder() / "features",
        checkpoints=options.checkpoints,
        checkpoint_minutes=options.checkpoint_minutes,
        checkpoint_steps=options.checkpoint_steps,
        resume=options.resume,
    )


def _of_mode(options: Options, mode: str, augment: str, pretrained: bool) -> Iterator[tuple[bool, str]]:
    """Yield what a mode refuses, each with whether it is asked for."""
    head, several = mode == "head", options.views > 1
    yield (
        head and not pretrained,
        "--mode head trains on what the rest of the network knows: give it --weights, e.g. DEFAULT",
    )
    yield not head and several, "--views is for --mode head; --mode full varies each photo in every epoch by itself"
    yield (
        head and not several and augment != "none",
        "--mode head reads each photo once, as it is: leave out --augment, or add --views 5",
    )
    yield (
        several and augment == "none",
        "--views of photos that do not vary are all the same: give --augment light or photo",
    )
    full_only = {
        "--backbone-lr": bool(options.backbone_lr),
        "--ema": bool(options.ema),
        "--batch-norm frozen": options.batch_norm == "frozen",
    }
    for option, given in full_only.items():
        yield head and given, f"{option} is for --mode full; --mode head trains the last layer alone"


def _of_any_mode(options: Options, pretrained: bool) -> Iterator[tuple[bool, str]]:
    yield (
        options.batch_norm == "frozen" and not pretrained,
        "--batch-norm frozen keeps the statistics that the weights came with: give it --weights",
    )
    yield (
        options.resume and options.checkpoints is None,
        "--resume goes on from a checkpoint: say by --checkpoints DIR where they are",
    )


def _schedule(options: Options, mode: str, pretrained: bool) -> Schedule:
    return Schedule(
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
