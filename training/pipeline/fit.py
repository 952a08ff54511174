"""One fit from beginning to end: photos in, a proven artifact beside its manifest out."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

from training.artifact.layout import pinned_requirements
from training.artifact.wheels import fetch_wheels, wheel_cache
from training.common.console import console, say
from training.common.files import workspace
from training.data.labels import label
from training.fit import distributed
from training.fit.dataset import Dataset, load_dataset
from training.fit.loading import device
from training.fit.loop import TrainResult
from training.fit.options import Options, TrainConfig, configure
from training.fit.stopping import stopping
from training.fit.train import check_checkpoints, create_network, train
from training.model.network import Recipe, check_architecture
from training.pipeline.full_disk import weights_rescued
from training.pipeline.measure import evaluate, validate
from training.pipeline.pack import Model, pack, prove, publish_artifact, write_manifest, write_report


def fit(options: Options, about: Mapping[str, Any] | None = None) -> None:
    """Train, evaluate once on the test split, pack, prove, and only then write the artifact.

    Parameters
    ----------
    about
        What else the manifest is to say.

    Raises
    ------
    TrainingError
        For whatever the user can put right; nothing is written then, and what was there stays.
    Stopped
        By SIGTERM.
    """
    config = configure(options)
    check_architecture(config.architecture)
    # One process writes, into a folder beside the artifact; the others only train.
    place = workspace(options.out.absolute() / "model") if distributed.primary() else nullcontext(options.out)
    with stopping() as stop, place as work:
        check_checkpoints(config)
        dataset = load_dataset(options.folders)
        with console.status("Fetching what the artifact carries for AWS's container"):
            wheels = fetch_wheels(pinned_requirements(), wheel_cache()) if distributed.primary() else []
        network = create_network(config, dataset)
        _introduce(dataset, network, config)
        result = train(network, dataset, config, stop=stop)
        evaluation = evaluate(dataset, result, config)
        if not distributed.primary():
            return

        findings = evaluation.findings
        model = Model(network, dataset.photos.classes, config.mode, evaluation.temperature)
        facts = _facts(options, config, dataset, network, result) | dict(about or {})
        with weights_rescued(work=work, out=options.out, network=network):
            packed = pack(model, wheels=wheels, work=work)
            proof = prove(model, packed, photos=dataset.photos.splits["test" if findings else "valid"])
            manifest = write_manifest(model, packed, proof=proof, findings=findings, facts=facts, work=work)
            write_report(manifest, findings, work=work)
            publish_artifact(manifest, proof=proof, work=work, out=options.out)


def run_trial(options: Options) -> None:
    """Train and validate, and leave nothing but what is printed: a trial, of which a tuning job takes the metric.

    Raises
    ------
    TrainingError, Stopped
        As by ``fit``.
    """
    config = configure(options)
    check_architecture(config.architecture)
    with stopping() as stop:
        check_checkpoints(config)
        dataset = load_dataset(options.folders)
        network = create_network(config, dataset)
        _introduce(dataset, network, config)
        validate(train(network, dataset, config, stop=stop), config)


def _introduce(dataset: Dataset, network: Recipe, config: TrainConfig) -> None:
    """Print what learns from what."""
    images, labels = dataset.images, [label(name) for name in dataset.photos.classes]
    shown = ", ".join(labels if len(labels) <= 12 else [*labels[:5], "...", labels[-1]])
    say(
        "Photos",
        f"{images['train']} to train, {images['valid']} to validate, {images.get('test', 'none')} to test; "
        f"{len(labels)} classes: {shown}",
    )
    side, size = network.rule.crop, distributed.size()
    say(
        "Model",
        f"{network.architecture}, weights {network.weights}, {side} x {side} pixels; training "
        + ("the last layer" if config.mode == "head" else f"every layer, augmentation {config.augment}")
        + f", on the {'GPU' if device().type == 'cuda' else 'CPU'}"
        + (f", in {size} processes" if size > 1 else ""),
    )


def _facts(
    options: Options, config: TrainConfig, dataset: Dataset, network: Recipe, result: TrainResult
) -> dict[str, Any]:
    """Return what the manifest says of the training and its photos."""
    division = None if options.split is None else {"shares": str(options.split), "seed": options.seed}
    return {
        "history": [asdict(epoch) for epoch in result.history],
        "training": asdict(config.schedule)
        | {"best_epoch": result.epoch, "image_size": network.rule.crop, "augment": config.augment}
        | ({"views": config.views} if config.mode == "head" else {})
        | result.settings,
        "speed": result.speed | {"processes": distributed.size()},
        "data": dataset.facts(division),
    }
