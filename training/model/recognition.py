"""Which of torchvision's classifiers some tensors belong to, told by their names and shapes."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from training.common.errors import TrainingError
from training.common.torchvision_compat import models
from training.model.mlp import Mlp
from training.model.network import AUXILIARY_TENSORS, build, check_architecture, last_layer

UNCOUNTED = "num_batches_tracked"
"""What old files lack, and nothing needs once a model is trained."""


LIKELY = ("resnet", "mobilenet", "vgg", "densenet121", "efficientnet_b0")


@dataclass(frozen=True)
class Recognised:
    """A classifier of torchvision, but perhaps for its head.

    Parameters
    ----------
    state
        The tensors, by the names that the classifier has with ``mlp`` in its place.
    side
        Pixels of the photos that it was trained with, if its tensors tell.
    """

    architecture: str
    state: dict[str, Tensor]
    classes: int
    mlp: Mlp | None
    side: int | None


def recognise(state: Mapping[str, Tensor], architecture: str | None, source: str) -> Recognised:
    """Find the architecture.

    Parameters
    ----------
    architecture
        What it must be; if None, each of torchvision's is tried. No two of them have the same names and shapes.
    source
        What errors call the tensors.

    Raises
    ------
    TrainingError
        It is none of torchvision's, or not the one that it must be.
    """
    given = {name: value for name, value in state.items() if not name.startswith(AUXILIARY_TENSORS)}
    if architecture:
        check_architecture(architecture)
    for name in [architecture] if architecture else _architectures():
        if recognised := _match(name, given, source):
            return recognised
    if architecture:
        raise TrainingError(f"{source} is not {architecture}: {_difference(architecture, given)}")
    raise TrainingError(
        f"{source} is no classifier of torchvision (its first tensor is {next(iter(given))}); others cannot be packaged"
    )


def is_head_alone(state: Mapping[str, Tensor]) -> bool:
    """Return whether tensors can be a head alone: every network of torchvision has convolutions below it."""
    return all(value.dim() <= 2 for value in state.values())


def head_names(architecture: str) -> tuple[str, ...]:
    """Return where a head may stand: the last layer, or the block that ends with it."""
    with _Shapes():
        last = last_layer(build(architecture, 2, 224, pretrained=True))
    block = last.rpartition(".")[0]
    return (last, block) if block else (last,)


def recognise_head(
    tensors: Mapping[str, Tensor], position: str, last: str, source: str
) -> tuple[dict[str, Tensor], int, Mlp | None]:
    """Read a head: linear layers, each taking what the one before it gives.

    Parameters
    ----------
    tensors
        By their names within the head; a weight has the shape [outputs, inputs], a bias [outputs].
    position, last
        The names of the module that the head is, and of the one that torchvision has last.
    source
        What errors call the tensors.

    Returns
    -------
    The tensors by their names in the network, the number of classes, and what stands in place of the last layer.

    Raises
    ------
    TrainingError
        A layer is not linear, does not take what the one before it gives, or has no place for a ReLU before it.
    """
    layers = _layers(tensors)
    widths, outputs = _widths(layers, position, source)
    _refuse_adjacent(layers, position, source)
    mlp = None if len(layers) == 1 and position == last else Mlp(position, widths)
    names = mlp.names() if mlp else [last]
    state = {
        f"{name}.{kind}": tensor
        for name, layer in zip(names, layers.values(), strict=True)
        for kind, tensor in layer.items()
    }
    return state, outputs, mlp


def _layers(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of each layer, in the order of the layers; without a bias, that is 0."""
    layers: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        layer, _, kind = name.rpartition(".")
        layers.setdefault(layer, {})[kind] = value
    if all(name.isdecimal() for name in layers):
        layers = {name: layers[name] for name in sorted(layers, key=int)}
    for tensors_of_layer in layers.values():
        if (weight := tensors_of_layer.get("weight")) is not None:
            tensors_of_layer.setdefault("bias", torch.zeros(weight.shape[:1]))
    return layers


def _widths(layers: Mapping[str, Mapping[str, Tensor]], position: str, source: str) -> tuple[tuple[int, ...], int]:
    """Return how many numbers each layer takes, and how many the last one gives."""
    widths: list[int] = []
    outputs = 0
    for name, layer in layers.items():
        weight = layer.get("weight")
        if weight is None or weight.dim() != 2 or layer.keys() - {"weight", "bias"}:
            raise TrainingError(f"{source}: {position}.{name} is not a linear layer, as all of a head must be")
        if widths and weight.shape[1] != outputs:
            raise TrainingError(
                f"{source}: {position}.{name} does not take the {outputs} numbers of the layer before it"
            )
        outputs, inputs = weight.shape
        widths.append(inputs)
    return tuple(widths), outputs


