"""The photos of a training, and what the manifest says of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from training.common.errors import TrainingError
from training.data.photos import SPLITS
from training.fit import distributed
from training.fit.dataset import load_dataset


def folders(data: Path) -> dict[str, Path]:
    return {split: data / split for split in SPLITS}


def test_training_sees_no_test_split_and_the_manifest_tells_of_all(data: Path) -> None:
    dataset = load_dataset(folders(data))
    assert dataset.images == {"train": 24, "valid": 12, "test": 12}
    learning = dataset.without_test()
    assert learning.photos.splits.keys() == learning.photos.folders.keys() == {"train", "valid"}
    assert list(dataset.facts()) == ["fingerprint", "images", "findings"]
    assert dataset.facts({"shares": "0.8,0.1,0.1", "seed": 0})["split"] == {"shares": "0.8,0.1,0.1", "seed": 0}


@pytest.mark.parametrize("same", [True, False])
def test_machines_with_other_photos_are_told(data: Path, monkeypatch: pytest.MonkeyPatch, same: bool) -> None:
    def everyone(mine: Any) -> list[Any]:
        return [mine, None, mine if same else replace(mine, fingerprint="other")]

    monkeypatch.setattr(distributed, "size", lambda: 3)
    monkeypatch.setattr(distributed, "first_here", lambda: True)
    monkeypatch.setattr(distributed, "everyone", everyone)
    if same:
        assert load_dataset(folders(data)).images["train"] == 24
        return
    with pytest.raises(TrainingError, match="the machines do not hold the same photos"):
        load_dataset(folders(data))
