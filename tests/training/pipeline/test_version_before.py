"""What the commands make of an artifact of the version before."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.version_before import write_build

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def before(fitted: Path, tmp_path: Path) -> Path:
    return write_build(fitted / "build", tmp_path / "before")


def evaluation(run: Run, build: Path, fitted: Path) -> dict[str, Any]:
    out = build / "evaluation"
    status, _, errors = run("evaluate", "--artifact", build / "model.tar.gz", "--data", fitted / "data", "--out", out)
    assert (status, errors) == (0, "")
    found: dict[str, Any] = json.loads((out / "evaluation.json").read_text())
    return found


def test_it_is_measured_with_the_same_numbers(before: Path, fitted: Path, tmp_path: Path, run: Run) -> None:
    now = shutil.copytree(fitted / "build", tmp_path / "now")
    old, new = evaluation(run, before, fitted), evaluation(run, now, fitted)
    assert old["metrics"] == new["metrics"]
    assert old["artifact"] == json.loads((before / "model.json").read_text())["artifact"] != new["artifact"]


@pytest.mark.parametrize("name", ["model.tar.gz", "model.json"])
def test_it_is_not_verified_and_the_message_names_the_command_that_packs_it_anew(
    before: Path, run: Run, name: str
) -> None:
    status, output, errors = run("verify", before / name)
    assert status == 2
    assert " package" in errors
    assert errors.count("\n") == 1
    assert "Serves" not in output, "code that is not this version's has run"


def test_it_is_packed_anew_in_place_with_the_same_model(before: Path, fitted: Path, run: Run) -> None:
    told = json.loads((before / "model.json").read_text())
    status, _, errors = run("package", "--from", before, "--data", fitted / "data", "--out", before)
    assert (status, errors) == (0, "")
    packed = json.loads((before / "model.json").read_text())
    assert packed["artifact"]["sha256"] != told["artifact"]["sha256"]
    for field in ("classes", "input"):
        assert packed[field] == told[field]
    assert packed["metrics"]["test"]["accuracy"] == told["metrics"]["test"]["accuracy"]
    assert run("verify", before / "model.json")[::2] == (0, "")
