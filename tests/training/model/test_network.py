import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from training.common.errors import TrainingError
from training.common.torchvision_compat import models
from training.data.pixels import InputRule, fit, to_tensor
from training.model import network, weights
from training.model.network import Classifier, create

pytestmark = pytest.mark.usefixtures("trains")


def imagenet_state(seed: int = 1) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return dict(models.resnet18(num_classes=1000).state_dict())


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for the network: any of resnet18's weights is a random state; return what was asked for."""
    asked: list[str] = []

    def download(chosen: object, what: str) -> dict[str, Tensor]:
        asked.append(str(chosen))
        return imagenet_state()

    monkeypatch.setattr(weights, "_download", download)
    return asked


def test_an_unknown_architecture_gets_near_names() -> None:
    with pytest.raises(TrainingError, match=r"did you mean .*resnet18"):
        create("resnet81", "none", 3, None, 32)


@pytest.mark.parametrize(
    ("architecture", "head", "size"),
    [
        ("resnet18", "fc", 32),
        ("mobilenet_v3_small", "classifier.3", 32),
        ("squeezenet1_1", "classifier.1", 32),
        ("shufflenet_v2_x0_5", "fc", 32),
        ("densenet121", "classifier", 32),
        ("googlenet", "fc", 64),
        ("vit_b_32", "heads.head", 64),
        ("regnet_x_400mf", "fc", 32),
    ],
)
def test_the_head_is_found_in_every_family(architecture: str, head: str, size: int) -> None:
    recipe = create(architecture, "none", 3, size, 32)
    assert recipe.head == head
    assert recipe.classifier(torch.zeros(2, size, size, 3, dtype=torch.uint8)).shape == (2, 3)


@pytest.mark.parametrize(("side", "expected"), [(32, 32), (150, 150), (3000, 224)])
def test_without_weights_the_size_is_the_photos_own_up_to_224(side: int, expected: int) -> None:
    assert create("resnet18", "none", 3, None, side).rule == InputRule(expected, expected, "bilinear")


@pytest.mark.parametrize(("image_size", "resize", "crop"), [(None, 256, 224), (112, 128, 112), (448, 512, 448)])
def test_with_weights_the_pixels_follow_the_weights(
    downloads: list[str], image_size: int | None, resize: int, crop: int
) -> None:
    recipe = create("resnet18", "DEFAULT", 3, image_size, 32)
    assert recipe.rule == InputRule(resize, crop, "bilinear")
    assert recipe.classifier.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert recipe.classifier.std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])
    assert recipe.weights == "DEFAULT"


def test_more_pixels_than_serving_takes_are_refused_before_training(downloads: list[str]) -> None:
    with pytest.raises(TrainingError, match="resized to 4097 pixels, and the limit is 4096; lower --image-size"):
        create("resnet18", "DEFAULT", 3, 3585, 32)


def test_weights_go_in_by_name_and_the_head_is_new(downloads: list[str]) -> None:
    state = create("resnet18", "IMAGENET1K_V1", 3, None, 32).classifier.network.state_dict()
    given = imagenet_state()
    assert downloads == ["ResNet18_Weights.IMAGENET1K_V1"]
    assert state["fc.weight"].shape == (3, 512)
    assert all(torch.equal(value, given[name]) for name, value in state.items() if not name.startswith("fc."))


def test_the_classifier_normalises_its_pixels(downloads: list[str]) -> None:
    classifier = create("resnet18", "DEFAULT", 3, 64, 32).classifier
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    preset = models.ResNet18_Weights.DEFAULT.transforms(resize_size=64, crop_size=64)
    with torch.no_grad():
        expected = classifier.network(preset(pixels.permute(0, 3, 1, 2)))
        assert torch.allclose(classifier(pixels), expected, atol=1e-5)


@pytest.mark.parametrize(("architecture", "side"), [("resnet18", 40), ("inception_v3", 96)])
def test_our_own_file_brings_its_preprocessing_and_its_head(tmp_path: Path, architecture: str, side: int) -> None:
    first = create(architecture, "none", 3, side, 32)
    save_file(first.classifier.network.state_dict(), tmp_path / "model.safetensors", first.metadata())
    again = create(architecture, str(tmp_path / "model.safetensors"), 3, None, 500)
    assert again.rule == first.rule
    assert again.weights == "model.safetensors"
    pixels = torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8)
    assert torch.equal(again.classifier.eval()(pixels), first.classifier.eval()(pixels))


def every_preprocessing() -> list[object]:
    """Return one of torchvision's weights for each way to prepare photos that any of them has."""
    known = [each for name in models.list_models(module=models) for each in models.get_model_weights(name)]
    return list({repr(each.transforms()): each for each in reversed(known)}.values())


