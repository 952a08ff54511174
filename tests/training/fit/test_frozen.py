from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.training.fit.small import recipe, tiny
from training.common.errors import TrainingError
from training.data.pixels import InputRule
from training.fit.frozen import Frozen
from training.model.network import Recipe

pytestmark = pytest.mark.usefixtures("trains")

MANY = 10**9


def network(architecture: str = "resnet18") -> Recipe:
    """Return a network whose batch norm does something."""
    made, chance = recipe(architecture), torch.Generator().manual_seed(0)
    for module in made.classifier.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.rand(module.num_features, generator=chance) - 0.5
            module.running_var = torch.rand(module.num_features, generator=chance) + 0.5
    return made


def pixels(count: int) -> Tensor:
    return torch.randint(256, (count, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def plainly(made: Recipe, photos: Tensor) -> Tensor:
    """Return what the last layer is given."""
    given: list[Tensor] = []
    head = made.classifier.network.get_submodule(made.head)
    hook = head.register_forward_hook(lambda _, inputs, __: given.append(inputs[0]))
    with torch.no_grad():
        made.classifier.eval()(photos)
    hook.remove()
    return given[0]


@pytest.mark.parametrize(
    "architecture", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "regnet_y_400mf", "swin_t", "mnasnet0_5"]
)
def test_features_are_what_the_last_layer_is_given(architecture: str) -> None:
    made, photos = network(architecture), pixels(3)
    expected = plainly(made, photos)
    features = Frozen(made, "float32").compute(photos)
    assert features.shape == expected.shape
    assert torch.allclose(features, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


def test_batch_norm_is_folded() -> None:
    frozen = Frozen(network(), "float32")
    assert frozen.folded
    assert not any(isinstance(module, nn.BatchNorm2d) for module in frozen._classifier.modules())


def test_a_network_that_cannot_be_read_stays_as_it_is() -> None:
    class Looks(nn.Sequential):
        def forward(self, pixels: Tensor) -> Tensor:
            features: Tensor = self[0](pixels if pixels.sum() > 0 else pixels.clone())
            return features

    made, photos = network(), pixels(3)
    expected = plainly(made, photos)
    made.classifier.network = Looks(made.classifier.network)
    frozen = Frozen(replace(made, head="0.fc"), "float32")
    assert not frozen.folded
    assert torch.allclose(frozen.compute(photos), expected, rtol=1e-3, atol=1e-4)


def test_bfloat16_points_where_float32_does() -> None:
    made, photos = network(), pixels(8)
    exact, quick = Frozen(made, "float32").compute(photos), Frozen(made, "bfloat16").compute(photos)
    assert not torch.equal(exact, quick)
    assert quick.dtype == torch.float32
    assert nn.functional.cosine_similarity(exact, quick).min() >= 0.9999


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_photo_has_the_same_features_to_the_last_bit_whatever_comes_with_it(precision: str) -> None:
    frozen, photos = Frozen(network("mobilenet_v3_small"), precision), pixels(6)
    together = frozen.compute(photos)
    assert torch.equal(frozen.compute(photos.flip(0)).flip(0), together)
    assert torch.equal(torch.cat([frozen.compute(photo[None]) for photo in photos]), together)


def test_the_identity_changes_with_all_that_features_depend_on() -> None:
    made = network()
    same = Frozen(made, "float32").identity
    nn.init.zeros_(made.classifier.network.get_parameter("fc.weight"))
    assert Frozen(made, "float32").identity == same, "the head is not frozen"
    others = {Frozen(made, "bfloat16").identity}
    made.classifier.std += 0.1
    others.add(Frozen(made, "float32").identity)
    made.classifier.network.get_parameter("conv1.weight").data[0, 0, 0, 0] += 1e-6
    others.add(Frozen(made, "float32").identity)
    assert len(others | {same}) == 4


def test_a_network_without_a_linear_last_layer_is_refused() -> None:
    with pytest.raises(TrainingError, match="--mode full"):
        Frozen(recipe("squeezenet1_1"), "float32")


@pytest.mark.usefixtures("amx")
def test_a_compiled_network_gives_the_same_features_whatever_comes_with_a_photo() -> None:
    made, photos = tiny(), pixels(6)
    plain, compiled = Frozen(made, "bfloat16"), Frozen(made, "bfloat16", MANY)
    assert compiled.identity != plain.identity
    assert compiled.compile()
    assert compiled._forward is not compiled._classifier
    together = compiled.compute(photos)
    assert nn.functional.cosine_similarity(together, plain.compute(photos)).min() >= 0.9999
    assert torch.equal(torch.cat([compiled.compute(photo[None]) for photo in photos]), together)


def raising(*_: object, **__: object) -> Callable[[Tensor], Tensor]:
    raise RuntimeError("no C++ compiler")


def wrong(*_: object, **__: object) -> Callable[[Tensor], Tensor]:
    return lambda photos: torch.arange(float(len(photos) * 128)).reshape(-1, 128).cos()


@pytest.mark.usefixtures("amx")
@pytest.mark.parametrize("compiler", [raising, wrong])
def test_a_network_that_cannot_be_compiled_or_then_computes_something_else_stays_as_it_is(
    compiler: Callable[..., Callable[[Tensor], Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen, photos = Frozen(tiny(), "bfloat16", MANY), pixels(3)
    before = frozen.compute(photos)
    monkeypatch.setattr(torch, "compile", compiler)
    assert not frozen.compile()
    assert torch.equal(frozen.compute(photos), before)


@pytest.mark.usefixtures("amx")
@pytest.mark.parametrize(
    ("architecture", "precision", "photos", "compiled"),
    [
        ("resnet18", "bfloat16", MANY, True),
        ("resnet18", "bfloat16", 1000, False),
        ("resnet18", "float32", MANY, False),
        ("convnext_tiny", "bfloat16", MANY, False),
    ],
)
def test_a_network_is_compiled_where_it_gains_by_that_and_has_enough_photos_before_it(
    architecture: str, precision: str, photos: int, compiled: bool
) -> None:
    assert Frozen(recipe(architecture), precision, photos).compiled is compiled


@pytest.mark.usefixtures("amx")
def test_photos_of_half_the_side_have_to_be_four_times_as_many() -> None:
    made = recipe("resnet18")
    enough = next(count for count in range(10**5, 10**7, 10**5) if Frozen(made, "bfloat16", count).compiled)
    large = replace(made, rule=InputRule(64, 64, "bilinear"))
    assert not Frozen(large, "bfloat16", enough // 5).compiled
    assert Frozen(large, "bfloat16", enough // 3).compiled
