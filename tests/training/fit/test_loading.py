import pytest
import torch

from tests.training.fit.small import tiny
from training.common.errors import TrainingError
from training.data import photos
from training.data.photos import PixelDataset
from training.fit import loading
from training.fit.loading import batches, decoding_workers, usual_pixels, workers_for

Splits = dict[str, list[photos.Photo]]


def test_the_pixels_are_the_same_whoever_decodes_them(splits: Splits) -> None:
    made = PixelDataset(splits["train"], tiny().rule, "light")
    groups = [[item, item + 24] for item in range(16)]
    for (pixels, targets), (same, alike) in zip(batches(made, groups, 0), batches(made, groups, 2), strict=True):
        assert torch.equal(pixels, same)
        assert torch.equal(targets, alike)


@pytest.mark.parametrize(
    ("photos", "pixels", "cores", "workers"),
    [
        (1167, 32 * 32, 2, 0),  # the demo
        (10**6, 64 * 64, 16, 0),
        (1000, 500 * 375, 2, 1),
        (1000, 500 * 375, 16, 1),
        (1000, 1024 * 768, 2, 2),
        (1000, 1024 * 768, 16, 4),
        (1000, 4032 * 3024, 16, 16),
        (1000, 4032 * 3024, 96, 16),
        (1000, 4032 * 3024, 1, 0),
        (200, 500 * 375, 2, 0),  # decoded before a worker has started
    ],
)
def test_workers_decode_large_photos_and_enough_of_them(photos: int, pixels: int, cores: int, workers: int) -> None:
    assert decoding_workers(photos, pixels, cores) == workers


def test_the_size_of_photos_is_read_from_their_files(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    made = PixelDataset(splits["train"], tiny().rule, "light")
    assert usual_pixels(made) == 32 * 40
    monkeypatch.setattr(loading, "cores", lambda: 2)
    monkeypatch.setattr(loading, "device", lambda: torch.device("cpu"))
    assert workers_for(made) == 0
    monkeypatch.setattr(loading, "usual_pixels", lambda _: 8_000_000)
    assert workers_for(made) == 2
    monkeypatch.setattr(loading, "cores", lambda: 1)
    assert workers_for(made) == 0
    monkeypatch.setattr(loading, "device", lambda: torch.device("cuda"))
    assert workers_for(made) == 1


def test_photos_that_became_unreadable_are_told_by_whoever_decodes_them(splits: Splits) -> None:
    made = PixelDataset(splits["train"], tiny().rule, "light")
    made.photos[0].path.write_bytes(b"no photo")
    assert usual_pixels(made) == 32 * 40
    for photo in made.photos:
        photo.path.unlink()
    assert usual_pixels(made) == 0
    with pytest.raises(TrainingError):
        list(batches(made, [[0]], 0))
