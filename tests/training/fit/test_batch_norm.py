"""Which networks need their statistics computed again, and what that gives."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from tests.training.fit.processes import in_processes, train
from tests.training.fit.small import SCHEDULE, datasets, state, tiny
from training.common.torchvision_compat import models
from training.data import photos
from training.fit import full
from training.fit.batch_norm import INITIAL_SHARE, initial_share, needs_statistics, with_statistics_of
from training.fit.evaluation import measure, predict
from training.fit.full import Trainer, train_full
from training.fit.schedule import Schedule
from training.fit.stopping import Stop
from training.model.network import build, create
from training.model.recognition import _Shapes

Splits = dict[str, list[photos.Photo]]

SLOW = {
    "efficientnet_b5": 0.01,
    "efficientnet_b6": 0.01,
    "efficientnet_b7": 0.01,
    "maxvit_t": 0.01,
    "mnasnet0_5": 3e-4,
    "mnasnet0_75": 3e-4,
    "mnasnet1_0": 3e-4,
    "mnasnet1_3": 3e-4,
    "mobilenet_v3_large": 0.01,
    "mobilenet_v3_small": 0.01,
}
"""Momentum of torchvision's classifiers whose batch norm follows more slowly than PyTorch's default of 0.1."""

ENOUGH = {0.1: 132, 0.01: 1_375, 3e-4: 46_045}
"""Steps after which no more than the bound is left of the initial value, by momentum."""


def built(architecture: str) -> nn.Module:
    with _Shapes():
        return build(architecture, 2, 224, pretrained=True)


def normalising(module: nn.Module) -> list[_BatchNorm]:
    return [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]


@pytest.mark.parametrize("architecture", models.list_models(module=models))
def test_the_rule_knows_the_momentum_of_every_architecture(architecture: str) -> None:
    network = built(architecture)
    momenta = {layer.momentum or 0.0 for layer in normalising(network)}
    if not momenta:
        assert not needs_statistics(network, 1)
        return
    slowest = SLOW.get(architecture, 0.1)
    assert min(momenta) == pytest.approx(slowest)
    assert needs_statistics(network, ENOUGH[slowest] - 1)
    assert not needs_statistics(network, ENOUGH[slowest])


def test_the_share_of_the_initial_value_falls_with_the_momentum_and_more_slowly_in_averaged_weights() -> None:
    assert initial_share(0.01, 100) == pytest.approx(0.99**100)
    assert initial_share(0.1, 132) <= INITIAL_SHARE < initial_share(0.1, 131)
    assert initial_share(None, 1) == 0
    assert initial_share(0.01, 1_375, ema=0.999) > INITIAL_SHARE >= initial_share(0.01, 20_000, ema=0.999)


def test_averaged_statistics_hold_the_share_that_the_rule_says(splits: Splits) -> None:
    made = tiny()
    training = Trainer(
        made, *datasets(splits, made), replace(SCHEDULE, ema=0.9), "float32", None, Stop(), lambda _: None
    )
    assert training.progress.average is not None
    for _ in range(5):  # statistics of 1000 and momentum 0.1: what is left of it is all there is
        layer = normalising(training.module)[0]
        layer.get_buffer("running_mean").copy_(
            layer.get_buffer("running_mean") * 0.9 if layer.get_buffer("running_mean").any() else torch.tensor(900.0)
        )
        training.progress.average.update_parameters(training.module)
    held = normalising(training.progress.average)[0].get_buffer("running_mean")
    assert held.numpy() == pytest.approx(1000 * initial_share(0.1, 5, ema=0.9), rel=1e-5)


def test_statistics_are_those_of_pytorch_and_the_module_stays_as_it_is() -> None:
    module = tiny(dropout=0.0).classifier.train()
    batches = [torch.randint(256, (8, 32, 32, 3), dtype=torch.uint8) for _ in range(3)]
    module(batches[0])
    before = {name: value.clone() for name, value in module.state_dict().items()}
    found = with_statistics_of(module, batches)
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    update_bn(batches, module)
    expected = module.state_dict()
    assert not torch.equal(expected["network.1.running_mean"], before["network.1.running_mean"])
    for name, value in found.state_dict().items():
        counts = name.endswith("num_batches_tracked")
        assert torch.equal(value, before[name] if counts else expected[name]), name
    assert normalising(found)[0].momentum == 0.1
    assert not found.training


def test_statistics_do_not_depend_on_dropout() -> None:
    torch.manual_seed(0)
    layers = [nn.Dropout(0.5), nn.BatchNorm1d(4)]
    rows = torch.randn(16, 4)
    found = with_statistics_of(nn.Sequential(*layers), [rows])
    torch.testing.assert_close(found.get_buffer("1.running_mean"), rows.mean(0))


@pytest.mark.usefixtures("trains")
@pytest.mark.parametrize("architecture", ["mobilenet_v3_small", "mnasnet0_5"])
def test_networks_whose_batch_norm_follows_slowly_learn(
    splits: Splits, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def accuracy() -> float:
        torch.manual_seed(0)
        made = create(architecture, "none", 3, 64, 64)
        schedule = Schedule(epochs=8, batch_size=8, lr=3e-3, seed=0)
        outcome = train_full(made, *datasets(splits, made), schedule, report=lambda _: None)
        return measure(outcome.validation_logits, outcome.validation_targets).accuracy

    assert accuracy() > 0.6
    monkeypatch.setattr(full, "needs_statistics", lambda *_: False)
    assert accuracy() < 0.5  # one class for all photos


@pytest.mark.usefixtures("trains")
@pytest.mark.parametrize(
    ("epochs", "batch_norm", "patience", "retaken"),
    [(43, "train", None, 43), (44, "train", None, 0), (44, "train", 1, 2), (1, "frozen", None, 0)],
)
def test_what_moves_its_statistics_or_freezes_them_keeps_them(
    splits: Splits, monkeypatch: pytest.MonkeyPatch, epochs: int, batch_norm: str, patience: int | None, retaken: int
) -> None:
    made, passes = tiny(), list[int]()

    def count(module: nn.Module, _: object) -> nn.Module:
        passes.append(1)
        return module

    monkeypatch.setattr(full, "with_statistics_of", count)
    schedule = replace(SCHEDULE, epochs=epochs, batch_norm=batch_norm, patience=patience)  # of 3 steps
    outcome = train_full(made, *datasets(splits, made), schedule, report=lambda _: None)
    assert min(len(passes), retaken) == retaken
    assert bool(passes) == bool(retaken)  # with patience, training may last longer than it has to
    assert bool(outcome.settings) == bool(retaken)


@pytest.mark.usefixtures("trains")
def test_the_weights_that_are_kept_are_those_that_were_validated(splits: Splits) -> None:
    made = tiny()
    train_set, valid = datasets(splits, made)
    outcome = train_full(made, train_set, valid, replace(SCHEDULE, ema=0.5), report=lambda _: None)
    assert torch.equal(predict(made.classifier, valid, "")[0], outcome.validation_logits)
    assert state(made)["network.1.num_batches_tracked"] == 3 * outcome.epoch


@pytest.mark.usefixtures("trains")
def test_two_processes_compute_the_statistics_of_one(data: Path) -> None:
    schedule = Schedule(epochs=1, batch_size=9, lr=1e-3, seed=0, ema=0.9)
    ((alone, _),) = in_processes(1, train, data, schedule, "tiny without dropout")
    one, other = (weights for weights, _ in in_processes(2, train, data, schedule, "tiny without dropout"))
    for name, value in alone.items():
        assert (one[name] == other[name]).all(), name
        np.testing.assert_allclose(one[name], value, atol=1e-5, err_msg=name)
