import pytest
import torch
from torch import Tensor, nn

from tests.training.fit.small import SCHEDULE, datasets, recipe, state
from training.common.errors import TrainingError
from training.data import photos
from training.data.photos import PixelDataset
from training.fit.evaluation import measure, predict
from training.fit.full import train_full
from training.fit.schedule import Schedule

pytestmark = pytest.mark.usefixtures("trains")


def test_full_mode_learns_to_tell_colours_apart(splits: dict[str, list[photos.Photo]]) -> None:
    made = recipe()
    outcome = train_full(made, *datasets(splits, made, "light"), SCHEDULE)
    assert measure(outcome.validation_logits, outcome.validation_targets).accuracy == 1
    assert measure(*predict(made.classifier, PixelDataset(splits["test"], made.rule), "")).accuracy == 1


def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not(splits: dict[str, list[photos.Photo]]) -> None:
    def train(seed: int) -> dict[str, Tensor]:
        made = recipe()
        train_full(made, *datasets(splits, made, "light"), Schedule(1, 8, 1e-3, seed))
        return state(made)

    first, again, other = train(0), train(0), train(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_last_step_that_diverges_is_an_error(splits: dict[str, list[photos.Photo]]) -> None:
    made = recipe()
    with pytest.raises(TrainingError, match="smaller --lr"):
        train_full(made, *datasets(splits, made), Schedule(1, 24, lr=1e38, seed=0))


def test_divergence_is_an_error(splits: dict[str, list[photos.Photo]]) -> None:
    made = recipe()
    nn.init.constant_(made.classifier.network.get_parameter("fc.weight"), float("nan"))
    with pytest.raises(TrainingError, match="smaller --lr"):
        train_full(made, *datasets(splits, made), SCHEDULE)
