"""The file that keeps a search."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.training.tuning.asked import SPACE, epoch, request
from training.common.errors import TrainingError
from training.fit.options import Options
from training.tuning.request import Request
from training.tuning.space import Choices, Numbers
from training.tuning.study import Study, number, open_study
from training.tuning.trial import TrialResult


def complete(accuracy: float, loss: float = 1.0) -> TrialResult:
    return TrialResult("complete", 0.1, 1, accuracy, loss)


def try_some(asked: Request, trials: int, *, photos: str = "photos") -> list[dict[str, Any]]:
    """Try values of which the larger learning rate is the better one, and return all that were ever tried."""
    with open_study(asked, photos) as study:
        for _ in range(trials):
            trial = study.ask()
            study.tell(trial, complete(trial.params["lr"]))
        return [trial.params for trial in study.ended()]


def test_the_same_seed_tries_the_same_and_another_one_something_else(tmp_path: Path) -> None:
    first = try_some(request(tmp_path, study=tmp_path / "first"), 14)
    assert len({params["lr"] for params in first}) == 14
    assert try_some(request(tmp_path, study=tmp_path / "second"), 14) == first
    other = replace(request(tmp_path).base, seed=1)
    assert try_some(request(tmp_path, study=tmp_path / "third", base=other), 14)[1:] != first[1:]


def test_a_search_that_stops_in_a_trial_tries_what_it_would_have_tried(tmp_path: Path) -> None:
    expected = try_some(request(tmp_path, study=tmp_path / "whole"), 14)
    asked = request(tmp_path)
    try_some(asked, 12)
    with open_study(asked, "photos") as study:
        study.should_continue(study.ask(), epoch(1, 0.5), 4)
    assert try_some(asked, 2) == expected


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_line_that_was_not_written_to_its_end_is_cut_off(tmp_path: Path, cut: int) -> None:
    asked = request(tmp_path)
    expected = try_some(asked, 3)
    whole = asked.study.read_bytes()
    asked.study.write_bytes(whole + whole.splitlines(keepends=True)[2][:-cut])
    assert try_some(asked, 0) == expected
    assert asked.study.read_bytes() == whole


def test_the_first_trial_takes_what_fit_would_by_itself(tmp_path: Path) -> None:
    space = SPACE | {"arch": Choices(("resnet34", "resnet18")), "ema": Numbers(0.5, 0.9), "epochs": Numbers(2, 9, True)}
    first = try_some(request(tmp_path, space=space), 1)[0]
    assert 0.5 <= first.pop("ema") <= 0.9  # none would be below
    assert first == {"lr": 0.001, "arch": "resnet18", "epochs": 4, "batch-size": first["batch-size"]}
    asked = request(tmp_path, space={"views": Choices(("5", "1")), "precision": Choices(("float32", "bfloat16"))})
    assert asked.defaults() == {"views": "1"}  # the precision depends on the network


def test_of_two_trials_as_accurate_the_one_with_the_lower_loss_is_the_best(tmp_path: Path) -> None:
    with open_study(request(tmp_path), "photos") as study:
        assert study.best() is None
        for ending in (complete(0.5, 0.1), complete(0.9, 0.4), complete(0.9, 0.3), complete(0.9, 0.3)):
            study.tell(study.ask(), ending)
        study.tell(study.ask(), TrialResult("pruned", 0.1, 1, 0.99, 0.1))
        study.tell(study.ask(), TrialResult("failed", 0.1, reason="diverged"))
        best = study.best()
        assert best is not None
        assert number(best) == 3
        assert study.counts() == {"complete": 4, "pruned": 1, "failed": 1}


def lags(study: Study, epochs: int, accuracy: float, at: int) -> bool:
    trial = study.ask()
    return not study.should_continue(trial, epoch(at, accuracy), epochs)


def test_median_ends_what_is_worse_than_half_at_the_same_share_of_the_epochs(tmp_path: Path) -> None:
    with open_study(request(tmp_path), "photos") as study:
        for accuracy in (0.5, 0.6, 0.7, 0.8, 0.9):
            trial = study.ask()
            assert all(study.should_continue(trial, epoch(at, accuracy), 8) for at in range(1, 9))
            study.tell(trial, complete(accuracy))
        assert not lags(study, 8, 0.1, at=1)  # within the first quarter
        assert lags(study, 8, 0.65, at=4)
        assert not lags(study, 8, 0.75, at=4)
        assert lags(study, 16, 0.65, at=8)
        assert not lags(study, 16, 0.65, at=16)  # there is nothing left to save


def test_asha_keeps_the_better_half_and_none_keeps_all(tmp_path: Path) -> None:
    with open_study(request(tmp_path, pruning="asha"), "photos") as study:
        for accuracy in (0.9, 0.8, 0.7, 0.6):
            trial = study.ask()
            study.should_continue(trial, epoch(2, accuracy), 8)
            study.tell(trial, complete(accuracy))
        assert lags(study, 8, 0.65, at=2)
        assert not lags(study, 8, 0.95, at=2)
    with open_study(request(tmp_path, pruning="none", study=tmp_path / "all"), "photos") as study:
        for accuracy in range(9):
            study.tell(study.ask(), complete(accuracy))
        assert not lags(study, 8, -1, at=7)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"photos": "other"}, "another photos"),
        ({"space": {"lr": Numbers(0.0001, 0.2, log=True)}}, "another search space"),
        ({"given": {"epochs": "4"}}, "another options"),
        ({"pruning": "asha"}, "another pruning"),
        ({"base": Options(folders={}, out=Path(), epochs=4, seed=1)}, "another seed"),
    ],
)
def test_a_study_of_something_else_is_refused_and_kept(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    asked = request(tmp_path)
    try_some(asked, 2)
    before = asked.study.read_bytes()
    photos = changed.pop("photos", "photos")
    with pytest.raises(TrainingError, match=said):
        try_some(request(tmp_path, **changed), 0, photos=photos)
    assert asked.study.read_bytes() == before


def test_more_trials_at_another_speed_are_the_same_study(tmp_path: Path) -> None:
    first = try_some(request(tmp_path), 2)
    again = try_some(request(tmp_path, trials=30, parallel=2, minutes=3.0), 1)
    assert again[:2] == first
    assert len(again) == 3


def test_weights_that_changed_in_their_file_are_other_weights(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    base = Options(folders={}, out=tmp_path, weights=str(weights))
    asked = request(tmp_path, base=base, given={"weights": str(weights)})
    weights.write_bytes(b"1")
    try_some(asked, 1)
    weights.write_bytes(b"2")
    with pytest.raises(TrainingError, match="another options"):
        try_some(asked, 1)


@pytest.mark.parametrize("content", [b"photos\n", b"\x00\x01", b'{"schema": 1}\n', b"{"])
def test_a_file_that_is_no_study_is_left_alone(tmp_path: Path, content: bytes) -> None:
    asked = request(tmp_path)
    asked.study.write_bytes(content + b"x")
    with pytest.raises(TrainingError, match="is no study"):
        try_some(asked, 1)
    assert asked.study.read_bytes() == content + b"x"


def test_a_damaged_study_is_told_in_one_line(tmp_path: Path) -> None:
    asked = request(tmp_path)
    try_some(asked, 2)
    lines = asked.study.read_bytes().splitlines(keepends=True)
    facts = [i for i, line in enumerate(lines) if b'"user_attr"' in line and b'"trial_id"' in line]
    for i, instead in [(3, b"rotten\n"), *((i, b"") for i in facts if b'"reason"' not in lines[i])]:
        asked.study.write_bytes(b"".join([*lines[:i], instead, *lines[i + 1 :]]))
        with pytest.raises(TrainingError, match="is damaged") as caught:
            try_some(asked, 1)
        assert "\n" not in str(caught.value)


def test_two_searches_do_not_share_a_study(tmp_path: Path) -> None:
    with (
        open_study(request(tmp_path), "photos"),
        pytest.raises(TrainingError, match="in use by another search"),
        open_study(request(tmp_path), "photos"),
    ):
        pass
    try_some(request(tmp_path), 1)


def test_the_command_line_does_not_wait_for_optuna() -> None:
    lines = (
        "import sys, training.__main__",
        "print(*sorted({'optuna', 'torch', 'sqlalchemy'} & set(sys.modules)))",
        "import training.tuning.study",
        "print(*sorted({'optuna', 'torch', 'sqlalchemy'} & set(sys.modules)))",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["", "optuna torch"]
