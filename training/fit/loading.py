"""Batches of pixels, who decodes them, and the device that takes them."""

import signal
import statistics
from contextlib import suppress
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from training.data.photos import PixelDataset
from training.serving.cores import cores

Batches = DataLoader[tuple[Tensor, Tensor]]

DECODED_FROM = 150_000
"""Pixels of a photo from which worker processes decode beside a CPU that trains.

Measured on two cores with AVX512-BF16, milliseconds a photo of a training step with 0, 1 and 2 workers, the lower of
two runs. ResNet-18 at 32 pixels a side with photos of 0.001 megapixels: 2.6, 2.8, 2.8; at 64 with 0.004: 8.5, 9.6, 8.6;
at 224 with 0.19: 41, 33, 36; with 0.8: 42, 37, 31; with 3.1: 80, 64, 71; with 12: 146, 98, 64. MobileNetV3 (small) at
224 with 0.19: 14, 16, 15; with 0.8: 26, 21, 13.
"""

PIXELS_OF_A_WORKER = 250_000
"""Decoding a photo takes 3 ms and 9 ms a megapixel, a training step of ResNet-18 on two cores 30 ms."""

WORTH_STARTING = 40_000_000
"""Pixels of all photos of an epoch, a second of decoding: workers are started anew in each epoch, in 0.1 s."""

MOST_WORKERS = 16

LOOKED_AT = 32
"""Photos, at most, whose headers tell how large photos are."""


def device() -> torch.device:
    """Return the GPU if there is one; with several, the one that this process was given."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def set_seed(seed: int) -> None:
    """Decide the random numbers of this process, and have a GPU compute the same every time."""
    torch.manual_seed(seed)
    if torch.cuda.is_available():
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False


def loader(photos: PixelDataset, batch_size: int, order: list[int] | range) -> Batches:
    """Return the photos of ``order`` in batches of (pixels [n, height, width, 3], targets [n])."""
    # Beside a GPU, decoding is what takes time; without one, training would only lend its cores to the workers.
    workers = min(cores(), MOST_WORKERS) if device().type == "cuda" and len(order) > batch_size else 0
    return _loader(photos, workers, batch_size=batch_size, sampler=order)


def batches(photos: PixelDataset, groups: list[list[int]], workers: int) -> Batches:
    """Return the photos of each group as a batch, decoded by so many worker processes (0: by this one)."""
    return _loader(photos, workers, batch_sampler=groups)


def decoding_workers(photos: int, pixels: int, cores: int) -> int:
    """Return how many worker processes decode the photos of an epoch while a CPU trains; 0: the training process.

    A rule made from measurements: a stopwatch would choose by what else the machine does in the first steps.

    Parameters
    ----------
    pixels
        Of a usual photo's file, before it is resized.
    """
    if cores == 1 or pixels < DECODED_FROM or photos * pixels < WORTH_STARTING:
        return 0
    return min(cores, -(-pixels // PIXELS_OF_A_WORKER), MOST_WORKERS)


def workers_for(photos: PixelDataset) -> int:
    """Return how many worker processes decode these photos: beside a GPU one on each core, else by the rule."""
    if device().type == "cuda":
        return min(cores(), MOST_WORKERS)
    return decoding_workers(len(photos), usual_pixels(photos), cores())


def usual_pixels(photos: PixelDataset) -> int:
    """Return the median number of pixels of some photos, by the headers of their files; 0 if none can be read."""
    step = -(-len(photos) // LOOKED_AT)
    sizes = []
    for photo in photos.photos[::step]:
        with suppress(OSError), Image.open(photo.path) as image:  # decoding reports an unreadable photo later
            sizes.append(image.width * image.height)
    return int(statistics.median(sizes or [0]))


def _loader(photos: PixelDataset, workers: int, **order: Any) -> Batches:
    return DataLoader(
        photos,  # type: ignore[arg-type]
        num_workers=workers,
        pin_memory=device().type == "cuda",
        worker_init_fn=_leave_signals,
        **order,
    )


def _leave_signals(worker: int) -> None:
    """Let the training process decide about the end: its workers end with it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
