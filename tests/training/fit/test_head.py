from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.fit.processes import in_processes
from tests.training.fit.small import SCHEDULE, recipe, state
from training.common.errors import TrainingError
from training.data import photos
from training.data.photos import Photos, PixelDataset
from training.fit.evaluation import measure, predict
from training.fit.features import FeatureBank, Features
from training.fit.frozen import last_layer
from training.fit.head import predict_head, train_head
from training.fit.schedule import Schedule

pytestmark = pytest.mark.usefixtures("trains")


def test_head_mode_leaves_the_rest_untouched(found: Photos, tmp_path: Path) -> None:
    made = recipe()
    before, bank = state(made), FeatureBank(made, found, tmp_path)
    outcome = train_head(last_layer(made), bank["train"], bank["valid"], Schedule(20, 8, 1e-2, 0))
    after = state(made)
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "network.fc.weight",
        "network.fc.bias",
    }
    assert measure(outcome.validation_logits, outcome.validation_targets).accuracy > 0.9


def test_the_network_answers_as_its_head_did_on_features(found: Photos, tmp_path: Path) -> None:
    made = recipe("mobilenet_v3_small")
    bank = FeatureBank(made, found, tmp_path)
    outcome = train_head(last_layer(made), bank["train"], bank["valid"], SCHEDULE)
    for split, (logits, targets) in {
        "valid": (outcome.validation_logits, outcome.validation_targets),
        "test": predict_head(last_layer(made), bank["test"]),
    }.items():
        expected = predict(made.classifier, PixelDataset(found.splits[split], made.rule), "")
        assert torch.allclose(logits, expected[0], atol=1e-5)
        assert torch.equal(targets, expected[1])


def test_an_epoch_takes_one_view_of_each_photo_and_the_next_epoch_the_next_one() -> None:
    seen: list[Tensor] = []

    class Head(nn.Linear):
        def forward(self, features: Tensor) -> Tensor:
            if self.training:
                seen.append(features[:, 0].long())
            return super().forward(features)

    views, count = 3, 5
    numbers = torch.tensor([[10 * photo + view for photo in range(count)] for view in range(views)])
    features = Features(numbers[..., None].float(), torch.zeros(count, dtype=torch.long))
    train_head(Head(1, 2), features, features, Schedule(views, 2, 1e-9, 0))
    epochs = torch.cat(seen).reshape(views, count)
    for epoch in epochs:
        assert sorted((epoch // 10).tolist()) == list(range(count))
        assert len(set((epoch % 10).tolist())) == views
    assert sorted(epochs.flatten().tolist()) == sorted(numbers.flatten().tolist())


def test_the_same_seed_gives_the_same_head_and_another_seed_does_not(found: Photos, tmp_path: Path) -> None:
    def train(seed: int) -> Tensor:
        made = recipe()
        bank = FeatureBank(made, found, tmp_path)
        train_head(last_layer(made), bank["train"], bank["valid"], Schedule(1, 8, 1e-3, seed))
        return last_layer(made).weight.detach()

    first, again, other = train(0), train(0), train(1)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def learn(photos: int) -> Any:
    chance = torch.Generator().manual_seed(0)
    features = Features(torch.randn(2, photos, 4, generator=chance), torch.arange(photos) % 3)
    torch.manual_seed(0)
    head = nn.Linear(4, 3)
    outcome = train_head(head, features, features, Schedule(3, 4, 1e-2, 0))
    return head.weight.detach().numpy(), [epoch.train_loss for epoch in outcome.history]


def test_each_of_several_processes_trains_the_head_that_one_would() -> None:
    weight, losses = learn(13)
    for theirs in in_processes(3, learn, 13):
        assert (theirs[0] == weight).all()
        assert theirs[1] == pytest.approx(losses)


def test_a_loss_that_is_no_number_is_an_error() -> None:
    features = Features(torch.full((1, 4, 2), float("nan")), torch.zeros(4, dtype=torch.long))
    with pytest.raises(TrainingError, match="smaller --lr"):
        train_head(nn.Linear(2, 2), features, features, SCHEDULE)


@pytest.fixture
def found(data: Path) -> Photos:
    return photos.find({split: data / split for split in photos.SPLITS})
