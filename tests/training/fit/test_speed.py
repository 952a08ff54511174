import pytest
import torch
from torch import nn

from tests.training.fit.small import tiny
from training.data import photos
from training.data.photos import PixelDataset
from training.fit import speed
from training.fit.loading import batches
from training.fit.speed import (
    AMX,
    AVX512_BF16,
    choose_precision,
    compiling_pays,
    decoding_workers,
    loses_with_avx512,
    machine,
    usual_pixels,
    workers_for,
)
from training.model.network import build
from training.model.recognition import _Shapes

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
    monkeypatch.setattr(speed, "cores", lambda: 2)
    monkeypatch.setattr(speed, "device", lambda: torch.device("cpu"))
    assert workers_for(made) == 0
    monkeypatch.setattr(speed, "usual_pixels", lambda _: 8_000_000)
    assert workers_for(made) == 2
    monkeypatch.setattr(speed, "cores", lambda: 1)
    assert workers_for(made) == 0
    monkeypatch.setattr(speed, "device", lambda: torch.device("cuda"))
    assert workers_for(made) == 1


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
