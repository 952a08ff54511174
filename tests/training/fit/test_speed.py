import pytest
import torch
from torch import nn

from training.fit import speed
from training.fit.speed import (
    AMX,
    AVX512_BF16,
    choose_precision,
    compiling_pays,
    loses_with_avx512,
    machine,
)
from training.model.network import build
from training.model.recognition import _Shapes


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