@pytest.mark.parametrize("chosen", every_preprocessing(), ids=str)
def test_photos_are_prepared_as_the_weights_want_them(chosen: Any, tmp_path: Path) -> None:
    source = weights.with_preset(chosen.name, {}, chosen)
    classifier = Classifier(torch.nn.Identity(), source.mean, source.std)
    chance = np.random.default_rng(0)
    for height, width in ((375, 500), (601, 333), (60, 90)):
        photo = Image.fromarray(chance.integers(0, 256, (height, width, 3), dtype=np.uint8))
        assert torch.equal(classifier(to_tensor(fit(photo, source.rule))[None])[0], chosen.transforms()(photo))


def test_our_own_file_keeps_the_normalisation_to_the_last_digit(tmp_path: Path) -> None:
    odd = models.VGG16_Weights.IMAGENET1K_FEATURES.transforms()
    first = replace(
        create("resnet18", "none", 3, 32, 32), classifier=Classifier(torch.nn.Identity(), odd.mean, odd.std)
    )
    save_file(imagenet_state(), tmp_path / "model.safetensors", first.metadata())
    again = create("resnet18", str(tmp_path / "model.safetensors"), 3, None, 32).classifier
    assert torch.equal(again.mean, first.classifier.mean)
    assert torch.equal(again.std, first.classifier.std)


def densenet() -> torch.nn.Module:
    return models.DenseNet(4, (2, 1), 4, 1, num_classes=3)  # type: ignore[no-any-return]


def transformer() -> torch.nn.Module:
    return models.VisionTransformer(64, 32, 2, 1, 8, 8, num_classes=3)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (densenet, [(r"(denselayer\d+\.(?:norm|relu|conv))([12]\.)", r"\1.\2")]),
        (transformer, [(r"mlp\.0\.", "mlp.linear_1."), (r"mlp\.3\.", "mlp.linear_2.")]),
        (partial(models.MNASNet, 0.5, num_classes=3), []),
        (partial(models.resnet18, num_classes=3), []),
    ],
)
def test_files_that_are_older_than_the_architecture_fit(make: Any, names: list[tuple[str, str]]) -> None:
    old, new = make(), make()
    state = {name: value for name, value in old.state_dict().items() if not name.endswith("num_batches_tracked")}
    for pattern, replacement in names:
        state = {re.sub(pattern, replacement, name): value for name, value in state.items()}
    assert (state.keys() <= old.state_dict().keys()) == (not names)
    source = weights.with_preset("", state, models.ResNet18_Weights.DEFAULT)
    network._load(new, source, "classifier", "")
    assert all(torch.equal(value, old.state_dict()[name]) for name, value in new.state_dict().items())


def test_a_transformer_takes_photos_of_another_size_than_its_weights_did() -> None:
    def transformer(side: int) -> Any:
        return models.VisionTransformer(side, 32, 1, 1, 8, 8, num_classes=3)

    own, positions = dict(transformer(64).state_dict()), "encoder.pos_embedding"
    larger = transformer(96)
    source = weights.InitialWeights("", own, [0.0] * 3, [1.0] * 3, InputRule(64, 64, "bilinear"))
    network._load(larger, source, "heads.head", "")
    state = larger.state_dict()
    assert state[positions].shape == (1, 1 + 3 * 3, 8)
    assert torch.allclose(state[positions][0, 1:].reshape(3, 3, 8)[::2, ::2].reshape(4, 8), own[positions][0, 1:])
    assert all(torch.equal(value, own[name]) for name, value in state.items() if name != positions)


def test_our_own_file_serves_other_classes_with_a_new_head(tmp_path: Path) -> None:
    first = create("resnet18", "none", 3, 32, 32)
    save_file(first.classifier.network.state_dict(), tmp_path / "model.safetensors", first.metadata())
    again = create("resnet18", str(tmp_path / "model.safetensors"), 7, None, 32).classifier.network.state_dict()
    assert again["fc.bias"].shape == (7,)
    assert torch.equal(again["conv1.weight"], first.classifier.network.state_dict()["conv1.weight"])


def test_a_file_of_another_architecture_says_which(tmp_path: Path) -> None:
    first = create("shufflenet_v2_x0_5", "none", 3, 32, 32)
    save_file(first.classifier.network.state_dict(), tmp_path / "model.safetensors", first.metadata())
    with pytest.raises(TrainingError, match="is for shufflenet_v2_x0_5"):
        create("resnet18", str(tmp_path / "model.safetensors"), 3, None, 32)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state.pop("layer1.0.conv1.weight"), "lacks layer1.0.conv1.weight"),
        (lambda state: state.update(extra=torch.zeros(1)), "has extra"),
        (lambda state: state.update({"bn1.bias": torch.zeros(3)}), "has a different shape for bn1.bias"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, change: object, reason: str) -> None:
    state = imagenet_state()
    assert callable(change)
    change(state)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(TrainingError, match=f"do not fit: the file {reason}"):
        create("resnet18", str(tmp_path / "model.safetensors"), 3, None, 32)