def _refuse_adjacent(layers: Collection[str], position: str, source: str) -> None:
    numbers = [int(name) for name in layers if name.isdecimal()]
    if close := [number for number in numbers if number + 1 in numbers]:
        raise TrainingError(
            f"{source}: nothing stands between {position}.{close[0]} and {position}.{close[0] + 1}, where a ReLU would "
            "be put; such a head cannot be packaged"
        )


class _Shapes(TorchFunctionMode):
    """Lets modules be built without memory and without numbers; a device of ``meta`` would also catch arithmetic."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.empty, torch.zeros, torch.ones):
            kwargs = {**kwargs, "device": "meta"}
        return func(*args, **kwargs)


def _architectures() -> list[str]:
    """Return the names of all classifiers, those first that are likely, since each takes a tenth of a second."""
    names: list[str] = models.list_models(module=models)
    return sorted(names, key=lambda name: (not name.startswith(LIKELY), name))


def _match(architecture: str, given: dict[str, Tensor], source: str) -> Recognised | None:
    """Return the classifier if the tensors are of this architecture, whatever its head."""
    side = _photo_side(given) if architecture.startswith("vit_") else None
    own, last = _torchvision_shapes(architecture, side)
    counters = {name: torch.zeros((), dtype=torch.int64) for name in own if name.endswith(UNCOUNTED)}
    for position in filter(None, (last, last.rpartition(".")[0])):
        head = {name.removeprefix(f"{position}."): value for name, value in given.items() if _is_within(name, position)}
        if head and _body(own, position) == _body(_shapes(given), position):
            tensors, classes, mlp = _read_head(head, position, last, source)
            body = {name: value for name, value in given.items() if not _is_within(name, position)}
            return Recognised(architecture, counters | body | tensors, classes, mlp, side)
    return None


def _read_head(
    head: Mapping[str, Tensor], position: str, last: str, source: str
) -> tuple[dict[str, Tensor], int, Mlp | None]:
    """Read a head of linear layers, or of the convolution that gives the logits of some networks."""
    weight = head.get("weight")
    if position == last and weight is not None and weight.dim() == 4:
        return {f"{last}.{name}": value for name, value in head.items()}, weight.shape[0], None
    return recognise_head(head, position, last, source)


def _torchvision_shapes(architecture: str, side: int | None) -> tuple[dict[str, tuple[int, ...]], str]:
    with _Shapes():
        network = build(architecture, 2, side or 224, pretrained=True)
    return _shapes(network.state_dict()), last_layer(network)


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


def _is_within(name: str, position: str) -> bool:
    return name.startswith(f"{position}.")


def _body(shapes: dict[str, tuple[int, ...]], position: str) -> dict[str, tuple[int, ...]]:
    return {n: shape for n, shape in shapes.items() if not _is_within(n, position) and not n.endswith(UNCOUNTED)}


def _photo_side(given: dict[str, Tensor]) -> int | None:
    """Return the size of the photos that a vision transformer's positions are for."""
    positions, patches = given.get("encoder.pos_embedding"), given.get("conv_proj.weight")
    if positions is None or patches is None or positions.dim() != 3 or patches.dim() != 4:
        return None
    return math.isqrt(max(positions.shape[1] - 1, 1)) * patches.shape[2]


def _difference(architecture: str, given: dict[str, Tensor]) -> str:
    own, last = _torchvision_shapes(architecture, _photo_side(given) if architecture.startswith("vit_") else None)
    ours, theirs = _body(own, last), _body(_shapes(given), last)
    if lacking := sorted(ours.keys() - theirs.keys()):
        return f"it lacks {lacking[0]} ({len(lacking)} such tensors)"
    if unknown := sorted(theirs.keys() - ours.keys()):
        return f"it has {unknown[0]} ({len(unknown)} such tensors)"
    unequal = sorted(name for name in ours if ours[name] != theirs[name])
    if not unequal:
        return f"it has no {last}"
    return f"{unequal[0]} has the shape {list(theirs[unequal[0]])}, not {list(ours[unequal[0]])}"
