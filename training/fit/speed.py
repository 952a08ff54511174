"""What makes training faster on this machine: the number format of its arithmetic, and who decodes the photos.

Not taken on a CPU: weights in channels-last order (measured with ResNet-18: 5 % slower at 32 pixels a side, no
difference at 224, as the pixels come in that order anyway), and ``torch.compile`` of what learns (ResNet-18: 24 s for
6 % a step at 32 pixels, 67 s for nothing at 224). JPEG's draft mode, which decodes at a half or a quarter, would show
training other pixels than serving does.
"""

import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from training.data.photos import PixelDataset
from training.fit.loading import batches, device
from training.serving.cores import cores

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


class Feeder:
    """Batches of photos, decoded by whoever makes the steps shortest.

    The pixels do not depend on who decodes, so here a stopwatch may decide: the first steps run with decoding in
    between; if they wait noticeably for it, some more run with worker processes, and the faster way stays.
    """

    WATCHED, SKIPPED, NOTICEABLE = 8, 2, 0.1

    def __init__(self, photos: PixelDataset) -> None:
        self.photos = photos
        self.cores = min(cores(), 16)
        self.workers = self.cores if device().type == "cuda" else 0  # a GPU leaves the cores to the photos
        self.medians: dict[int, float] = {}
        self.waiting = 0.0
        self._decided = device().type == "cuda" or self.cores == 1

    def __call__(self, groups: list[list[int]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Return (pixels [n, height, width, 3], targets [n]) of each group of items."""
        at = 0
        while at < len(groups):
            workers, seconds, waits = self.workers, list[float](), list[float]()
            asked = time.perf_counter()
            for batch in batches(self.photos, groups[at:], workers):
                got = time.perf_counter()
                yield batch
                at += 1
                waits.append(got - asked)
                seconds.append(time.perf_counter() - asked)
                asked = time.perf_counter()
                if not self._decided and len(seconds) == self.SKIPPED + self.WATCHED:
                    self._learn(seconds[self.SKIPPED :], waits[self.SKIPPED :])
                    if self.workers != workers:
                        break

    def facts(self) -> dict[str, Any]:
        """Return what was measured and chosen: milliseconds a step by the number of workers, and that number."""
        steps = {str(workers): round(1000 * seconds, 1) for workers, seconds in self.medians.items()}
        return {"workers": self.workers, "share_of_time_waiting": round(self.waiting, 3), "step_milliseconds": steps}

    def _learn(self, seconds: list[float], waits: list[float]) -> None:
        self.medians[self.workers] = statistics.median(seconds)
        if self.workers == 0:
            self.waiting = sum(waits) / sum(seconds)
            if self.waiting > self.NOTICEABLE:
                busy = self.waiting / (1 - self.waiting)  # one worker's time for the photos of one step's time
                self.workers = max(1, min(self.cores - 1, round(busy + 0.5)))
            else:
                self._decided = True
        else:
            self._decided = True
            self.workers = min(self.medians, key=lambda workers: self.medians[workers])
