from pathlib import Path

import pytest

from training.data import photos
from training.fit import speed


@pytest.fixture
def amx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the rules take this CPU for one with AMX."""
    monkeypatch.setattr(speed, "bfloat16_unit", lambda: speed.AMX)


@pytest.fixture
def splits(data: Path) -> dict[str, list[photos.Photo]]:
    return photos.find({split: data / split for split in photos.SPLITS}).splits
