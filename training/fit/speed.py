"""What makes training faster on this machine: the number format of its arithmetic, and compiled networks.

Not taken on a CPU: weights in channels-last order (measured with ResNet-18: 5 % slower at 32 pixels a side, no
difference at 224, as the pixels come in that order anyway), and ``torch.compile`` of what learns (ResNet-18: 24 s for
6 % a step at 32 pixels, 67 s for nothing at 224). JPEG's draft mode, which decodes at a half or a quarter, would show
training other pixels than serving does.
"""

import torch
from torch import nn

from training.fit.loading import device

BFLOAT16_SIDE = 96
"""Pixels. With AMX, ResNet-18 takes half the time a step in bfloat16 at 224 pixels a side, and 8 % more at 32, where
converting outweighs multiplying. With AVX512-BF16 it gains 1.5 times at 96 and 224, 1.3 at 64 and 1.1 at 32, too little
for a model that is a little less exact."""

PRECISIONS = ("float32", "bfloat16")

AMX, AVX512_BF16 = "AMX", "AVX512-BF16"


def bfloat16_unit() -> str:
    """Return what multiplies bfloat16 in this CPU, of the kinds that were measured: AMX, AVX512-BF16 or nothing.

    AVX512-BF16 was measured on an AMD EPYC (one thread, processor time, PyTorch 2.13; the lowest cosine between
    features of both formats in brackets): a frozen ResNet-50 takes 2.1 times the photos a second at 224 pixels a side
    (0.99999), a training step 2.0 times; ResNet-18 1.6 and 1.5 times, ViT-B/16 3.0 and 2.6 times (0.99997).

    Not measured here, and so in float32 unless ``--precision`` says otherwise: Arm's BF16 extension, which Graviton3
    and later have. Autocast gained little with ResNet-50 on Arm, where most of what surrounds the multiplications had
    no fast code for bfloat16 (https://github.com/pytorch/pytorch/issues/90828).
    """
    if torch.cpu._is_amx_tile_supported():
        return AMX
    return AVX512_BF16 if torch.cpu._is_avx512_bf16_supported() else ""


def choose_precision(network: nn.Module, side: int) -> str:
    """Return the format that training multiplies in; weights, sums and everything after training stay float32.

    A rule made from measurements, not a stopwatch: the format changes the last digits of the weights, and the same
    machine must give the same weights again.
    """
    if device().type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    unit = bfloat16_unit()
    gains = unit == AMX or (unit == AVX512_BF16 and not loses_with_avx512(network))
    return "bfloat16" if gains and side >= BFLOAT16_SIDE else "float32"


def loses_with_avx512(network: nn.Module) -> bool:
    """Return whether bfloat16 slows this network down on a CPU with AVX512-BF16: one of grouped convolutions.

    Measured as above: a training step of MobileNetV3 (small), EfficientNet-B0 and ShuffleNetV2 takes 1.8, 1.7 and 1.4
    times as long, RegNetY-400MF as long as in float32. https://github.com/pytorch/pytorch/issues/183815 reports slow
    grouped convolutions of PyTorch 2.13 in bfloat16. ConvNeXt, which has no batch norm, has few of them and gains: a
    step is 1.3 times as fast. So is one of ResNeXt-50, with ``--precision bfloat16``.
    """
    layers = list(network.modules())
    grouped = any(isinstance(layer, nn.Conv2d) and layer.groups > 1 for layer in layers)
    return grouped and any(isinstance(layer, nn.BatchNorm2d) for layer in layers)


def machine(precision: str) -> str:
    """Return the kind of processor that decides the last digits of what is computed in this format."""
    if device().type == "cuda":
        return torch.cuda.get_device_name()
    unit = bfloat16_unit() if precision == "bfloat16" else ""
    return " with ".join(filter(None, (torch.backends.cpu.get_cpu_capability(), unit)))


COMPILED_FROM = 4e13
"""Operations, 5,000 photos of ResNet-50. Compiling takes 20 s on two cores with AMX; it then saves ResNet-50 7 ms a
photo, and ResNet-18 1.5 ms."""


def compiling_pays(precision: str, operations: int) -> bool:
    """Return whether a frozen network with so much before it is to be compiled first.

    In float32 ResNet-50 gains 15 % by it, which is not enough; on a GPU, or in bfloat16 on a CPU without AMX, nobody
    has measured.
    """
    measured = device().type == "cpu" and precision == "bfloat16" and bfloat16_unit() == AMX
    return measured and operations >= COMPILED_FROM
