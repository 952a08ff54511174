import itertools
import re
from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from training.common.errors import TrainingError
from training.common.torchvision_compat import models
from training.model.mlp import Mlp
from training.model.network import build, last_layer
from training.model.recognition import head_names, recognise, recognise_head

pytestmark = pytest.mark.usefixtures("trains")


def state(architecture: str, classes: int = 3, size: int = 224) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = build(architecture, classes, size, pretrained=True).state_dict()
    return weights


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v2"])
def test_an_architecture_is_told_by_names_and_shapes(architecture: str) -> None:
    found = recognise(state(architecture), None, "model.pth")
    assert (found.architecture, found.classes, found.mlp) == (architecture, 3, None)


@pytest.mark.parametrize(
    "architecture", ["mobilenet_v3_small", "shufflenet_v2_x0_5", "regnet_y_400mf", "googlenet", "squeezenet1_1"]
)
def test_a_given_architecture_is_confirmed(architecture: str) -> None:
    weights = state(architecture)
    found = recognise(weights, architecture, "model.pth")
    assert found.classes == 3
    assert found.state.keys() == weights.keys()


def test_a_vision_transformer_tells_the_size_of_its_photos() -> None:
    weights = {
        "conv_proj.weight": torch.zeros(768, 3, 32, 32),
        "encoder.pos_embedding": torch.zeros(1, 50, 768),
    }
    with pytest.raises(TrainingError, match="it lacks class_token"):
        recognise(weights, "vit_b_32", "model.pth")
    assert recognise(state("vit_b_32", size=64), "vit_b_32", "model.pth").side == 64


def test_what_old_files_and_training_alone_have_does_not_matter() -> None:
    weights = state("resnet18")
    old = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    found = recognise(old | {"AuxLogits.fc.weight": torch.zeros(3)}, "resnet18", "model.pth")
    assert found.state.keys() == weights.keys()


def replaced(architecture: str, position: str, head: nn.Module) -> dict[str, Tensor]:
    network = models.get_model(architecture, weights=None)
    network.set_submodule(position, head)
    weights: dict[str, Tensor] = network.state_dict()
    return weights


def deep(*widths: int, named: bool = False) -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(0.2)]
    modules = {f"layer_{'abc'[i // 3]}" if i % 3 == 0 else f"x{i}": each for i, each in enumerate(layers[:-2])}
    return nn.Sequential(OrderedDict(modules)) if named else nn.Sequential(*layers[:-2])


@pytest.mark.parametrize(
    ("architecture", "position", "head", "mlp"),
    [
        ("resnet18", "fc", deep(512, 16, 3), Mlp("fc", (512, 16))),
        ("resnet18", "fc", deep(512, 32, 16, 3, named=True), Mlp("fc", (512, 32, 16))),
        ("resnet18", "fc", nn.Sequential(nn.Dropout(), nn.Linear(512, 3)), None),
        ("resnet18", "fc", nn.Linear(512, 3, bias=False), None),
        ("mobilenet_v2", "classifier", nn.Linear(1280, 3), Mlp("classifier", (1280,))),
        ("mobilenet_v2", "classifier.1", deep(1280, 8, 3), Mlp("classifier.1", (1280, 8))),
        ("mobilenet_v2", "classifier", deep(1280, 8, 3), Mlp("classifier", (1280, 8))),
    ],
)
def test_a_head_of_ones_own_is_recognised(architecture: str, position: str, head: nn.Module, mlp: Mlp | None) -> None:
    given = replaced(architecture, position, head)
    found = recognise(given, architecture, "model.pth")
    assert (found.classes, found.mlp) == (3, mlp)
    network = build(architecture, 3, 224, pretrained=True)
    if mlp:
        mlp.put(network, 3)
    network.load_state_dict(found.state)
    original = models.get_model(architecture, weights=None)
    original.set_submodule(position, head)
    original.load_state_dict(given)
    photo = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert network.eval()(photo).allclose(original.eval()(photo), atol=1e-6)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        (
            {"0.weight": (8, 4), "1.weight": (8,), "1.running_mean": (8,), "2.weight": (3, 8)},
            "fc.1 is not a linear layer",
        ),
        ({"0.weight": (8, 4), "2.weight": (3, 9)}, "fc.2 takes 9 numbers, and the layer before it gives 8"),
        ({"0.weight": (8, 4), "0.scale": (8,)}, "fc.0 is not a linear layer"),
    ],
)
def test_another_head_is_refused(tensors: dict[str, tuple[int, ...]], reason: str) -> None:
    with pytest.raises(TrainingError, match=re.escape(reason)):
        recognise_head({name: torch.zeros(shape) for name, shape in tensors.items()}, "fc", "fc", "model.pth")


def test_the_tenth_layer_comes_after_the_second() -> None:
    tensors = {"10.weight": torch.zeros(3, 8), "2.weight": torch.zeros(8, 4)}
    assert recognise_head(tensors, "fc", "fc", "model.pth")[1:] == (3, Mlp("fc", (4, 8)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"conv1.weight": torch.zeros(64, 1, 7, 7)}, r"conv1.weight has the shape [64, 1, 7, 7], not [64, 3, 7, 7]"),
        ({"conv2.weight": torch.zeros(1)}, "it has conv2.weight (1 such tensors)"),
    ],
)
def test_a_difference_from_the_architecture_is_named(change: dict[str, Tensor], reason: str) -> None:
    with pytest.raises(TrainingError, match=re.escape(f"model.pth is not resnet18: {reason}")):
        recognise(state("resnet18") | change, "resnet18", "model.pth")


def test_heads_stand_where_the_last_layer_or_its_block_was() -> None:
    assert head_names("resnet18") == ("fc",)
    assert head_names("mobilenet_v3_small") == ("classifier.3", "classifier")
    assert last_layer(build("resnet18", 3, 32, pretrained=False)) == "fc"
