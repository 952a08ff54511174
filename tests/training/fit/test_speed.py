import pytest
import torch
from torch import nn

from tests.training.fit.small import tiny
from training.data import photos
from training.data.photos import PixelDataset
from training.fit import speed
from training.fit.speed import (
    AMX,
    AVX512_BF16,
    Feeder,
    choose_precision,
    compiling_pays,
    loses_with_avx512,
    machine,
)
from training.model.network import build
from training.model.recognition import _Shapes

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


def on_a_cpu(monkeypatch: pytest.MonkeyPatch, *units: str) -> None:
    monkeypatch.setattr(speed, "device", lambda: torch.device("cpu"))
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: AMX in units)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: AVX512_BF16 in units)


def built(architecture: str) -> nn.Module:
    with _Shapes():
        return build(architecture, 2, 224, pretrained=True)


@pytest.mark.parametrize(
    ("architecture", "side", "units", "expected"),
    [
        ("resnet18", 224, [AMX, AVX512_BF16], "bfloat16"),
        ("resnet18", 224, [AVX512_BF16], "bfloat16"),
        ("resnet18", 224, [], "float32"),
        ("resnet18", 96, [AVX512_BF16], "bfloat16"),
        ("resnet18", 32, [AMX, AVX512_BF16], "float32"),  # the demo
        ("resnet18", 32, [AVX512_BF16], "float32"),
        ("mobilenet_v3_small", 224, [AMX, AVX512_BF16], "bfloat16"),
        ("mobilenet_v3_small", 224, [AVX512_BF16], "float32"),
    ],
)
def test_bfloat16_is_for_large_photos_on_a_cpu_that_multiplies_it_faster(
    monkeypatch: pytest.MonkeyPatch, architecture: str, side: int, units: list[str], expected: str
) -> None:
    on_a_cpu(monkeypatch, *units)
    assert choose_precision(built(architecture), side) == expected


@pytest.mark.parametrize(
    ("architecture", "loses"),
    [
        ("mobilenet_v3_small", True),
        ("efficientnet_b0", True),
        ("shufflenet_v2_x1_0", True),
        ("regnet_y_400mf", True),
        ("resnet50", False),
        ("vgg11", False),
        ("densenet121", False),
        ("vit_b_16", False),
        ("swin_t", False),
        ("convnext_tiny", False),
    ],
)
def test_networks_that_avx512_slows_down_are_told_by_their_layers(architecture: str, loses: bool) -> None:
    assert loses_with_avx512(built(architecture)) is loses


def test_the_kind_of_processor_decides_the_last_digits_of_bfloat16_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = []
    for units in ([AMX, AVX512_BF16], [AVX512_BF16], []):
        on_a_cpu(monkeypatch, *units)
        kinds.append((machine("float32"), machine("bfloat16")))
    assert len({exact for exact, _ in kinds}) == 1
    assert len({quick for _, quick in kinds}) == 3


def test_only_a_cpu_with_amx_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    for units, pays in (([AMX], True), ([AVX512_BF16], False), ([], False)):
        on_a_cpu(monkeypatch, *units)
        assert compiling_pays("bfloat16", 10**15) is pays
