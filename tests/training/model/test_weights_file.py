"""Weights out of every kind of file, and nothing but weights."""

import argparse
import datetime
import pickle
import re
import tarfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from training.common.errors import TrainingError
from training.common.torchvision_compat import models
from training.model.plain_values import Array, Dtype, plain, stand_ins
from training.model.strangers import stranger
from training.model.weights_file import read_weights

STATE = {"conv.weight": torch.arange(8.0).view(2, 1, 2, 2), "fc.weight": torch.ones(3, 2), "fc.bias": torch.zeros(3)}


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in STATE.items()}


def saved(content: object, name: str = "model.pth") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        torch.save(content, folder / name)
        return folder / name

    return write


def safe(folder: Path) -> Path:
    save_file(STATE, folder / "model.safetensors")
    return folder / "model.safetensors"


def archived(folder: Path) -> Path:
    torch.save(STATE, folder / "model.pth")
    with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
        tar.add(folder / "model.pth", "./model.pth")
        tar.add(__file__, "./code/inference.py")
        tar.add(__file__, "./._model.pth")
    (folder / "model.pth").unlink()
    return folder / "model.tar.gz"


BESIDE = {
    "best": np.float64(0.5),
    "step": np.int64(3),
    "curve": np.arange(4.0).reshape(2, 2),
    "labels": np.array(["cat", "dog"]),
    "objects": np.array(["cat", None], dtype=object),
    "history": defaultdict(list, {"loss": [0.1]}),
    "counts": defaultdict(int),
    "args": argparse.Namespace(lr=0.1, out=Path("runs") / "1"),
    "folder": PureWindowsPath("C:/runs"),
    "ordered": OrderedDict(a=1),
}


def in_the_old_format(content: object) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        torch.save(content, folder / "model.pth", _use_new_zipfile_serialization=False)
        return folder / "model.pth"

    return write


def protocol_4(folder: Path) -> Path:
    torch.save(STATE, folder / "model.pth", pickle_protocol=4)
    return folder / "model.pth"


KINDS: dict[str, Callable[[Path], Path]] = {
    "state_dict": saved(STATE),
    "another ending": saved(STATE, "weights.bin"),
    "state_dict in a checkpoint": saved({"epoch": 3, "state_dict": STATE, "optimizer": {"lr": 0.1}}),
    "model in a checkpoint": saved({"model": STATE}),
    "model_state_dict in a checkpoint": saved({"model_state_dict": STATE, "loss": torch.ones(())}),
    "DataParallel": saved(prefixed("module.")),
    "compiled": saved(prefixed("_orig_mod.")),
    "compiled in DataParallel": saved({"state_dict": prefixed("module._orig_mod.")}),
    "a module around it": saved(prefixed("model.")),
    "a module of any name around it": saved({"state_dict": prefixed("net.backbone.")}),
    "torchvision's training script": saved({"model": STATE, "args": argparse.Namespace(lr=0.1), "epoch": 3}),
    "numbers, arrays and paths beside it": saved({"state_dict": STATE, **BESIDE}),
    "the same in the old format": in_the_old_format({"state_dict": STATE, **BESIDE}),
    "AveragedModel": saved({"n_averaged": torch.tensor(3), **prefixed("module.")}),
    "AveragedModel in DataParallel": saved(
        {"module.n_averaged": torch.tensor(3), **prefixed("module.module.")},
    ),
    "Lightning with a weighted loss": saved({"state_dict": {**prefixed("model."), "criterion.weight": torch.ones(3)}}),
    "Lightning with another": saved({"state_dict": {"loss_fn.pos_weight": torch.ones(3), **prefixed("net.")}}),
    "an average alone": saved({"state_dict_ema": STATE, "epoch": 1}),
    "weights and their average": saved(
        {"model_ema": prefixed("module.") | {"n_averaged": torch.ones(1)}, "model": STATE}
    ),
    "half precision": saved({name: value.half() for name, value in STATE.items()}),
    "safetensors": safe,
    "SageMaker's archive": archived,
    "a folder": lambda folder: saved(STATE)(folder).parent,
    "a folder with an archive": lambda folder: archived(folder).parent,
}


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_read_from(kind: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "work").mkdir()
    found = read_weights(KINDS[kind](tmp_path / "in"), tmp_path / "work")
    assert found.state.keys() == STATE.keys()
    for name, value in STATE.items():
        assert found.state[name].dtype == torch.float32
        assert found.state[name].equal(value)


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("sprung"),)


def trap(folder: Path) -> Path:
    (folder / "model.pth").write_bytes(pickle.dumps(Trap()))
    return folder / "model.pth"


