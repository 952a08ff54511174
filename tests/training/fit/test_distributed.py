import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from tests.training.fit.processes import exchange, in_processes, normalise, train
from training.common.errors import TrainingError
from training.fit.schedule import Schedule
from training.fit.torchrun import group

pytestmark = pytest.mark.usefixtures("trains")

SCHEDULE = Schedule(epochs=2, batch_size=9, lr=1e-3, seed=0)  # nine photos a step: two processes have unequal parts


@pytest.mark.parametrize("count", [7, 2, 1])
def test_processes_exchange_rows_values_and_tensors(count: int) -> None:
    for rank, each in enumerate(in_processes(3, exchange, count)):
        assert each["gathered"] == [[item, item + 0.5] for item in range(count)]
        assert each["shared"] == {"from": 0}
        assert each["everyone"] == [0, 1, 2]
        assert each["total"] == [3.0, 3.0]
        assert each["tensors"] == {"a": [0, 1, 2], "b": [[0.5, 0.5], [0.5, 0.5]]}
        assert each["first_here"] == (rank == 0)


def test_batch_norm_over_two_processes_is_that_of_the_whole_batch() -> None:
    torch.manual_seed(0)
    pixels, upstream = torch.randn(5, 4, 3, 3) * 3 + 7, torch.randn(5, 4, 3, 3)
    weight, bias = torch.rand(4) + 0.5, torch.randn(4)
    layer = nn.BatchNorm2d(4)
    layer.load_state_dict({"weight": weight, "bias": bias}, strict=False)
    whole = pixels.clone().requires_grad_()
    expected = layer(whole)
    (expected * upstream).sum().backward()
    parts = in_processes(2, normalise, pixels, weight, bias, upstream)
    assert whole.grad is not None
    assert layer.weight.grad is not None
    for rank, part in enumerate(parts):
        np.testing.assert_allclose(part["output"], expected.detach()[rank::2], atol=2e-6)
        np.testing.assert_allclose(part["gradient"], whole.grad[rank::2], atol=2e-6)
        np.testing.assert_allclose(part["mean"], layer.get_buffer("running_mean"), atol=1e-6)
        np.testing.assert_allclose(part["variance"], layer.get_buffer("running_var"), atol=1e-6)
    np.testing.assert_allclose(sum(part["weight"] for part in parts), layer.weight.grad, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "batch_norm", "tolerance"), [("resnet18", "frozen", 1e-4), ("tiny without dropout", "train", 1e-5)]
)
def test_two_processes_learn_what_one_learns(data: Path, network: str, batch_norm: str, tolerance: float) -> None:
    # AdamW's first steps are as long as the learning rate whatever the gradient, so where that is almost 0, rounding
    # shows: in 5 of ResNet-18's 11 million weights by 3e-5, a thirtieth of a step.
    schedule = replace(SCHEDULE, batch_norm=batch_norm)
    ((alone, history),) = in_processes(1, train, data, schedule, network)
    for weights, epochs in in_processes(2, train, data, schedule, network):
        for name, value in alone.items():
            np.testing.assert_allclose(weights[name], value, atol=tolerance, err_msg=name)
        for mine, theirs in zip(epochs, history, strict=True):
            assert mine.train_loss == pytest.approx(theirs.train_loss, abs=1e-4)
            assert mine.validation.images == theirs.validation.images == 12
            assert mine.validation.loss == pytest.approx(theirs.validation.loss, abs=1e-4)


def test_a_process_beyond_their_number_is_told_and_does_not_wait() -> None:
    with (
        pytest.raises(TrainingError, match="RANK=5 is not below WORLD_SIZE=2"),
        group({"RANK": "5", "WORLD_SIZE": "2"}),
    ):
        pass


def test_no_process_begins_before_all_have_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    store = dist.HashStore()  # type: ignore[attr-defined]
    rendezvous = sys.modules["torch.distributed.rendezvous"]
    monkeypatch.setattr(rendezvous, "rendezvous", lambda *_: iter([(store, 0, 2)]))
    monkeypatch.setattr(dist, "init_process_group", lambda *_, **__: None)
    began = []

    def begin(rank: int) -> None:
        with group({"RANK": str(rank), "WORLD_SIZE": "2"}):
            began.append(rank)

    first = threading.Thread(target=begin, args=(0,))
    first.start()
    first.join(0.5)
    assert began == []
    begin(1)
    first.join()
    assert sorted(began) == [0, 1]


def test_a_step_with_fewer_photos_than_processes_is_refused(data: Path) -> None:
    results = in_processes(3, train, data, replace(SCHEDULE, batch_size=2))
    assert sum(isinstance(each, TrainingError) for each in results) == 1
