from pathlib import Path

import pytest

from training.data import photos


@pytest.fixture
def splits(data: Path) -> dict[str, list[photos.Photo]]:
    return photos.find({split: data / split for split in photos.SPLITS}).splits
