from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.training.fit.small import SCHEDULE, datasets, recipe, state
from training.data import photos
from training.data.pixels import read_photo
from training.errors import TrainingError
from training.fit.evaluation import measure, predict
from training.fit.head import train_head
from training.fit.schedule import Schedule


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
