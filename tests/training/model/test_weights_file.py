"""Weights out of every kind of file, and nothing but weights."""

import argparse
import pickle
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from training.common.errors import TrainingError
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


def packed(folder: Path) -> Path:
    (folder / "model.onnx").write_bytes(b"graph")
    with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
        tar.add(folder / "model.onnx", "model.onnx")
    return folder / "model.tar.gz"


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
    "an artifact": (packed, "is packaged already"),
    "a link in an archive": (linked, "holds 0 files of weights"),
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
