from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.artifact.archive import unpack, write_archive
from training.artifact.proof import NoAnswer, ask, prove
from training.common.errors import TrainingError

CARD: dict[str, object] = {"schema": 1, "input": {}, "classes": []}


def unpacked_probabilities(fitted: Path, folder: Path) -> tuple[list[Path], NDArray[np.float32]]:
    photos = sorted((fitted / "data" / "test").rglob("*.png"))[::3]
    unpack(fitted / "build" / "model.tar.gz", folder)
    answers = ask(folder, photos)
    return photos, np.array([each["probabilities"] for each in answers], np.float32)


def test_an_artifact_that_answers_as_pytorch_is_proved(fitted: Path, tmp_path: Path) -> None:
    photos, expected = unpacked_probabilities(fitted, tmp_path)
    proof = prove(fitted / "build" / "model.tar.gz", photos, expected)
    assert proof.images == 4
    assert proof.max_probability_difference <= proof.tolerance


@pytest.mark.parametrize("nudge", [2e-4, float("nan")])
def test_probabilities_beyond_the_tolerance_are_refused(fitted: Path, tmp_path: Path, nudge: float) -> None:
    photos, expected = unpacked_probabilities(fitted, tmp_path)
    expected[2, int(expected[2].argmin())] += nudge
    with pytest.raises(TrainingError, match=f"disagree on {photos[2]}"):
        prove(fitted / "build" / "model.tar.gz", photos, expected)


def test_another_label_is_refused(fitted: Path, tmp_path: Path) -> None:
    photos, expected = unpacked_probabilities(fitted, tmp_path)
    with pytest.raises(TrainingError, match="disagree on"):
        prove(fitted / "build" / "model.tar.gz", photos, np.flip(expected, 1))


def test_an_artifact_that_cannot_serve_is_refused(tmp_path: Path, fitted: Path) -> None:
    write_archive(tmp_path / "model.tar.gz", b"no graph", CARD, [])
    with pytest.raises(TrainingError, match="cannot serve") as caught:
        prove(
            tmp_path / "model.tar.gz",
            [fitted / "data" / "test" / "001.Red_setter" / "0.png"],
            np.ones((1, 1), np.float32),
        )
    assert "\n" not in str(caught.value)


def test_a_process_that_is_killed_says_so(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "serving.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    with pytest.raises(NoAnswer, match="signal 9 ended it"):
        ask(tmp_path, [])
