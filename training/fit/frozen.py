"""All of a classifier but its last layer, which nothing changes any more: it only has to be fast."""

import copy
import hashlib
import json
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.utils.flop_counter import FlopCounterMode

from training.common.errors import TrainingError
from training.fit.loading import device
from training.fit.speed import compiling_pays, machine
from training.model.network import Recipe

ALIKE = 0.9999
"""Cosine between features in bfloat16 and in float32, at least; so between two ways to compute one of them, too."""


def last_layer(recipe: Recipe) -> nn.Linear:
    """Return the layer that mode ``head`` trains.

    Raises
    ------
    TrainingError
        It is not a linear one, which would take one row of features for each photo.
    """
    head = recipe.classifier.network.get_submodule(recipe.head)
    if not isinstance(head, nn.Linear):
        raise TrainingError(f"{recipe.architecture} has no linear last layer to train alone; use --mode full")
    return head


class Frozen:
    """Pixels in, features out, the same for a photo whatever photos come with it.

    For a CPU, batch norm becomes part of the convolutions before it, and weights lie in channels-last order: measured
    with ResNet-50, 1.1 times the photos a second with memory kept (``training/common/memory.py``), 5 times without.
    bfloat16 gives another factor of 2.6 where the CPU has AMX, and of 2 with AVX512-BF16. How many photos come at a
    time decides in which order sums are made, so that many always do: the last ones are filled up.

    Parameters
    ----------
    precision
        ``float32`` or ``bfloat16``: what multiplications take. Features are float32.
    photos
        How many it is to see, each view counted: many are worth compiling it for, see ``compile``. Only networks with
        batch norm gain by that: measured in bfloat16, ResNet-50 2.1 times the photos a second, EfficientNet-B0 1.4
        times, ConvNeXt nothing.
    """

    def __init__(self, recipe: Recipe, precision: str, photos: int = 0) -> None:
        head = last_layer(recipe)
        self.width, self.rule, self.precision = head.in_features, recipe.rule, precision
        self.batch = 256 if device().type == "cuda" else 32
        classifier = copy.deepcopy(recipe.classifier).eval().requires_grad_(False)
        classifier.network.set_submodule(recipe.head, nn.Identity())
        normalises = any(isinstance(module, nn.BatchNorm2d) for module in classifier.modules())
        self.compiled = normalises and compiling_pays(precision, photos * _operations(classifier, self.rule.crop))
        self.identity = self._identify(recipe.architecture, classifier)
        classifier.network, self.folded = _fold(classifier.network)
        self._classifier: nn.Module = classifier.to(device())
        self._classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._forward: Callable[[Tensor], Tensor] = self._classifier

    def compile(self) -> bool:
        """Generate code for the network, and return whether that could be done and computes what the network does.

        If not, all stays as it was: there may be no C++ compiler here.
        """
        side = self.rule.crop
        chance = torch.Generator().manual_seed(0)
        photos = torch.randint(256, (self.batch, side, side, 3), dtype=torch.uint8, generator=chance)
        expected = self.compute(photos)
        try:
            # Without processes of its own: there is little to compile, and they would outlast a sudden end.
            options: dict[str, str | int | bool | Callable[..., Any]] = {"freezing": True, "compile_threads": 1}
            self._forward = torch.compile(self._classifier, dynamic=False, options=options)
            alike = nn.functional.cosine_similarity(self.compute(photos), expected).min().item() >= ALIKE
        except Exception:  # whatever the generated code's compiler, or the reading of the network, may raise
            alike = False
        if not alike:
            self._forward = self._classifier
        return alike

    def compute(self, pixels: Tensor) -> Tensor:
        """Take uint8 pixels of shape [photos, height, width, 3] to features of shape [photos, width], in memory.

        There are at most ``batch`` photos.
        """
        whole = torch.zeros(self.batch, *pixels.shape[1:], dtype=torch.uint8)
        whole[: len(pixels)] = pixels
        low = self.precision == "bfloat16"
        with torch.no_grad(), torch.autocast(device().type, torch.bfloat16, enabled=low):
            features = self._forward(whole.to(device()))
        return features[: len(pixels)].float().cpu()

    def _identify(self, architecture: str, classifier: nn.Module) -> str:
        """Return all that features depend on besides the photo, as text."""
        weights = hashlib.sha256()
        for name, value in classifier.state_dict().items():
            weights.update(f"{name} {tuple(value.shape)}".encode())
            weights.update(value.cpu().contiguous().numpy())
        facts: dict[str, Any] = {
            "format": 2,
            "architecture": architecture,
            "weights": weights.hexdigest(),
            "input": vars(self.rule),
            "precision": self.precision,
            "compiled": self.compiled,
            "machine": machine(self.precision),
            "versions": {name: version(name) for name in ("torch", "torchvision", "Pillow", "numpy")},
        }
        return json.dumps(facts)


def _operations(network: nn.Module, side: int) -> int:
    """Return how many additions and multiplications a photo takes."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, side, side, 3, dtype=torch.uint8))
    operations: int = counter.get_total_flops()
    return operations


def _fold(network: nn.Module) -> tuple[nn.Module, bool]:
    """Return the network with batch norm in its convolutions, and whether its structure could be read for that."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            folded: nn.Module = fuse(network)
    except Exception:  # whatever a forward method does that cannot be traced; it only stays slower
        return network, False
    return folded, True
