import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from stacks.endpoint.artifact import load_artifact
from stacks.settings.errors import ConfigurationError
from training.artifact import proof
from training.artifact.proof import Proof
from training.common.files import publish
from training.common.version import VERSION
from training.fit import evaluation
from training.model.export import to_onnx

Run = Callable[..., tuple[int, str, str]]
FILES = {"model.json", "model.safetensors", "model.tar.gz", "report.html"}
QUICK = ("--epochs", "1", "--batch-size", "8")


def manifest(build: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((build / "model.json").read_text())
    return content


def lasting(build: Path) -> dict[str, Any]:
    """Return the manifest without what a clock wrote."""
    content = manifest(build)
    for epoch in content["history"]:
        del epoch["seconds"]
    del content["speed"]
    return content


def agrees(build: Path) -> bool:
    """Return whether the manifest, if there is one, vouches for the archive that lies beside it."""
    if not (build / "model.json").exists():
        return True
    digest = hashlib.sha256((build / "model.tar.gz").read_bytes()).hexdigest()
    return bool(manifest(build)["artifact"]["sha256"] == digest)


@pytest.fixture
def proofless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes seconds and is tested for itself: the export and its proof."""
    monkeypatch.setattr("training.pipeline.pack.to_onnx", lambda model, side: str(model.temperature).encode())
    monkeypatch.setattr(proof, "prove", lambda archive, photos, expected: Proof(len(photos), 1e-4, 0.0))


def test_a_fit_writes_four_files_that_agree(fitted: Path) -> None:
    build = fitted / "build"
    assert {path.name for path in build.iterdir()} == FILES
    assert agrees(build)
    assert manifest(build)["artifact"]["size"] == (build / "model.tar.gz").stat().st_size
    with safe_open(build / "model.safetensors", framework="pt") as file:
        assert file.get_tensor("fc.weight").shape == (3, 512)
        assert json.loads(file.metadata()["kennel"])["architecture"] == "resnet18"


def test_the_manifest_says_what_was_done_with_what(fitted: Path) -> None:
    found = manifest(fitted / "build")
    assert found["schema"] == 1
    assert found["artifact"]["location"] == "model.tar.gz"
    assert found["model"] | {"temperature": 1.0} == {
        "architecture": "resnet18",
        "weights": "none",
        "mode": "full",
        "temperature": 1.0,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    assert found["input"] == {"resize": 32, "crop": [32, 32], "interpolation": "bilinear"}
    assert found["classes"][1] == {"name": "002.Green_dog", "label": "Green dog"}
    assert found["data"]["images"] == {"train": 24, "valid": 12, "test": 12}
    assert found["training"]["epochs"] == 2
    assert found["training"]["lr"] == 0.001
    assert found["metrics"]["test"]["images"] == found["export"]["images"] == 12
    assert found["export"]["max_probability_difference"] <= found["export"]["tolerance"] == 1e-4
    assert {"python", "torch", "torchvision", "onnx", "onnxruntime"} <= found["versions"].keys()
    assert found["versions"]["kennel"] == VERSION


def test_an_archive_does_not_depend_on_the_version_of_kennel(
    fitted: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.pipeline.pack.VERSION", "99.0.0")
    status, _, _ = run("fit", "--data", fitted / "data", "--out", tmp_path, "--epochs", 2, "--batch-size", 8)
    assert status == 0
    assert manifest(tmp_path)["versions"]["kennel"] == "99.0.0"
    assert (tmp_path / "model.tar.gz").read_bytes() == (fitted / "build" / "model.tar.gz").read_bytes()


def test_the_same_seed_gives_the_same_artifact(fitted: Path, tmp_path: Path, run: Run) -> None:
    status, output, _ = run("fit", "--data", fitted / "data", "--out", tmp_path, "--epochs", 2, "--batch-size", 8)
    assert status == 0
    for name in ("model.safetensors", "model.tar.gz"):
        assert (tmp_path / name).read_bytes() == (fitted / "build" / name).read_bytes()
    assert lasting(tmp_path) == lasting(fitted / "build")
    digest = manifest(tmp_path)["artifact"]["sha256"]
    assert "3 classes: Red setter, Green dog, Blue heeler" in output
    assert digest in output


def test_the_log_says_what_metric_definitions_read_and_the_manifest_keeps_it(
    fitted: Path, tmp_path: Path, run: Run
) -> None:
    status, output, _ = run("fit", "--data", fitted / "data", "--out", tmp_path, "--epochs", 2, "--batch-size", 8)
    assert status == 0
    found = manifest(tmp_path)
    lines = re.findall(
        r"^epoch=(\d+) train_loss=([0-9.]+) valid_accuracy=([0-9.]+) valid_loss=([0-9.]+) seconds=[0-9.]+$",
        output,
        re.M,
    )
    assert lines == [
        (
            str(epoch["number"]),
            f"{epoch['train_loss']:.4f}",
            f"{epoch['validation']['accuracy']:.4f}",
            f"{epoch['validation']['loss']:.4f}",
        )
        for epoch in found["history"]
    ]
    assert [epoch["number"] for epoch in found["history"]] == [1, 2]
    test, kept = found["metrics"]["test"], found["metrics"]["validation"]["accuracy"]
    assert (
        f"\ntest_accuracy={test['accuracy']:.4f} test_loss={test['loss']:.4f} "
        f"test_balanced_accuracy={test['balanced_accuracy']:.4f} test_macro_f1={test['macro_f1']:.4f}\n"
    ) in output
    assert re.findall(r"\bvalid_accuracy=([0-9.]+)", output)[-1] == f"{kept:.4f}", "of the weights that were kept"


def test_head_mode_goes_on_from_a_file_of_weights(fitted: Path, tmp_path: Path, run: Run) -> None:
    weights = fitted / "build" / "model.safetensors"
    status, output, _ = run("fit", "--data", fitted / "data", "--out", tmp_path, "--weights", weights, "--epochs", 3)
    assert status == 0, output
    assert manifest(tmp_path)["model"]["mode"] == "head"
    assert manifest(tmp_path)["training"]["views"] == 1
    assert manifest(tmp_path)["model"]["weights"] == "model.safetensors"
    with (
        safe_open(weights, framework="pt") as before,
        safe_open(tmp_path / "model.safetensors", framework="pt") as after,
    ):
        assert torch.equal(before.get_tensor("conv1.weight"), after.get_tensor("conv1.weight"))
        assert not torch.equal(before.get_tensor("fc.weight"), after.get_tensor("fc.weight"))


def test_a_fit_begins_with_the_weights_that_the_key_names(fitted: Path, tmp_path: Path, run: Run) -> None:
    state = load_file(fitted / "build" / "model.safetensors")
    average = {name: value * 0.5 for name, value in state.items()}
    torch.save({"model": state, "model_ema": average}, tmp_path / "model.pth")
    words = ["--weights", tmp_path / "model.pth", "--weights-key", "model_ema", "--image-size", 32, "--epochs", 1]
    status, output, _ = run("fit", "--data", fitted / "data", "--out", tmp_path / "out", *words)
    assert status == 0, output
    assert "uses the weights under model_ema" in output
    assert manifest(tmp_path / "out")["model"]["weights"] == "model.pth (model_ema)"
    assert load_file(tmp_path / "out" / "model.safetensors")["conv1.weight"].equal(average["conv1.weight"])


def test_a_graph_that_disagrees_with_pytorch_leaves_the_old_artifact(
    fitted: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = shutil.copytree(fitted / "build", tmp_path / "build")
    export = to_onnx

    def wrong(model: Any, side: int) -> bytes:
        with torch.no_grad():
            model.classifier.mean += 0.1
            graph = export(model, side)
            model.classifier.mean -= 0.1
        return graph

    monkeypatch.setattr("training.pipeline.pack.to_onnx", wrong)
    status, _, errors = run("fit", "--data", fitted / "data", "--out", build, *QUICK)
    assert status != 0
    assert "disagree on" in errors
    assert len(errors.splitlines()) == 1
    for name in FILES:
        assert (build / name).read_bytes() == (fitted / "build" / name).read_bytes()
    assert {path.name for path in build.iterdir()} == FILES


@pytest.mark.usefixtures("proofless")
def test_a_crash_at_any_step_of_publishing_leaves_no_manifest_beside_another_archive(
    fitted: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCut(BaseException): ...

    steps = 0
    kept_new = kept_old = absent = 0
    for crash_at in range(100):
        build = shutil.copytree(fitted / "build", tmp_path / f"build{crash_at}")
        steps = 0

        def step(name: str, original: Callable[..., Any], crash_at: int = crash_at) -> Callable[..., Any]:
            def wrapped(*arguments: Any, **options: Any) -> Any:
                nonlocal steps
                steps += 1
                if steps > crash_at:
                    raise PowerCut
                return original(*arguments, **options)

            return wrapped

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", step("replace", Path.replace))
            patch.setattr(Path, "unlink", step("unlink", Path.unlink))
            patch.setattr(os, "fsync", step("fsync", os.fsync))
            patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # nor does anybody clean up after a power cut
            try:
                fitting_publish(tmp_path / f"new{crash_at}", build)
                finished = True
            except PowerCut:
                finished = False
        assert agrees(build)
        present = (build / "model.json").exists()
        absent += not present
        if present:
            new = (build / "model.safetensors").read_bytes() == b"new weights"
            kept_new, kept_old = kept_new + new, kept_old + (not new)
        if finished:
            break
    assert finished
    assert min(kept_new, kept_old, absent) > 0


def fitting_publish(work: Path, build: Path) -> None:
    work.mkdir()
    (work / "model.tar.gz").write_bytes(b"new archive")
    (work / "model.safetensors").write_bytes(b"new weights")
    digest = hashlib.sha256(b"new archive").hexdigest()
    (work / "model.json").write_text(json.dumps({"artifact": {"sha256": digest}}))
    publish(work, build, ["model.tar.gz", "model.safetensors", "model.json"])


@pytest.mark.usefixtures("proofless")
def test_an_interrupted_fit_leaves_the_old_artifact_and_no_traces(
    fitted: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = shutil.copytree(fitted / "build", tmp_path / "build")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.pipeline.pack.save", interrupt)
    status, _, errors = run("fit", "--data", fitted / "data", "--out", build, *QUICK)
    assert (status, errors.strip()) == (130, "stopped; nothing was written")
    assert {path.name for path in build.iterdir()} == FILES
    assert agrees(build)


@pytest.mark.usefixtures("proofless")
def test_the_test_split_is_evaluated_once(
    fitted: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    predict = evaluation.predict

    def counting(model: Any, photos: Any, title: str) -> Any:
        titles.append(photos.photos[0].path.parts[-3])
        return predict(model, photos, title)

    monkeypatch.setattr(evaluation, "predict", counting)
    assert run("fit", "--data", fitted / "data", "--out", tmp_path, "--epochs", 3, "--batch-size", 8)[0] == 0
    assert titles == ["valid", "valid", "valid", "test"]


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.usefixtures("proofless")
@pytest.mark.parametrize("part", ["write_archive", "page.write", "publish"])
def test_a_disk_that_fills_while_packing_leaves_the_weights(
    data: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    build = tmp_path / "build"
    with monkeypatch.context() as patch:
        patch.setattr(f"training.pipeline.pack.{part}", full)
        status, _, errors = run("fit", "--data", data, "--out", build, *QUICK)
    assert (status, errors.count("\n")) == (2, 1)
    assert f"the disk of {build} is full" in errors
    assert "free disk space there, or choose --out on another disk" in errors
    kept = build / "trained.safetensors"
    assert f"`./kennel package --from {kept} --data DIR --out DIR` packs the trained weights" in errors
    assert [*build.iterdir()] == [kept]
    if part == "publish":
        assert run("package", "--from", kept, "--data", data, "--out", tmp_path / "packed")[0] == 0
        assert agrees(tmp_path / "packed")


@pytest.mark.usefixtures("proofless")
def test_weights_without_room_beside_the_artifact_are_kept_on_another_disk(
    data: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.pipeline.pack.write_weights", full)
    monkeypatch.setattr("training.pipeline.full_disk.cache_folder", lambda: tmp_path)
    status, _, errors = run("fit", "--data", data, "--out", tmp_path / "build", *QUICK)
    assert status == 2
    assert f"package --from {tmp_path / 'trained.safetensors'} " in errors
    with safe_open(tmp_path / "trained.safetensors", framework="pt") as file:
        assert file.get_tensor("fc.weight").shape == (3, 512)


@pytest.mark.usefixtures("proofless")
def test_without_a_test_split_the_manifest_says_that_nothing_was_measured(data: Path, tmp_path: Path, run: Run) -> None:
    shutil.rmtree(data / "test")
    status, _, errors = run("fit", "--data", data, "--out", tmp_path / "build", *QUICK)
    assert status == 2
    assert errors.rstrip().endswith("add --no-test to train without a test split")
    status, output, errors = run("fit", "--data", data, "--out", tmp_path / "build", "--no-test", *QUICK)
    assert status == 0, errors
    assert "test_accuracy" not in output
    assert "the stacks refuse the model" in output
    assert {path.name for path in (tmp_path / "build").iterdir()} == FILES - {"report.html"}
    found = manifest(tmp_path / "build")
    assert found["metrics"] == {"test": None}
    assert found["data"]["images"] == {"train": 24, "valid": 12}
    with pytest.raises(ConfigurationError, match="test accuracy is unknown"):
        load_artifact(tmp_path / "build" / "model.json", minimum_accuracy=0)


@pytest.mark.usefixtures("proofless")
def test_class_folders_are_divided_and_the_manifest_says_how(data: Path, tmp_path: Path, run: Run) -> None:
    divided = ["--data", data / "train", "--split", "0.5,0.25,0.25", "--seed", 3, *QUICK]
    status, _, errors = run("fit", *divided, "--out", tmp_path / "build")
    assert status == 0, errors
    found = manifest(tmp_path / "build")
    assert found["data"]["split"] == {"shares": "0.5,0.25,0.25", "seed": 3}
    assert sum(found["data"]["images"].values()) == 24
    assert found["metrics"]["test"]["images"] == found["data"]["images"]["test"] > 0


@pytest.mark.usefixtures("proofless")
def test_sagemakers_environment_takes_the_place_of_arguments(fitted: Path, tmp_path: Path, run: Run) -> None:
    environment = {
        "SM_CHANNEL_TRAINING": str(fitted / "data"),
        "SM_MODEL_DIR": str(tmp_path / "model"),
        "SM_HPS": json.dumps({"epochs": 1, "batch_size": "4", "seed": 5, "sagemaker_program": "train.py"}),
    }
    status, _, errors = run("fit", environment=environment)
    assert status == 0, errors
    assert manifest(tmp_path / "model")["training"] | {"lr": 0} == {
        "epochs": 1,
        "batch_size": 4,
        "lr": 0,
        "seed": 5,
        "shape": "one-cycle",
        "warm_up": 0.25,
        "backbone_lr": 1.0,
        "label_smoothing": 0.0,
        "ema": 0.0,
        "batch_norm": "train",
        "class_weights": "none",
        "patience": None,
        "batch_norm_statistics": "one pass over train before each validation",
        "weight_decay": 0.05,
        "best_epoch": 1,
        "image_size": 32,
        "augment": "light",
    }


@pytest.mark.usefixtures("proofless")
def test_an_argument_wins_over_a_hyperparameter_and_a_channel_for_each_split_is_enough(
    fitted: Path, tmp_path: Path, run: Run
) -> None:
    environment = {
        "SM_CHANNEL_TRAIN": str(fitted / "data" / "train"),
        "SM_CHANNEL_VALIDATION": str(fitted / "data" / "valid"),
        "SM_CHANNEL_TEST": str(fitted / "data" / "test"),
        "SM_HPS": '{"epochs": 9, "batch-size": 8}',
    }
    status, _, errors = run("fit", "--epochs", 1, "--out", tmp_path / "build", environment=environment)
    assert status == 0, errors
    assert manifest(tmp_path / "build")["training"]["epochs"] == 1
    assert manifest(tmp_path / "build")["data"] == manifest(fitted / "build")["data"]


@pytest.mark.parametrize(
    ("arguments", "environment", "reason"),
    [
        (["--epochs", "0"], {}, "--epochs: must be at least 1, not 0"),
        (["--epochs", "many"], {}, "--epochs: many is not a whole number"),
        (["--batch-size", "1"], {}, "--batch-size: must be at least 2"),
        (["--lr", "-1"], {}, "--lr: must be above 0"),
        (["--lr", "nan"], {}, "--lr: must be above 0"),
        (["--image-size", "4"], {}, "--image-size: must be from 8 to 4096"),
        (["--seed", "-1"], {}, "--seed: must be from 0"),
        (["--mode", "half"], {}, "--mode: invalid choice"),
        (["--augment", "flip"], {}, "--augment: invalid choice"),
        (["--warm-up", "1"], {}, "--warm-up: must be above 0 and below 1"),
        (["--ema", "1"], {}, "--ema: must be 0, or above 0 and below 1"),
        (["--label-smoothing", "-0.1"], {}, "--label-smoothing: must be 0, or above 0 and below 1"),
        (["--backbone-lr", "0"], {}, "--backbone-lr: must be above 0"),
        (["--shape", "flat"], {}, "--shape: invalid choice"),
        (["--precision", "int8"], {}, "--precision: invalid choice"),
        (["--batch-norm", "frozen"], {}, "--batch-norm frozen keeps the statistics of trained weights"),
        (["--checkpoint-minutes", "-1"], {}, "--checkpoint-minutes: must be 0, or above 0"),
        (["--checkpoint-steps", "0"], {}, "--checkpoint-steps: must be at least 1"),
        (["--checkpoints", "/dev/null/checkpoints"], {}, "--checkpoints /dev/null/checkpoints cannot be written"),
        (["--resume", "perhaps"], {}, "--resume: perhaps is neither yes nor no"),
        (["--resume"], {}, "--resume needs a folder of checkpoints; add --checkpoints DIR"),
        ([], {"WORLD_SIZE": "two"}, "WORLD_SIZE=two is not a whole number"),
        ([], {"WORLD_SIZE": "2", "RANK": "0"}, "the 2 processes cannot connect to each other"),
        (["--arch", "resnet81"], {}, "did you mean"),
        (["--arch", "fasterrcnn_resnet50_fpn"], {}, "no such classifier"),
        (["--weights", "missing.safetensors"], {}, "neither a file nor weights"),
        (["--weights-key", "ema"], {}, "--weights-key ema needs a file, and --weights none is not one"),
        (["--weights", "DEFAULT", "--weights-key", "ema"], {}, "and --weights DEFAULT is not one; leave out"),
        (["--mode", "head"], {}, "--mode head needs a trained backbone"),
        (["--weights", "DEFAULT", "--augment", "photo"], {}, "--mode head uses only the original of each photo"),
        (["--data", "nowhere"], {}, "nowhere does not exist"),
        (["--out", "/dev/null/build"], {}, "cannot be written"),
        (["--unknown", "1"], {}, "unrecognized arguments: --unknown"),
        ([], {"SM_HPS": "{"}, "SM_HPS, the hyperparameters of the job, is not a JSON object"),
        ([], {"SM_HPS": "[1]"}, "SM_HPS, the hyperparameters of the job, is not a JSON object"),
        ([], {"SM_HPS": '{"momentum": 0.9}'}, "--momentum"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    data: Path, tmp_path: Path, run: Run, arguments: list[str], environment: dict[str, str], reason: str
) -> None:
    base = ["fit", "--data", str(data), "--out", str(tmp_path / "build")]
    status, output, errors = run(*base, *arguments, environment=environment)
    assert status != 0
    assert output == ""
    assert reason in errors
    assert errors.startswith("kennel: ")
    assert len(errors.splitlines()) == 1
    assert not list((tmp_path / "build").rglob("*")) if (tmp_path / "build").exists() else True


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "--data DIR is needed"),
        ({"SM_CHANNEL_TRAIN": "train", "SM_CHANNEL_TEST": "test"}, "the channel valid is missing"),
    ],
)
def test_without_photos_the_message_says_where_they_go(run: Run, environment: dict[str, str], reason: str) -> None:
    status, _, errors = run("fit", environment=environment)
    assert status != 0
    assert reason in errors


def test_an_unreadable_photo_stops_the_fit_before_it_trains(data: Path, tmp_path: Path, run: Run) -> None:
    (data / "test" / "002.Green_dog" / "1.png").write_bytes(b"not an image")
    status, output, errors = run("fit", "--data", data, "--out", tmp_path / "build")
    assert status != 0
    assert "Green_dog/1.png" in errors
    assert "epoch" not in output
    assert list((tmp_path / "build").iterdir()) == []


def test_without_wheels_the_fit_stops_before_it_trains(
    data: Path, tmp_path: Path, run: Run, offline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KENNEL_CACHE", str(tmp_path / "empty"))
    status, output, errors = run("fit", "--data", data, "--out", tmp_path / "build")
    assert status != 0
    assert "cannot be downloaded" in errors
    assert "epoch" not in output
