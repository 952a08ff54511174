"""A trial of SageMaker's tuning job: what ``fit`` learns, and nothing of what comes after it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.fit import evaluation

Run = Callable[..., tuple[int, str, str]]


def never(*_: Any) -> None:
    raise AssertionError("a trial has no use for that")


@pytest.fixture
def environment(fitted: Path, tmp_path: Path) -> dict[str, str]:
    return {
        "KENNEL_TRIAL": "1",
        "KENNEL_CHECKPOINTS": str(tmp_path / "checkpoints"),
        "SM_CHANNEL_TRAINING": str(fitted / "data"),
        "SM_MODEL_DIR": str(tmp_path / "model"),
        "SM_HPS": json.dumps({"epochs": 2, "batch-size": 8}),
    }


def test_a_trial_learns_what_fit_learns_and_never_asks_for_the_test_split(
    fitted: Path, environment: dict[str, str], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()
    predict = evaluation.predict

    def watched(model: Any, photos: Any, title: str) -> Any:
        asked.add(photos.photos[0].path.parts[-3])
        return predict(model, photos, title)

    monkeypatch.setattr(evaluation, "predict", watched)
    monkeypatch.setattr("training.pipeline.fit.fetch_wheels", never)
    status, output, errors = run("fit", environment=environment)
    assert (status, errors) == (0, "")
    assert asked == {"valid"}
    made = json.loads((fitted / "build" / "model.json").read_text())
    history = re.findall(r"^epoch=\d+ .* valid_accuracy=([0-9.]+) valid_loss=([0-9.]+)", output, re.M)
    assert history == [
        (f"{e['validation']['accuracy']:.4f}", f"{e['validation']['loss']:.4f}") for e in made["history"]
    ]
    assert output.splitlines()[-1] == f"valid_accuracy={made['metrics']['validation']['accuracy']:.4f}"
    assert "test_accuracy" not in output
    assert not (tmp_path / "model").exists()
    status, output, _ = run("fit", environment=environment)
    assert status == 0
    assert "Resumed" in output, "as it does on another spot instance"


def test_a_trial_of_the_last_layer_leaves_the_test_split_without_features(
    fitted: Path, environment: dict[str, str], tmp_path: Path, run: Run
) -> None:
    weights = str(fitted / "build" / "model.safetensors")
    environment["SM_HPS"] = json.dumps({"weights": weights, "epochs": 2, "features": str(tmp_path / "features")})
    status, output, errors = run("fit", environment=environment)
    assert (status, errors) == (0, "")
    assert re.findall(r"^Features    (\w+):", output, re.M) == ["train", "valid"]
    assert output.splitlines()[-1].startswith("valid_accuracy=")
