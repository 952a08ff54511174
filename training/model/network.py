"""Any of torchvision's classifiers, with a head for our classes, over the pixels that serving sends."""

import difflib
import json
from collections import OrderedDict
from collections.abc import Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from training.common.errors import TrainingError
from training.common.torchvision_compat import models
from training.data.pixels import InputRule
from training.model.mlp import Mlp
from training.model.weights import (
    METADATA_KEY,
    MOST_PIXELS,
    InitialWeights,
    find_weights,
    first_line,
    with_metadata,
    with_preset,
)

AUXILIARY_HEADS = ("googlenet", "inception_v3")
"""Architectures with extra classifiers that only help training; they are left out."""

AUXILIARY_TENSORS = ("aux1.", "aux2.", "AuxLogits.")


class Classifier(nn.Module):
    """Pixels in, logits out.

    Parameters
    ----------
    network
        Takes normalised float32 of shape [photos, 3, height, width] to [photos, classes].
    mean, std
        Of each channel, for values from 0 to 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Take uint8 pixels of shape [photos, height, width, 3] to logits of shape [photos, classes]."""
        channels = pixels.permute(0, 3, 1, 2).float() / 255  # in channels-last order, which is the faster one
        logits: Tensor = self.network((channels - self.mean) / self.std)
        return logits


@dataclass(frozen=True)
class Recipe:
    """A classifier and what must be known to use it.

    Parameters
    ----------
    head
        Name of the network's last layer, the only one that depends on the number of classes.
    weights
        Where the network's weights come from, as the manifest says it.
    mlp
        What stands in place of torchvision's last layer, if it is more than a layer.
    """

    classifier: Classifier
    architecture: str
    weights: str
    head: str
    rule: InputRule
    mlp: Mlp | None = None

    @property
    def normalisation(self) -> dict[str, list[float]]:
        """Mean and standard deviation of the pixels' channels red, green and blue, as parts of 1."""
        # As text, numpy's float32 has the fewest digits that name it: 0.229, not 0.2290000021457672.
        numbers = {"mean": self.classifier.mean, "std": self.classifier.std}
        return {name: [float(str(x)) for x in values.flatten().cpu().numpy()] for name, values in numbers.items()}

    def metadata(self) -> dict[str, str]:
        """Return what goes with the weights into a safetensors file, for ``create`` to read."""
        facts: dict[str, Any] = {
            "architecture": self.architecture,
            **self.normalisation,
            "input": vars(self.rule),
        }
        if self.mlp:
            facts["mlp"] = vars(self.mlp)
        return {METADATA_KEY: json.dumps(facts)}  # safetensors writes several in an order that changes from run to run


def check_architecture(name: str) -> None:
    """Raise a TrainingError, with names that are near, unless torchvision has such a classifier."""
    names = models.list_models(module=models)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "try resnet18"
        raise TrainingError(f"--arch {name}: torchvision has no such classifier; {hint}")


def create(
    architecture: str,
    weights: str,
    classes: int,
    image_size: int | None,
    photo_side: int,
    weights_key: str | None = None,
) -> Recipe:
    """Build a classifier and load its weights.

    Parameters
    ----------
    architecture
        As torchvision calls it: ``resnet50``.
    weights
        ``none``, the name of one of torchvision's weights for this architecture (``DEFAULT`` is the best one), or a
        file of weights.
    classes
        How many.
    image_size
        Pixels of each side of the model's input. If None: the weights' own, and without weights the photos' own,
        at most 224.
    photo_side
        The photos' usual shorter side, in pixels.
    weights_key
        Under which a checkpoint has the weights; if None, under one of the usual names.

    Raises
    ------
    TrainingError
        The architecture or the weights do not exist, do not fit each other or the image size, or cannot be fetched.
    """
    check_architecture(architecture)
    source = find_weights(architecture, weights, weights_key)
    what = f"--weights {weights} for {architecture}"
    return _assemble(architecture, source, classes, image_size, photo_side, what)


def adopt(
    architecture: str,
    state: dict[str, Tensor],
    label: str,
    classes: int,
    image_size: int | None,
    mlp: Mlp | None,
    *,
    preset: str = "DEFAULT",
    metadata: Mapping[str, str] | None = None,
    normalised: bool | None = None,
) -> Recipe:
    """Build a classifier around weights that are complete, of a model that was trained elsewhere.

    Parameters
    ----------
    state
        Every tensor of the network, by torchvision's names; those of ``mlp`` by its own.
    label
        What the manifest and errors call the weights.
    classes
        How many.
    image_size
        Pixels of each side of the model's input; if None, as ``metadata`` or ``preset`` has it.
    mlp
        What stands in place of torchvision's last layer, if it is more than a layer.
    preset
        The name of the weights of torchvision whose preprocessing the model was trained with.
    metadata
        Of a safetensors file; what ``Recipe.metadata`` wrote goes before ``preset``.
    normalised
        Whether training normalised pixels; if None, as ``metadata`` or ``preset`` has it.

    Raises
    ------
    TrainingError
        The weights do not fit the architecture or the image size.
    """
    check_architecture(architecture)
    if metadata and METADATA_KEY in metadata:
        source = with_metadata(label, state, metadata)
    else:
        source = with_preset(label, state, models.get_model_weights(architecture)[preset])
    source = replace(source, mlp=mlp, whole=True)
    if normalised is False:
        source = replace(source, mean=[0.0] * 3, std=[1.0] * 3)
    return _assemble(architecture, source, classes, image_size, source.rule.crop, f"{label} for {architecture}")