def text(folder: Path) -> Path:
    (folder / "model.pth").write_text("hello")
    return folder / "model.pth"


def two(folder: Path) -> Path:
    return saved(STATE, "b.pth")(saved(STATE, "a.pth")(folder).parent).parent


def archive_of(*names: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
            for name in names:
                tar.add(__file__, name)
        return folder / "model.tar.gz"

    return write


def beside_its_weights(folder: Path) -> Path:
    save_file(STATE, folder / "model.safetensors")
    return archive_of("model.json", "model.onnx")(folder)


def cut(folder: Path) -> Path:
    path = saved(STATE)(folder)
    path.write_bytes(path.read_bytes()[:-200])
    return path


def linked(folder: Path) -> Path:
    about = tarfile.TarInfo("model.pth")
    about.type, about.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
        tar.addfile(about)
    return folder / "model.tar.gz"


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing": (lambda folder: folder / "none.pth", "there is no such file or folder"),
    "an empty folder": (lambda folder: folder, "holds no weights"),
    "two files": (two, "holds a.pth and b.pth; give one"),
    "a whole model": (saved(nn.Linear(2, 2)), "is not unpickled: that could run any code; where it was made, save"),
    "a whole model's class": (
        saved(nn.Linear(2, 2)),
        "a whole model or layers (torch.nn.modules.linear.Linear), and is",
    ),
    "an object beside": (
        saved({"state_dict": STATE, "when": datetime.date(2026, 1, 1)}),
        "model.pth holds more than tensors and plain values: datetime.date, and is not unpickled",
    ),
    "a function beside": (saved({"state_dict": STATE, "act": print}), "plain values: builtins.print, and is not"),
    "another protocol": (protocol_4, "is pickled with protocol 4 or 5, and torch.save's own is 2, and is not"),
    "code": (trap, "is not unpickled"),
    "a number": (saved(3), "holds no state_dict, neither as it is nor as one of state_dict, model_state_dict, model;"),
    "a text": (text, "is neither a file of torch.save nor a .safetensors file"),
    "sparse": (saved({"w": torch.ones(2).to_sparse()}), "w is quantised, sparse, complex or empty"),
    "complex": (saved({"w": torch.ones(2, dtype=torch.complex64)}), "w is quantised, sparse, complex or empty"),
    "empty tensors": (saved({"w": torch.ones(2, device="meta")}), "w is quantised, sparse, complex or empty"),
    "terabytes in a few bytes": (saved({"w": torch.zeros(1).expand(1 << 40)}), "holds 4398.0 GB of numbers"),
    "an empty state_dict": (saved({}), "holds no state_dict"),
    "a file that is cut": (cut, "is not a file of PyTorch's weights"),
    "not a number": (saved({"fc.weight": torch.tensor([[float("nan")]])}), "fc.weight has values that are not finite"),
    "an artifact": (
        archive_of("code/server.py", "model.json", "model.onnx"),
        "model.tar.gz` checks it; to pack it again, give the model.safetensors that was written beside it",
    ),
    "an artifact beside its weights": (beside_its_weights, "model.safetensors` packs the weights beside it again"),
    "an archive with a graph": (archive_of("./model.onnx"), "has a graph, model.onnx, and `package` reads weights of"),
    "an archive without weights": (archive_of("README.md"), "has no file of weights (.pth, .pt, .bin, .ckpt, .safe"),
    "an archive with two": (archive_of("a.pth", "b/c.pth"), "such as a.pth and b/c.pth; unpack it, and give one of"),
    "a link in an archive": (linked, "has no file of weights"),
    "no safetensors": (lambda folder: trap(folder).rename(folder / "a.safetensors"), "is not a safetensors file"),
    "no archive": (lambda folder: trap(folder).rename(folder / "a.tar.gz"), "is not an archive"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_are_no_weights_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    make, reason = REFUSED[kind]
    with pytest.raises(TrainingError, match=re.escape(reason)) as caught:
        read_weights(make(tmp_path / "in"), tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sprung").exists()


def test_values_beside_weights_are_read_as_plain_ones(tmp_path: Path) -> None:
    path = saved(BESIDE)(tmp_path)
    with torch.serialization.safe_globals(stand_ins()):
        found = plain(torch.load(path, weights_only=True))
    assert found == {
        "best": 0.5,
        "step": 3,
        "curve": [[0.0, 1.0], [2.0, 3.0]],
        "labels": ["cat", "dog"],
        "objects": ["cat", None],
        "history": {"loss": [0.1]},
        "counts": {},
        "args": {"lr": 0.1, "out": "runs/1"},
        "folder": found["folder"],
        "ordered": {"a": 1},
    }


@pytest.mark.parametrize("code", ["O8", "V8", "i4,O8", "M8[D]"])
def test_an_array_that_claims_other_memory_than_numbers_is_refused(code: str) -> None:
    dtype = Dtype(code)
    dtype.__setstate__((3, "<", None, None, None, -1, -1, 0))
    with pytest.raises(ValueError, match="numpy array of"):
        Array().__setstate__((1, (1,), dtype, False, bytes(8)))


OTHER = {name: value + 1 for name, value in STATE.items()}


@pytest.mark.parametrize("average", ["model_ema", "state_dict_ema", "ema_state_dict"])
def test_of_weights_and_their_average_one_is_chosen_and_named(average: str, tmp_path: Path) -> None:
    averaged = {"n_averaged": torch.tensor(9), **{f"module.{name}": value for name, value in OTHER.items()}}
    path = saved({"model": STATE, average: averaged})(tmp_path)
    found = read_weights(path, tmp_path)
    assert found.state["fc.bias"].equal(STATE["fc.bias"])
    assert found.notes == (f"those of model; --weights-key {average} takes those of {average}",)
    found = read_weights(path, tmp_path, average)
    assert found.state["fc.bias"].equal(OTHER["fc.bias"])
    assert found.notes == (f"those of {average}", "the average that AveragedModel kept")


def test_any_key_may_be_chosen(tmp_path: Path) -> None:
    path = saved({"model": STATE, "best": {"state_dict": OTHER}})(tmp_path)
    assert read_weights(path, tmp_path, "best").state["fc.bias"].equal(OTHER["fc.bias"])
    with pytest.raises(TrainingError, match=r"--weights-key ema: .* has no weights under it; it has them under model$"):
        read_weights(path, tmp_path, "ema")
    with pytest.raises(TrainingError, match="which has no parts: leave out --weights-key"):
        read_weights(safe(tmp_path), tmp_path, "ema")


def test_what_of_a_loss_is_left_aside_is_said(tmp_path: Path) -> None:
    path = saved({"state_dict": {**prefixed("model."), "criterion.weight": torch.ones(3)}})(tmp_path)
    assert read_weights(path, tmp_path).notes == ("without criterion.weight, which is of the loss",)


CONV = torch.ones(2, 2, 1, 1)
STRANGERS = {
    "fastai": ({"model": {"0.0.weight": CONV, "0.4.0.conv1.weight": CONV, "1.8.weight": torch.ones(3, 2)}, "opt": {}}),
    "Hugging Face": {"vit.embeddings.cls_token": torch.ones(1, 1, 2), "classifier.weight": torch.ones(3, 2)},
    "Hugging Face's ResNet": {"resnet.embedder.embedder.convolution.weight": CONV, "classifier.1.bias": torch.ones(3)},
    "timm's vit_tiny_patch16_224": {
        "arch": "vit_tiny_patch16_224",
        "state_dict": {"cls_token": torch.ones(1, 1, 2), "blocks.0.attn.qkv.weight": torch.ones(3, 2)},
    },
    "timm's model": {"conv_stem.weight": CONV, "blocks.0.0.conv_dw.weight": CONV, "classifier.bias": torch.ones(3)},
}


@pytest.mark.parametrize("whose", STRANGERS)
def test_models_of_other_libraries_are_told_by_names(whose: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        read_weights(saved(STRANGERS[whose])(tmp_path), tmp_path)
    assert whose.partition("'")[0] in str(caught.value)
    assert whose.startswith("Hugging") or whose.split("'s ")[-1] in str(caught.value)
    assert "train one of them on the same photos: `./kennel fit --data DIR" in str(caught.value)


def test_objects_of_other_libraries_are_told_by_names(tmp_path: Path) -> None:
    (tmp_path / "export.pkl").write_bytes(b"\x80\x02cfastai.learner\nLearner\nq\x00)\x81.")
    with pytest.raises(TrainingError, match=r"is of fastai: it holds fastai\.learner\.Learner; Kennel packages"):
        read_weights(tmp_path / "export.pkl", tmp_path)


@pytest.mark.parametrize("architecture", ["maxvit_t", "mnasnet0_5", "regnet_y_400mf", "shufflenet_v2_x0_5", "swin_t"])
def test_torchvisions_own_names_are_nobody_elses(architecture: str) -> None:
    network = models.get_model(architecture, weights=None)
    assert stranger(network.state_dict(), {}) is None
