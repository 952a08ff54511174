"""The command itself, killed as a power cut does it, and started again."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from training.common.files import sha256
from training.fit.checkpoints import NAME

Run = Callable[..., tuple[int, str, str]]


def newest(folder: Path) -> str:
    return max((path.name for path in folder.glob("checkpoint-*")), default="")


def test_killed_at_any_moment_and_resumed_the_command_gives_the_same_artifact(
    fitted: Path, tmp_path: Path, run: Run
) -> None:
    kept, build = tmp_path / "kept", tmp_path / "build"
    arguments = ["fit", "--data", str(fitted / "data"), "--epochs", "2", "--batch-size", "8", "--out", str(build)]
    arguments += ["--checkpoints", str(kept), "--checkpoint-minutes", "0", "--resume"]
    chance = random.Random(0)
    for _ in range(2):
        before = newest(kept)
        process = subprocess.Popen([sys.executable, "-m", "training", *arguments], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while newest(kept) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.2))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert newest(kept) > before
        assert not (build / "model.json").exists()
        for path in kept.glob("checkpoint-*"):
            match = NAME.fullmatch(path.name)
            assert match is not None
            assert match[2] == sha256(path)
    status, output, errors = run(*arguments)
    assert status == 0, errors
    assert "Resumed     after step" in output
    for name in ("model.tar.gz", "model.safetensors"):
        assert (build / name).read_bytes() == (fitted / "build" / name).read_bytes()
    history = json.loads((build / "model.json").read_text())["history"]
    expected = json.loads((fitted / "build" / "model.json").read_text())["history"]
    assert [epoch | {"seconds": 0} for epoch in history] == [epoch | {"seconds": 0} for epoch in expected]


def test_checkpoints_are_gone_on_from_only_when_somebody_says_so(fitted: Path, tmp_path: Path, run: Run) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / f"checkpoint-000000001-{'0' * 64}.safetensors").write_bytes(b"")
    arguments = ["fit", "--data", fitted / "data", "--out", tmp_path / "build", "--checkpoints", kept]
    status, output, errors = run(*arguments)
    assert (status, output, len(errors.splitlines())) == (2, "", 1)
    assert "holds checkpoints: --resume goes on from them" in errors
    status, _, errors = run(*arguments, "--resume")
    assert status == 2
    assert "every checkpoint in" in errors
    assert not (tmp_path / "build" / "model.json").exists()


@pytest.mark.parametrize("where", ["argument", "environment"])
def test_a_job_goes_on_by_itself_and_refuses_the_checkpoints_of_another_one(
    fitted: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    for step in ("pack", "prove", "write_manifest", "write_report", "publish_artifact"):
        monkeypatch.setattr(f"training.pipeline.fit.{step}", lambda *_, **__: None)
    kept = tmp_path / "kept"
    hyperparameters = {"epochs": 1, "batch-size": 8} | ({"checkpoints": str(kept)} if where == "argument" else {})
    environment = {
        "SM_MODEL_DIR": str(tmp_path / "model"),
        "SM_CHANNEL_TRAINING": str(fitted / "data"),
        "SM_HPS": json.dumps(hyperparameters),
    } | ({"KENNEL_CHECKPOINTS": str(kept)} if where == "environment" else {})
    status, _, errors = run("fit", environment=environment)
    assert status == 0, errors
    assert newest(kept)
    status, output, errors = run("fit", environment=environment)
    assert status == 0, errors
    assert "Resumed" in output
    assert "epoch=" not in output
    status, _, errors = run("fit", "--epochs", "2", environment=environment)
    assert status == 2
    assert "holds checkpoints of another run: epochs 1 there, 2 here" in errors
    assert len(errors.splitlines()) == 1