def _assemble(
    architecture: str, source: InitialWeights, classes: int, image_size: int | None, photo_side: int, what: str
) -> Recipe:
    size = image_size or (min(photo_side, 224) if source.state is None else source.rule.crop)
    # The border that a resize leaves around the crop keeps its share at any size; without weights there is none.
    resize = size if source.state is None else round(source.rule.resize * size / source.rule.crop)
    if resize > MOST_PIXELS:
        raise TrainingError(f"photos would be resized to {resize} pixels, more than {MOST_PIXELS}: lower --image-size")
    rule = InputRule(resize=resize, crop=size, interpolation=source.rule.interpolation)
    network = build(architecture, classes, size, pretrained=source.state is not None)
    if source.mlp:
        source.mlp.put(network, classes)
    head = last_layer(network)
    if source.state is not None:
        _load(network, source, head, what)
    classifier = Classifier(network, source.mean, source.std)
    try:
        with torch.no_grad():
            classifier.eval()(torch.zeros(1, size, size, 3, dtype=torch.uint8))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise TrainingError(
            f"{architecture} does not take {size} x {size} pixels ({first_line(error)}); choose another --image-size"
        ) from error
    return Recipe(classifier, architecture, source.label, head, rule, source.mlp)


def build(architecture: str, classes: int, size: int, *, pretrained: bool) -> nn.Module:
    """Build torchvision's network, as it is for weights of its own or without any.

    Parameters
    ----------
    classes, size
        How many, and pixels of each side of the input.
    pretrained
        Whether weights will be loaded, so that none need to be drawn.

    Raises
    ------
    TrainingError
        It does not take photos of ``size`` pixels a side.
    """
    options: dict[str, Any] = {}
    if architecture in AUXILIARY_HEADS:
        # torchvision's weights need their input transformed, and it does no harm to those that begin without any: so
        # weights of either kind mean the same when they come back.
        options = {"aux_logits": False, "init_weights": not pretrained, "transform_input": True}
    if architecture.startswith("vit_"):
        options = {"image_size": size}
    if architecture.startswith("maxvit"):
        options = {"input_size": (size, size)}
    try:
        network: nn.Module = models.get_model(architecture, weights=None, num_classes=classes, **options)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise TrainingError(
            f"{architecture} does not take {size} x {size} pixels ({first_line(error)}); choose another --image-size"
        ) from error
    return network


def last_layer(network: nn.Module) -> str:
    """Return the name of the layer that gives the logits; each of torchvision's classifiers registers it last."""
    names: list[str] = [name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return names[-1]


def _load(network: nn.Module, source: InitialWeights, head: str, what: str) -> None:
    """Load weights, without those of a head for other classes unless it must be theirs."""
    assert source.state is not None  # noqa: S101
    own = network.state_dict()
    given = _fitted_positions(network, source.state)
    required = {name for name in own if source.whole or name.rpartition(".")[0] != head}
    for problem, names in _misfits(own, given, required).items():
        if names:
            raise TrainingError(f"{what} do not fit: the file {problem} {min(names)} ({len(names)} such tensors)")
    own.update((name, value) for name, value in given.items() if value.shape == own[name].shape)
    network.load_state_dict(own)  # which knows the version of its format; MNASNet asks for that


def _fitted_positions(network: nn.Module, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return weights without those of auxiliary heads, and with a position for each patch of a vision transformer."""
    given = {name: value for name, value in state.items() if not name.startswith(AUXILIARY_TENSORS)}
    if isinstance(network, models.VisionTransformer) and "encoder.pos_embedding" in given:
        with suppress(ValueError):  # of another shape, as `_misfits` says
            size, patch = network.image_size, network.patch_size
            given = models.vision_transformer.interpolate_embeddings(size, patch, OrderedDict(given))
    return given


def _misfits(own: Mapping[str, Tensor], given: Mapping[str, Tensor], required: Set[str]) -> dict[str, set[str]]:
    """Return the names of tensors that do not fit a network, by what is wrong with them.

    Parameters
    ----------
    required
        Names in ``own`` that must be given, with the same shapes.
    """
    missing = required - given.keys()
    shared, shared_required = given.keys() & own.keys(), given.keys() & required
    return {
        "has": given.keys() - own.keys(),
        "lacks": {name for name in missing if not name.endswith(".num_batches_tracked")},  # of PyTorch 0.4.1 on
        "has another shape of": {name for name in shared_required if given[name].shape != own[name].shape},
        "has no finite numbers in": {name for name in shared if not given[name].isfinite().all()},
    }
