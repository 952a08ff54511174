"""Models that were trained elsewhere become artifacts that answer as they did there."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from tests.training.conftest import write_photos
from training.artifact.archive import unpack
from training.artifact.proof import ask
from training.common.errors import TrainingError
from training.common.torchvision_compat import models
from training.model.mlp import Mlp
from training.model.network import create
from training.model.weights_file import Weights
from training.pipeline.measure import find_photos
from training.pipeline.package import PackageOptions, _classes

pytestmark = pytest.mark.usefixtures("trains")

Run = Callable[..., tuple[int, str, str]]
CLASSES = ["001.Red_setter", "002.Green_dog", "003.Blue_heeler"]


def manifest(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "model.json").read_text())
    return content


@pytest.fixture
def names(tmp_path: Path) -> Path:
    (tmp_path / "names.txt").write_text("\n".join(CLASSES) + "\n")
    return tmp_path / "names.txt"


def test_a_fits_own_weights_become_the_same_archive_again(fitted: Path, tmp_path: Path, run: Run) -> None:
    status, _, errors = run("package", "--from", fitted / "build", "--out", tmp_path / "out")
    assert (status, errors) == (0, "")
    assert manifest(tmp_path / "out")["artifact"] == manifest(fitted / "build")["artifact"]
    assert (tmp_path / "out" / "model.tar.gz").read_bytes() == (fitted / "build" / "model.tar.gz").read_bytes()


def test_a_manifest_of_other_weights_is_left_aside(fitted: Path, tmp_path: Path, run: Run) -> None:
    shutil.copytree(fitted / "build", tmp_path / "build")
    content = json.loads((tmp_path / "build" / "model.json").read_text())
    content["weights"]["sha256"] = "0" * 64
    (tmp_path / "build" / "model.json").write_text(json.dumps(content))
    status, output, errors = run("package", "--from", tmp_path / "build", "--out", tmp_path / "out")
    assert status == 2
    assert "model.json does not vouch for these very weights" in output
    assert "say by --classes which" in errors


def test_what_is_written_may_be_read_by_whom_the_umask_lets(fitted: Path) -> None:
    modes = {path.name: path.stat().st_mode for path in (fitted / "build").iterdir()}
    assert len(set(modes.values())) == 1, modes


def test_with_photos_it_is_measured_as_a_fit_is(fitted: Path, tmp_path: Path, run: Run) -> None:
    source = tmp_path / "weights.safetensors"
    shutil.copy(fitted / "build" / "model.safetensors", source)
    status, output, _ = run("package", "--from", source, "--data", fitted / "data", "--out", tmp_path / "out")
    assert status == 0
    ours, fits = manifest(tmp_path / "out"), manifest(fitted / "build")
    assert ours["classes"] == fits["classes"]
    assert ours["model"]["temperature"] == pytest.approx(fits["model"]["temperature"], rel=1e-3)
    assert ours["metrics"]["test"]["accuracy"] == fits["metrics"]["test"]["accuracy"]
    assert ours["data"]["fingerprint"] == fits["data"]["fingerprint"]
    assert "Test        accuracy" in output


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write what the common tutorial leaves: ResNet-50 with a head of 128 numbers, whole and its head alone."""
    folder = tmp_path_factory.mktemp("tutorial")
    torch.manual_seed(0)
    network = models.resnet50(weights=None)
    torch.save(network.state_dict(), folder / "body.pth")
    network.fc = nn.Sequential(nn.Linear(2048, 128), nn.ReLU(inplace=True), nn.Linear(128, 3))
    torch.save(network.state_dict(), folder / "whole.pth")
    torch.save(network.fc.state_dict(), folder / "head.pth")
    return folder


def original(folder: Path, photo: Path) -> torch.Tensor:
    """Return the tutorial's own answer to a photo of the right size: no normalisation, as it trained."""
    network = models.resnet50(weights=None)
    network.fc = nn.Sequential(nn.Linear(2048, 128), nn.ReLU(), nn.Linear(128, 3))
    network.load_state_dict(torch.load(folder / "whole.pth", weights_only=True))
    pixels = torch.from_numpy(np.array(Image.open(photo))).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        probabilities: torch.Tensor = network.eval()(pixels).softmax(1)[0]
    return probabilities


