"""The common way to train a head: a faithful re-creation of the loop that Kennel's users come from.

ResNet-50 with all parameters frozen and a head of two layers; Adam; photos cropped at random, mirrored and not
normalised. The frozen backbone runs over all photos in every epoch, in train mode: gradients are tracked, and batch
norm goes by each batch and moves its frozen statistics. Kept as it is, mistakes included.
"""

import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader

from training.common.memory import keep_memory
from training.common.torchvision_compat import models

# isort: split
from torchvision import datasets, transforms  # the line above makes it importable everywhere

CLASSES, HIDDEN, BATCH, LR, SIDE, RESIZE = 133, 128, 32, 1e-3, 224, 256

Split = DataLoader[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Result:
    """Seconds for each epoch (train and validate), by the clock and of the processor; accuracy on the test split.

    Without a test, the accuracy is not a number.
    """

    epochs: list[float]
    processor: list[float]
    accuracy: float


def head(width: int) -> nn.Sequential:
    """Return the head: 2048-128-133 for ResNet-50."""
    return nn.Sequential(nn.Linear(width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))


def network(weights: Path) -> nn.Module:
    """Return ResNet-50 with frozen parameters and a new head."""
    made: nn.Module = models.resnet50()
    body = {name: value for name, value in load_file(weights).items() if not name.startswith("fc.")}
    made.load_state_dict(body, strict=False)
    for parameter in made.parameters():
        parameter.requires_grad = False
    made.fc = head(2048)
    return made


def splits(data: Path, side: int) -> dict[str, Split]:
    """Return the photos in batches, of so many pixels a side."""
    varied = [transforms.RandomResizedCrop(side), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    plain = [transforms.Resize(side * RESIZE // SIDE), transforms.CenterCrop(side), transforms.ToTensor()]
    return {
        split: DataLoader(
            datasets.ImageFolder(data / split, transforms.Compose(varied if split == "train" else plain)),
            batch_size=BATCH,
            shuffle=split == "train",
        )
        for split in ("train", "valid", "test")
    }


def train(model: nn.Module, photos: dict[str, Split], epochs: int) -> tuple[list[float], list[float]]:
    """Train the head, and return the seconds of each epoch, by the clock and of the processor."""
    loss_of = nn.CrossEntropyLoss(ignore_index=133)
    optimizer = torch.optim.Adam(model.get_submodule("fc").parameters(), lr=LR)
    seconds, processor = list[float](), list[float]()
    for _ in range(epochs):
        start, busy = time.perf_counter(), time.process_time()
        for phase in ("train", "valid"):
            model.train(phase == "train")
            for pixels, targets in photos[phase]:
                outputs = model(pixels)
                loss = loss_of(outputs, targets)
                if phase == "train":
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
    return seconds, processor


def test(model: nn.Module, photos: Split) -> float:
    """Return the accuracy."""
    model.eval()
    with torch.no_grad():
        right = [(model(pixels).argmax(1) == targets).double() for pixels, targets in photos]
    return torch.cat(right).mean().item()


def run(data: Path, weights: Path, side: int, epochs: int, *, keep: bool, tests: bool, seed: int = 0) -> Result:
    """Train, and test if told to; with ``keep``, under the same rule for memory that Kennel's training has."""
    if keep:
        keep_memory()
    torch.manual_seed(seed)
    random.seed(seed)
    model, photos = network(weights), splits(data, side)
    return Result(*train(model, photos, epochs), test(model, photos["test"]) if tests else float("nan"))
