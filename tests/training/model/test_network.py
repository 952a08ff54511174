from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from training.data.pixels import InputRule
from training.errors import TrainingError
from training.model import network
from training.model.network import create
from training.model.torchvision_compat import models


def imagenet_state(seed: int = 1) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return dict(models.resnet18(num_classes=1000).state_dict())


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for the network: any of resnet18's weights is a random state; return what was asked for."""
    asked: list[str] = []

    def download(weights: object, what: str) -> dict[str, Tensor]:
        asked.append(str(weights))
        return imagenet_state()

    monkeypatch.setattr(network, "_download", download)
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


def test_our_own_file_brings_its_preprocessing_and_its_head(tmp_path: Path) -> None:
    first = create("resnet18", "none", 3, 40, 32)
    save_file(first.classifier.network.state_dict(), tmp_path / "model.safetensors", first.metadata())
    again = create("resnet18", str(tmp_path / "model.safetensors"), 3, None, 500)
    assert again.rule == first.rule
    assert again.weights == "model.safetensors"
    pixels = torch.randint(0, 256, (2, 40, 40, 3), dtype=torch.uint8)
    assert torch.equal(again.classifier.eval()(pixels), first.classifier.eval()(pixels))


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
        (lambda state: state.update({"bn1.bias": torch.zeros(3)}), "has another shape of bn1.bias"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, change: object, reason: str) -> None:
    state = imagenet_state()
    assert callable(change)
    change(state)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(TrainingError, match=f"do not fit: the file {reason}"):
        create("resnet18", str(tmp_path / "model.safetensors"), 3, None, 32)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    torch.save(imagenet_state(), tmp_path / "model.pth")
    with pytest.raises(TrainingError, match="not a safetensors file"):
        create("resnet18", str(tmp_path / "model.pth"), 3, None, 32)


def test_unknown_weights_get_the_known_names() -> None:
    with pytest.raises(TrainingError, match="neither a file nor weights of resnet18, which are IMAGENET1K_V1"):
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