def test_the_tutorials_checkpoint_answers_as_it_did_there(
    tutorial: Path, names: Path, tmp_path: Path, run: Run
) -> None:
    arguments = ["--classes", names, "--image-size", "32", "--weights-normalisation", "none", "--out", tmp_path / "out"]
    status, output, errors = run("package", "--from", tutorial / "whole.pth", *arguments)
    assert (status, errors) == (0, "")
    assert "resnet50" in output
    assert "2048 - 128 - 3, with ReLU between" in output
    assert "as they are, from 0 to 1" in output
    assert manifest(tmp_path / "out")["metrics"] == {"test": None}

    unpack(tmp_path / "out" / "model.tar.gz", tmp_path / "model")
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    card["input"]["resize"] = 32  # so that a photo of 32 pixels stays as it is
    (tmp_path / "model" / "model.json").write_text(json.dumps(card))
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    (answer,) = ask(tmp_path / "model", [tmp_path / "photo.png"])
    assert torch.tensor(answer["probabilities"]).allclose(original(tutorial, tmp_path / "photo.png"), atol=1e-5)

    weights = str(tmp_path / "out" / "model.safetensors")
    recipe = create("resnet50", weights, 5, None, 32)  # a fit goes on from it, for other classes
    assert (recipe.mlp, recipe.head) == (Mlp("fc", (2048, 128)), "fc.2")
    assert recipe.classifier.network.get_parameter("fc.0.weight").equal(load_file(weights)["fc.0.weight"])


def test_a_head_alone_is_put_on_top_of_its_body(tutorial: Path, names: Path, tmp_path: Path, run: Run) -> None:
    arguments = ["--arch", "resnet50", "--weights", tutorial / "body.pth", "--classes", names, "--image-size", "32"]
    status, _, errors = run("package", "--from", tutorial / "head.pth", *arguments, "--out", tmp_path / "out")
    assert (status, errors) == (0, "")
    packed = load_file(tmp_path / "out" / "model.safetensors")
    whole = torch.load(tutorial / "whole.pth", weights_only=True)
    assert packed.keys() == whole.keys()
    assert all(packed[name].equal(value) for name, value in whole.items())


def test_classes_come_in_the_order_of_the_models_output(data: Path) -> None:
    folders = {split: data / split for split in ("train", "valid", "test")}
    found = find_photos(folders, CLASSES[::-1])
    assert found.classes == tuple(CLASSES[::-1])
    for photos in found.splits.values():
        assert all(photo.path.parent.name == found.classes[photo.target] for photo in photos)


def test_photos_of_other_classes_are_refused(data: Path) -> None:
    folders = {split: data / split for split in ("train", "valid", "test")}
    with pytest.raises(TrainingError, match=r"has no photos of 004\.Cat \(1 such classes\)"):
        find_photos(folders, [*CLASSES, "004.Cat"])
    with pytest.raises(TrainingError, match=r"has photos of 003\.Blue_heeler, which the model does not know"):
        find_photos(folders, CLASSES[:2])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    torch.manual_seed(0)
    network = models.resnet18(weights=None, num_classes=3)
    torch.save(network.state_dict(), folder / "model.pth")
    torch.save({"fc.weight": torch.zeros(3, 512), "fc.bias": torch.zeros(3)}, folder / "head.pth")
    torch.save({"stem.weight": torch.zeros(8, 3, 4, 4)}, folder / "other.pth")
    torch.save(network, folder / "pickled.pth")
    named = {"state_dict": network.state_dict(), "class_to_idx": {"cat": 0, "cow": 1, "dog": 2}}
    torch.save(named, folder / "named.pth")
    torch.save({"patch_embed.proj.weight": torch.zeros(2, 3, 2, 2), "cls_token": torch.zeros(1)}, folder / "timm.pth")
    torch.save(network.state_dict() | {"fc.bias": torch.zeros(7)}, folder / "bias.pth")
    torch.save({"fc.weight": torch.zeros(3, 256), "fc.bias": torch.zeros(3)}, folder / "narrow.pth")
    torch.save({f"fc.{i}.weight": torch.zeros(3, 512 if i == 0 else 3) for i in range(2)}, folder / "close.pth")
    return folder


