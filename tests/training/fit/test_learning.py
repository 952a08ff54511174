from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from training.data import photos
from training.data.photos import PixelDataset
from training.data.pixels import read_photo
from training.errors import TrainingError
from training.fit import learning
from training.fit.learning import Schedule, fit_temperature, measure, predict, train_full, train_head
from training.model.network import Recipe, create

SCHEDULE = Schedule(epochs=3, batch_size=8, lr=1e-3, seed=0)


@pytest.fixture
def splits(data: Path) -> dict[str, list[photos.Photo]]:
    return photos.find({split: data / split for split in photos.SPLITS}).splits


def recipe(architecture: str = "resnet18", seed: int = 0) -> Recipe:
    torch.manual_seed(seed)
    return create(architecture, "none", 3, 32, 32)


def datasets(
    splits: dict[str, list[photos.Photo]], made: Recipe, policy: str = "none"
) -> tuple[PixelDataset, PixelDataset]:
    return PixelDataset(splits["train"], made.rule, policy), PixelDataset(splits["valid"], made.rule)


def state(made: Recipe) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in made.classifier.state_dict().items()}


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


def test_head_mode_leaves_the_rest_untouched_and_reads_each_photo_once(
    splits: dict[str, list[photos.Photo]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe()
    before, reads = state(made), []

    def read(path: Path) -> Image.Image:
        reads.append(path)
        return read_photo(path)

    monkeypatch.setattr(photos, "read_photo", read)
    outcome = train_head(made, *datasets(splits, made), Schedule(20, 8, 1e-2, 0))
    after = state(made)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"network.fc.weight", "network.fc.bias"}
    assert len(reads) == len(set(reads)) == 36
    assert measure(outcome.validation_logits, outcome.validation_targets).accuracy > 0.9


def test_head_mode_answers_as_it_validated(splits: dict[str, list[photos.Photo]]) -> None:
    made = recipe("mobilenet_v3_small")
    train, valid = datasets(splits, made)
    outcome = train_head(made, train, valid, SCHEDULE)
    logits, targets = predict(made.classifier, valid, "")
    assert torch.allclose(logits, outcome.validation_logits, atol=1e-5)
    assert torch.equal(targets, outcome.validation_targets)


def test_head_mode_refuses_a_network_without_a_linear_head(splits: dict[str, list[photos.Photo]]) -> None:
    made = recipe("squeezenet1_1")
    with pytest.raises(TrainingError, match="--mode full"):
        train_head(made, *datasets(splits, made), SCHEDULE)


@pytest.mark.parametrize(
    ("accuracies", "best"), [([0.5, 1.0, 0.75], 2), ([0.25, 0.5, 0.75], 3), ([0.75, 0.5, 0.75], 1)]
)
def test_the_best_validation_epoch_is_kept(accuracies: list[float], best: int) -> None:
    module = nn.Linear(1, 1, bias=False)

    def epoch(number: int) -> float:
        nn.init.constant_(module.weight, number + 1)
        return 0.0

    def validate() -> tuple[Tensor, Tensor]:
        right = int(4 * accuracies[int(module.weight.item()) - 1])
        return torch.eye(2)[[0] * right + [1] * (4 - right)], torch.zeros(4, dtype=torch.long)

    outcome = learning._best_epoch(module, Schedule(3, 1, 1, 0), epoch, validate)
    assert outcome.epoch == best
    assert module.weight.item() == best
    assert measure(outcome.validation_logits, outcome.validation_targets).accuracy == max(accuracies)


def test_divergence_is_an_error(splits: dict[str, list[photos.Photo]]) -> None:
    made = recipe()
    nn.init.constant_(made.classifier.network.get_parameter("fc.weight"), float("nan"))
    with pytest.raises(TrainingError, match="smaller --lr"):
        train_full(made, *datasets(splits, made), SCHEDULE)


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_the_temperature_undoes_overconfidence_and_modesty(scale: float) -> None:
    torch.manual_seed(0)
    honest = torch.randn(20_000, 5)
    targets = torch.distributions.Categorical(logits=honest).sample()  # type: ignore[no-untyped-call]
    assert fit_temperature(honest * scale, targets) == pytest.approx(scale, rel=0.05)


def test_without_a_mistake_to_learn_from_the_temperature_stays_one() -> None:
    assert fit_temperature(torch.eye(4) * 3, torch.arange(4)) == 1


def test_a_model_that_only_guesses_gets_a_bounded_temperature() -> None:
    torch.manual_seed(0)
    assert 0 < fit_temperature(torch.randn(50, 3), torch.randint(0, 3, (50,))) <= 10


def test_metrics_count_and_average() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 0.0]])
    metrics = measure(logits, torch.tensor([0, 1, 1, 0]))
    assert (metrics.accuracy, metrics.images) == (0.75, 4)
    assert metrics.loss == pytest.approx((3 * 0.126928 + 2.126928) / 4, abs=1e-5)
