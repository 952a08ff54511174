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
from torch import Tensor

from training.data.photos import PixelDataset
from training.fit.loading import batches, device
from training.serving.cores import cores

BFLOAT16_SIDE = 96
"""Pixels. ResNet-18 on a CPU with AMX takes half the time a step in bfloat16 at 224 pixels a side, and 8 % more at 32,
where converting outweighs multiplying."""

PRECISIONS = ("float32", "bfloat16")


def choose_precision(side: int) -> str:
    """Return the format that training multiplies in; weights, sums and everything after training stay float32.

    A rule made from measurements, not a stopwatch: the format changes the last digits of the weights, and the same
    machine must give the same weights again.
    """
    if device().type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if side >= BFLOAT16_SIDE and torch.cpu._is_amx_tile_supported() else "float32"


COMPILED_FROM = 4e13
"""Operations, 5,000 photos of ResNet-50. Compiling takes 20 s on two cores; it then saves ResNet-50 7 ms a photo, and
ResNet-18 1.5 ms."""


def compiling_pays(precision: str, operations: int) -> bool:
    """Return whether a frozen network with so much before it is to be compiled first.

    In float32 ResNet-50 gains 15 % by it, which is not enough; on a GPU nobody has measured.
    """
    return device().type == "cpu" and precision == "bfloat16" and operations >= COMPILED_FROM


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