FLOWERS = {"1": "pink primrose", "2": "hard-leaved", "10": "globe"}
"""As the ``cat_to_name.json`` of the courses has it: from a folder to its class's name."""


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write photos in folders with numbers, and a checkpoint that the courses' notebook leaves."""
    folder = tmp_path_factory.mktemp("flowers")
    write_photos(folder / "coloured")
    for split in ("train", "valid", "test"):
        for name, number in zip(CLASSES, FLOWERS, strict=True):
            shutil.copytree(folder / "coloured" / split / name, folder / "data" / split / number)
    (folder / "cat_to_name.json").write_text(json.dumps(FLOWERS))
    torch.manual_seed(0)
    state = models.resnet18(weights=None, num_classes=3).state_dict()
    torch.save(state, folder / "bare.pth")
    # Not in the order of texts, so that only the checkpoint tells it.
    torch.save({"state_dict": state, "class_to_idx": {"1": 0, "2": 1, "10": 2}}, folder / "checkpoint.pth")
    return folder


@pytest.mark.parametrize(
    ("file", "photos", "order"),
    [
        ("checkpoint.pth", True, ["1", "2", "10"]),
        ("checkpoint.pth", False, ["1", "2", "10"]),
        ("bare.pth", True, ["1", "10", "2"]),
    ],
)
def test_a_map_names_the_folders_that_checkpoint_and_photos_have(
    flowers: Path, tmp_path: Path, run: Run, file: str, photos: bool, order: list[str]
) -> None:
    words = ["--classes", flowers / "cat_to_name.json", "--image-size", 32, "--out", tmp_path]
    words += ["--data", flowers / "data"] if photos else []
    status, output, errors = run("package", "--from", flowers / file, *words)
    assert (status, errors) == (0, "")
    assert f"3 classes from pink primrose to {FLOWERS[order[-1]]}" in output
    assert manifest(tmp_path)["classes"] == [{"name": each, "label": FLOWERS[each]} for each in order]
    if photos:
        scores = manifest(tmp_path)["metrics"]["test"]
        assert [each["label"] for each in scores["classes"]] == [FLOWERS[each] for each in order]
        at = ("--artifact", tmp_path / "model.tar.gz")
        status, output, errors = run("evaluate", *at, "--data", flowers / "data", "--out", tmp_path)
        assert (status, errors) == (0, "")
        assert f"accuracy {scores['accuracy']:.4f}" in output
    status, _, errors = run("package", "--from", tmp_path / "model.safetensors", "--out", tmp_path / "again")
    assert (status, errors) == (0, "")
    assert manifest(tmp_path / "again")["classes"] == manifest(tmp_path)["classes"]