def test_a_checkpoint_is_read_as_package_reads_it(tmp_path: Path) -> None:
    state = {f"module.{name}": value for name, value in imagenet_state().items()}
    torch.save({"state_dict": state, "best": np.float64(0.5)}, tmp_path / "model.pth")
    recipe = create("resnet18", str(tmp_path / "model.pth"), 3, None, 32)
    assert recipe.classifier.network.get_parameter("conv1.weight").equal(state["module.conv1.weight"])


def test_of_a_checkpoint_with_several_sets_of_weights_the_key_chooses(tmp_path: Path) -> None:
    state = models.resnet18(weights=None, num_classes=3).state_dict()
    average = {name: torch.zeros_like(value) for name, value in state.items()}
    torch.save({"model": state, "model_ema": average}, tmp_path / "model.pth")
    recipe = create("resnet18", str(tmp_path / "model.pth"), 3, None, 32, "model_ema")
    assert not recipe.classifier.network.get_parameter("conv1.weight").any()
    assert recipe.weights == "model.pth (model_ema)"
    with pytest.raises(TrainingError, match=r"^--weights --weights-key ema: .* use model or model_ema$"):
        create("resnet18", str(tmp_path / "model.pth"), 3, None, 32, "ema")


def test_our_own_file_has_no_parts_to_choose(tmp_path: Path) -> None:
    first = create("resnet18", "none", 3, 32, 32)
    save_file(first.classifier.network.state_dict(), tmp_path / "model.safetensors", first.metadata())
    with pytest.raises(
        TrainingError, match="is a safetensors file, which has one set of weights; leave out --weights-key"
    ):
        create("resnet18", str(tmp_path / "model.safetensors"), 3, None, 32, "ema")


def test_what_package_refuses_is_no_beginning_either(tmp_path: Path) -> None:
    state = imagenet_state()
    state["bn1.bias"].fill_(torch.nan)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(TrainingError, match=r"^--weights .*model.safetensors: bn1.bias has infinite or NaN values"):
        create("resnet18", str(tmp_path / "model.safetensors"), 3, None, 32)
    torch.save({"patch_embed.proj.weight": torch.ones(2, 3, 2, 2), "cls_token": torch.ones(1)}, tmp_path / "timm.pth")
    with pytest.raises(TrainingError, match=r"^--weights .*timm.pth is a model of timm .* `package` takes"):
        create("resnet18", str(tmp_path / "timm.pth"), 3, None, 32)


@pytest.mark.parametrize(
    "facts", ["x", "[]", "{}", '{"architecture": "resnet18", "input": {"resize": 9, "crop": 9, "interpolation": "x"}}']
)
def test_a_file_with_facts_of_another_version_is_refused(tmp_path: Path, facts: str) -> None:
    save_file({"fc.bias": torch.zeros(3)}, tmp_path / "model.safetensors", {"kennel": facts})
    with pytest.raises(TrainingError, match="this version of Kennel cannot read the metadata of the weights"):
        create("resnet18", str(tmp_path / "model.safetensors"), 3, None, 32)


class Trap:
    """A pickle that does something."""

    def __reduce__(self) -> Any:
        return Path.mkdir, (Path("trap"),)


@pytest.mark.parametrize("content", [b"", b"<html>", "a trap", "half"])
def test_a_damaged_download_is_named_and_never_unpickled(
    content: bytes | str, offline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "hub" / "checkpoints" / Path(models.ResNet18_Weights.DEFAULT.url).name
    file.parent.mkdir(parents=True)
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save({"fc.bias": Trap()} if content == "a trap" else {"fc.bias": torch.zeros(1000)}, file)
        file.write_bytes(file.read_bytes()[: 10**9 if content == "a trap" else 1000])
    with pytest.raises(TrainingError, match=r"-f37072fd.pth is damaged \(\w+\); remove it, and try again$") as caught:
        create("resnet18", "DEFAULT", 3, None, 32)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "trap").exists()


def test_a_file_that_was_put_where_downloads_lie_is_read(
    offline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / Path(models.ResNet18_Weights.DEFAULT.url).name
    file.parent.mkdir(parents=True)
    torch.save(imagenet_state(), file)
    state = create("resnet18", "DEFAULT", 3, None, 32).classifier.network.state_dict()
    assert torch.equal(state["conv1.weight"], imagenet_state()["conv1.weight"])


def test_unknown_weights_get_the_known_names() -> None:
    with pytest.raises(TrainingError, match="neither a file nor weights of resnet18; use IMAGENET1K_V1"):
        create("resnet18", "IMAGENET21K", 3, None, 32)


def test_without_a_network_the_message_says_what_to_do(
    offline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(TrainingError, match=r"cannot be downloaded .*--weights none") as caught:
        create("resnet18", "DEFAULT", 3, None, 32)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "hub" / "checkpoints") in str(caught.value)


@pytest.mark.parametrize(("architecture", "size"), [("inception_v3", 32), ("vit_b_16", 40)])
def test_a_size_that_the_architecture_does_not_take_is_refused(architecture: str, size: int) -> None:
    with pytest.raises(TrainingError, match="choose another --image-size"):
        create(architecture, "none", 3, size, 32)
