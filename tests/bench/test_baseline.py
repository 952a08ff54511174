from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bench import baseline, synthetic
from training.common.torchvision_compat import models


@pytest.fixture
def data(tmp_path: Path) -> Path:
    synthetic.write_photos(tmp_path / "data", range(2), {"train": 4, "valid": 1, "test": 1})
    return tmp_path / "data"


def test_photos_are_of_real_size_and_the_same_every_time(data: Path, tmp_path: Path) -> None:
    synthetic.write_photos(tmp_path / "again", range(2), {"train": 4, "valid": 1, "test": 1})
    files = sorted(path.relative_to(data) for path in data.rglob("*.jpg"))
    assert len(files) == 12
    bodies = {(data / file).read_bytes() for file in files}
    assert len(bodies) == 12
    assert bodies == {(tmp_path / "again" / file).read_bytes() for file in files}
    assert all(20_000 < len(body) < 200_000 for body in bodies)


def test_the_baseline_learns_its_head_alone_but_moves_the_frozen_statistics(data: Path, tmp_path: Path) -> None:
    save_file(models.resnet50().state_dict(), tmp_path / "weights.safetensors")
    model = baseline.network(tmp_path / "weights.safetensors")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seconds, processor = baseline.train(model, baseline.splits(data, 64), 1)
    assert len(seconds) == len(processor) == 1
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    learnt = {name for name in changed if "running" not in name and "num_batches" not in name}
    assert learnt == {"fc.0.weight", "fc.0.bias", "fc.2.weight", "fc.2.bias"}
    assert "layer4.2.bn3.running_mean" in changed


def test_the_head_is_that_of_the_baseline() -> None:
    shapes = [tuple(layer.weight.shape) for layer in baseline.head(2048) if isinstance(layer, nn.Linear)]
    assert shapes == [(128, 2048), (133, 128)]


def test_photos_are_cut_at_random_for_training_and_in_the_centre_otherwise_and_not_normalised(data: Path) -> None:
    def pixels(split: str) -> Tensor:
        return torch.cat([batch for batch, _ in baseline.splits(data, 224)[split]])

    assert torch.equal(pixels("valid"), pixels("valid"))
    assert not torch.equal(pixels("train"), pixels("train"))
    assert 0 <= pixels("train").min() <= pixels("train").max() <= 1
