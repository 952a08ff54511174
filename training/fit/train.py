"""One training, for `fit`, for a trial of `tune` and for one of SageMaker: a network learns from a dataset."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from training.common.errors import TrainingError
from training.common.files import sha256
from training.data.photos import PixelDataset
from training.fit import distributed
from training.fit.checkpoints import Checkpoints
from training.fit.dataset import Dataset
from training.fit.evaluation import predict_together
from training.fit.features import FeatureBank, Views
from training.fit.frozen import last_layer
from training.fit.full import train_full
from training.fit.head import predict_head, train_head
from training.fit.loading import device, set_seed
from training.fit.loop import Report, TrainResult, print_epoch
from training.fit.options import TrainConfig
from training.fit.schedule import Schedule
from training.fit.speed import choose_precision
from training.fit.stopping import Stop
from training.model.network import Recipe, create


def create_network(config: TrainConfig, dataset: Dataset) -> Recipe:
    """Build the network with its first weights, the same on every process.

    Raises
    ------
    TrainingError
        The architecture or the weights do not exist, or do not fit each other.
    """
    set_seed(config.schedule.seed)
    classes, side = len(dataset.photos.classes), dataset.survey.side
    network = distributed.once_for_each_machine(
        lambda: create(config.architecture, config.weights, classes, config.image_size, side, config.weights_key)
    )
    network.classifier.to(device())
    return network


def train(
    network: Recipe,
    dataset: Dataset,
    config: TrainConfig,
    *,
    features: FeatureBank | None = None,
    stop: Stop | None = None,
    report: Report = print_epoch,
) -> TrainResult:
    """Train the last layer or every layer, and leave the network the weights that were best on the validation split.

    Parameters
    ----------
    features
        What the frozen layers compute for mode ``head``, if an earlier training has it already.
    stop
        Is looked at after each step of mode ``full``.
    report
        Is called after each epoch.

    Raises
    ------
    TrainingError
        Training diverged, or the checkpoints are of another run.
    Stopped
        By SIGTERM or Ctrl-C.
    """
    splits = dataset.photos.splits
    if config.mode == "head":
        bank, head = features or create_features(network, dataset, config), last_layer(network)
        result = train_head(head, bank["train"], bank["valid"], config.schedule, report)
        return replace(result, speed=bank.facts, predict=lambda split: predict_head(head, bank[split]))
    precision = _precision(network, config)
    result = train_full(
        network,
        PixelDataset(splits["train"], network.rule, config.augment, config.schedule.seed),
        PixelDataset(splits["valid"], network.rule),
        config.schedule,
        precision,
        _checkpoints(network, dataset, config, precision),
        stop,
        report,
    )

    def predict(split: str) -> tuple[Tensor, Tensor]:
        return predict_together(network.classifier, PixelDataset(splits[split], network.rule), "Testing")

    return replace(result, predict=predict)


def create_features(network: Recipe, dataset: Dataset, config: TrainConfig) -> FeatureBank:
    """Return what the frozen layers compute for mode ``head``; nothing is computed before it is asked for."""
    views = Views(config.views, config.augment, config.schedule.seed)
    return FeatureBank(network, dataset.photos, config.features, _precision(network, config), views)


def check_checkpoints(config: TrainConfig) -> None:
    """Refuse a folder of checkpoints that cannot be written, or that holds some without ``--resume``.

    Raises
    ------
    TrainingError
        The reason.
    """
    if config.checkpoints is None or not distributed.primary():
        return
    folder = Checkpoints(config.checkpoints, {})
    folder.prepare()
    if folder.exist() and not config.resume:
        raise TrainingError(
            f"{config.checkpoints} holds checkpoints: --resume goes on from them; without it, remove them or give "
            "another folder"
        )


def _precision(network: Recipe, config: TrainConfig) -> str:
    return config.precision or distributed.share(choose_precision(network.classifier, network.rule.crop))


def _checkpoints(network: Recipe, dataset: Dataset, config: TrainConfig, precision: str) -> Checkpoints | None:
    if config.checkpoints is None:
        return None
    weights = Path(config.weights)
    identity = _settings(config.schedule) | {
        "architecture": network.architecture,
        "weights": sha256(weights) if weights.is_file() else config.weights,
        "photos": dataset.survey.fingerprint,
        "augment": config.augment,
        "image size": network.rule.crop,
        "precision": precision,
        **({} if config.weights_key is None else {"weights key": config.weights_key}),
    }
    return Checkpoints(config.checkpoints, identity, config.checkpoint_minutes, config.checkpoint_steps)


def _settings(schedule: Schedule) -> dict[str, Any]:
    """Return what decides the result; what is newer than the version before only where it is asked for."""
    newer: dict[str, Any] = {"class_weights": "none", "patience": None}
    return {name: value for name, value in asdict(schedule).items() if name not in newer or value != newer[name]}