def test_keys_that_are_outputs_and_folders_in_another_order_are_refused(data: Path, tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        for number in range(12):
            shutil.copytree(data / split / CLASSES[0], tmp_path / split / str(number))
    (tmp_path / "names.json").write_text(json.dumps({str(number): f"dog {number}" for number in range(12)}))
    folders = {split: tmp_path / split for split in ("train", "valid", "test")}
    options = PackageOptions(tmp_path, tmp_path, classes=tmp_path / "names.json", folders=folders)
    file = Weights(tmp_path, "", {})
    reason = "can be read in two ways: the model's output 2 is dog 2 if its keys are outputs, and dog 10 if they are"
    with pytest.raises(TrainingError, match=reason):
        _classes(options, file, None, 12)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("", "required: --from"),
        ("--from {small}/none.pth", "there is no such file"),
        ("--from {small}/pickled.pth --classes {names}", "is not unpickled"),
        ("--from {small}/model.pth", "the model tells 3 classes apart; say by --classes which"),
        ("--from {small}/model.pth --classes {two}", "has 2 classes, and the model 3"),
        ("--from {small}/named.pth --classes {two}", "has 2 classes, and the checkpoint's class_to_idx 3"),
        (
            "--from {small}/named.pth --classes {names}",
            "output 0 001.Red_setter, and the checkpoint's class_to_idx cat",
        ),
        (
            "--from {small}/named.pth --classes {part}",
            "has no name for dog, and the checkpoint's class_to_idx has that class (1 such classes); add it",
        ),
        (
            "--from {small}/named.pth --classes {more}",
            "has a name for emu, and the checkpoint's class_to_idx has no such class (1 such classes); remove it",
        ),
        (
            "--from {small}/named.pth --data {photos} --classes {whole}",
            "the checkpoint's class_to_idx has cat, and {photos}/train no such class",
        ),
        (
            "--from {small}/model.pth --data {photos} --classes {short}",
            "has no name for 003.Blue_heeler, and",
        ),
        ("--from {small}/named.pth --data {photos}", "the checkpoint's class_to_idx has cat, and"),
        ("--from {small}/named.pth --weights-key model_ema", "no weights under it; it has them under state_dict"),
        ("--from {small}/model.pth --classes {one}", "counted from 1, and the model has 3 outputs: name the first"),
        (
            "--from {small}/timm.pth --classes {names}",
            "is timm's model (it has patch_embed.proj.weight); Kennel packages",
        ),
        ("--from {small}/model.pth --classes {twice}", "several classes with the label 'dog'"),
        ("--from {small}/model.pth --classes {small}/none.txt", "cannot be read"),
        ("--from {small}/model.pth --classes {small}/model.pth", "is neither a name on each line"),
        ("--from {small}/model.pth --arch resnet34 --classes {names}", "is not resnet34: it lacks layer1.2."),
        ("--from {small}/model.pth --arch resnet --classes {names}", "torchvision has no such classifier"),
        ("--from {small}/model.pth --weights DEFAULT --classes {names}", "has every layer: leave out --weights"),
        ("--from {small}/head.pth --classes {names}", "holds a head alone: say by --arch and --weights"),
        ("--from {small}/bias.pth --classes {names}", "the file has another shape of fc.bias"),
        (
            "--from {small}/narrow.pth --arch resnet18 --weights {small}/model.pth --classes {names}",
            "shape of fc.weight",
        ),
        (
            "--from {small}/close.pth --arch resnet18 --weights {small}/model.pth --classes {names}",
            "nothing stands between",
        ),
        ("--from {small}/head.pth --arch resnet18 --weights none --classes {names}", "a head is worth nothing"),
        ("--from {small}/head.pth --arch resnet18 --weights V9 --classes {names}", "neither a file nor weights"),
        ("--from {small}/head.pth --arch resnet50 --weights {small}/model.pth --classes {names}", "is not resnet50"),
        ("--from {small}/other.pth --arch resnet18 --classes {names}", "is not resnet18: it lacks"),
        ("--from {ours} --weights-normalisation none", "says how its pixels are normalised"),
        ("--from {ours} --arch resnet34", "is for resnet18, not for resnet34; leave out --arch"),
        ("--from {small}/model.pth --data {small}/nowhere", "is missing"),
        ("--from {small}/model.pth --image-size 4", "must be from 8 to 4096"),
    ],
)
def test_what_cannot_be_packaged_is_one_line_and_nothing_is_written(
    arguments: str, reason: str, small: Path, names: Path, fitted: Path, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    (tmp_path / "one.json").write_text(json.dumps({"cat": 1, "dog": 2}))
    whole = {"cat": "a cat", "cow": "a cow", "dog": "a dog"}
    maps = {
        "whole": whole,
        "part": {"cat": "a cat", "cow": "a cow"},
        "more": whole | {"emu": "an emu"},
        "short": {CLASSES[0]: "red", CLASSES[1]: "green", "004.Cat": "cat"},
    }
    for name, content in maps.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "twice.txt").write_text("cat\n1.dog\n2.dog\n")
    files = {"two": tmp_path / "two.txt", "twice": tmp_path / "twice.txt", "names": names, "ours": fitted / "build"}
    files |= {"one": tmp_path / "one.json", "photos": fitted / "data"}
    files |= {name: tmp_path / f"{name}.json" for name in maps}
    words = [word.format(small=small, **files) for word in arguments.split()]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.json").write_text("of an earlier run")
    status, _, errors = run("package", *words, "--out", tmp_path / "out")
    assert status == 2
    assert reason.format(**files) in errors
    assert len(errors.splitlines()) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.json"]
    assert (tmp_path / "out" / "model.json").read_text() == "of an earlier run"
