import pytest
import torch

from tests.training.fit.small import tiny
from training.data import photos
from training.data.photos import PixelDataset
from training.fit import speed
from training.fit.speed import Feeder, choose_precision

Splits = dict[str, list[photos.Photo]]


def feeder(splits: Splits, cores: int) -> Feeder:
    made = Feeder(PixelDataset(splits["train"], tiny().rule, "light"))
    made.cores, made._decided = cores, cores == 1
    return made


def test_the_pixels_are_the_same_whoever_decodes_them(splits: Splits) -> None:
    groups = [[item, item + 24] for item in range(16)]
    alone, helped = feeder(splits, 1), feeder(splits, 2)
    helped.NOTICEABLE = -1  # every wait is noticeable: workers are tried in the middle of the epoch
    expected, found = list(alone(groups)), list(helped(groups))
    assert alone.medians == {}
    assert helped.facts()["step_milliseconds"].keys() == {"0"}
    assert helped.workers == 1
    for (pixels, targets), (same, alike) in zip(expected, found, strict=True):
        assert torch.equal(pixels, same)
        assert torch.equal(targets, alike)


@pytest.mark.parametrize(
    ("alone", "helped", "chosen"), [((1.0, 0.05), 0.5, 0), ((1.0, 0.4), 0.7, 1), ((1.0, 0.4), 1.2, 0)]
)
def test_workers_decode_only_where_that_is_noticed_and_faster(
    splits: Splits, alone: tuple[float, float], helped: float, chosen: int
) -> None:
    made = feeder(splits, 2)
    seconds, waiting = alone
    made._learn([seconds] * 8, [waiting] * 8)
    if made.workers:
        made._learn([helped] * 8, [0.0] * 8)
    assert made.workers == chosen
    assert made._decided


def test_photos_that_take_longer_than_learning_get_more_workers(splits: Splits) -> None:
    made = feeder(splits, 8)
    made._learn([1.0] * 8, [0.78] * 8)  # far from where the last digit would decide, which Python 3.12 sums otherwise
    assert made.workers == 4


@pytest.mark.parametrize(
    ("side", "amx", "expected"), [(224, True, "bfloat16"), (32, True, "float32"), (224, False, "float32")]
)
def test_bfloat16_is_for_large_photos_on_a_cpu_that_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, side: int, amx: bool, expected: str
) -> None:
    monkeypatch.setattr(speed, "device", lambda: torch.device("cpu"))
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: amx)
    assert choose_precision(side) == expected
