"""Files of other libraries are refused by their own bytes, before PyTorch is imported."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.training.model.test_weights_file import (
    KINDS,
    OTHER,
    REFUSED,
    STATE,
    STRANGERS,
    in_the_old_format,
    saved,
)
from training.common.errors import TrainingError
from training.common.torchvision_compat import models
from training.model.first_look import ARCHIVES, _content, _names, check_weights, only_file, refuse_strangers

ROOT = Path(__file__).parents[3]

WITHOUT_TORCH = """
import sys
from training.__main__ import main
status = main(sys.argv[1:], {})
print(sorted({"torch", "torchvision", "numpy", "safetensors"} & sys.modules.keys()))
sys.exit(status)
"""


@pytest.mark.parametrize("command", ["package --out out --from", "fit --out out --data data --weights"])
@pytest.mark.parametrize("whose", STRANGERS)
def test_a_file_of_another_library_is_refused_without_pytorch(command: str, whose: str, tmp_path: Path) -> None:
    path = saved(STRANGERS[whose])(tmp_path)
    process = subprocess.run(
        [sys.executable, "-P", "-c", WITHOUT_TORCH, *command.split(), path],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stdout) == (2, "[]\n")
    (line,) = process.stderr.splitlines()
    assert whose.partition("'")[0] in line
    assert "train one of them on the same photos: `./kennel fit --data DIR" in line


@pytest.mark.parametrize("write", [saved, in_the_old_format])
@pytest.mark.parametrize("whose", STRANGERS)
def test_both_formats_of_pytorch_are_looked_into(write: Any, whose: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=whose.partition("'")[0]):
        refuse_strangers(write(STRANGERS[whose])(tmp_path))


def test_the_folder_that_hugging_face_saves_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    state: Any = STRANGERS["Hugging Face"]
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(TrainingError, match=r"model\.safetensors is of Hugging Face Transformers \(it has vit\.emb"):
        refuse_strangers(tmp_path)


@pytest.mark.parametrize(
    "pickled", [b"\x80\x02cfastai.learner\nLearner\nq\x00)\x81.", b"\x80\x04\x8c\x0efastai.learner\x8c\x07Learner\x93."]
)
def test_an_object_of_another_library_is_refused(pickled: bytes, tmp_path: Path) -> None:
    (tmp_path / "export.pkl").write_bytes(pickled)
    with pytest.raises(TrainingError, match=r"is of fastai: it holds fastai\.learner\.Learner; Kennel packages"):
        refuse_strangers(tmp_path / "export.pkl")


@pytest.mark.parametrize("kind", KINDS)
def test_the_names_are_those_of_the_weights_that_are_read(kind: str, tmp_path: Path) -> None:
    path = KINDS[kind](tmp_path)
    refuse_strangers(path)
    if not only_file(path).name.endswith(ARCHIVES):
        named: list[str] = []
        assert _names(_content(only_file(path), named), None) in (list(STATE), sorted(STATE))


@pytest.mark.parametrize("architecture", ["maxvit_t", "resnet18", "swin_t"])
def test_a_checkpoint_of_torchvisions_is_left_to_the_reader(architecture: str, tmp_path: Path) -> None:
    network = models.get_model(architecture, weights=None)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    wrapped = nn.DataParallel(network).state_dict()
    content = {"teacher": STRANGERS["timm's model"], "optimizer": optimizer.state_dict(), "state_dict": wrapped}
    path = saved(content)(tmp_path)
    refuse_strangers(path)
    assert _names(_content(path, []), None) == list(network.state_dict())
    with pytest.raises(TrainingError, match="is timm's model"):
        refuse_strangers(path, "teacher")


@pytest.mark.parametrize("kind", sorted(REFUSED.keys() - {"an empty folder", "two files"}))
def test_what_is_wrong_otherwise_is_left_to_the_reader(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refuse_strangers(REFUSED[kind][0](tmp_path))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02" + b"0" * 9,  # takes more than there is
        b"\x80\x02t.",  # a tuple without a mark
        b"\x80\x02r\xff\xff\xff\xff.",  # a memo of 4 billion
        b"\x80\x04\x8d" + b"\xff" * 8,  # a text of 2**64 characters
        b"\x80\x02}q\x00U\x05modelh\x00s.",  # a dictionary within itself
        b"\x80\x02}",
        b"PK\x03\x04",
    ],
)
def test_bytes_made_to_harm_do_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(content)
    refuse_strangers(tmp_path / "model.pth")


@pytest.mark.parametrize("weights", ["none", "DEFAULT", "IMAGENET1K_V1", "no/such.pth"])
def test_a_key_is_for_a_file(weights: str) -> None:
    check_weights(weights, None)
    with pytest.raises(TrainingError, match=f"--weights-key ema chooses within a file, and --weights {weights} is no"):
        check_weights(weights, "ema")


def test_the_option_is_named_of_a_file_to_begin_with(tmp_path: Path) -> None:
    path = saved({"model": STATE, "ema": OTHER})(tmp_path)
    check_weights(str(path), "ema")
    with pytest.raises(TrainingError, match=r"^--weights .*\.pth is timm's model"):
        check_weights(str(saved(STRANGERS["timm's model"])(tmp_path)), None)
