"""Trial after trial, whatever they come to."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from tests.training.tuning.asked import SPACE, epoch, request
from training.common.errors import TrainingError
from training.fit.loop import Report, TrainResult
from training.fit.options import Options
from training.tuning.request import Request
from training.tuning.search import Search
from training.tuning.space import Choices, Numbers
from training.tuning.study import open_study
from training.tuning.trial import TrialTrainer, attempt


def learn(options: Options, report: Report) -> TrainResult:
    """Reach an accuracy that is the learning rate, in the epoch before the last; above 0.01, diverge."""
    assert options.lr is not None
    if options.lr > 0.01:
        raise TrainingError("training diverged")
    epochs = tuple(epoch(number, options.lr / (2 if number == 4 else 1)) for number in range(1, 5))
    for each in epochs:
        report(each)
    return TrainResult(3, torch.empty(0), torch.arange(2), epochs)  # two photos of two classes


def search(asked: Request, train: Callable[..., Any] = learn) -> tuple[dict[str, Any], dict[str, int], int]:
    with open_study(asked, "photos") as study:
        best = Search(asked, study, cast("TrialTrainer", SimpleNamespace(train=train))).run()
        return best.params, study.counts(), best.user_attrs["epoch"]


def test_what_cannot_be_trained_fails_and_the_search_goes_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    params, counts, best_epoch = search(request(tmp_path, trials=12, pruning="none"))
    assert sum(counts.values()) == 12
    assert counts["failed"] >= 2
    assert counts["complete"] >= 2
    assert 0.001 <= params["lr"] <= 0.01
    assert best_epoch == 3
    told = capfd.readouterr().out.splitlines()
    warnings = [line for line in told if line.startswith("Warning ")]
    assert len(warnings) == counts["complete"]
    assert "is no better than naming the commonest class" in warnings[0]
    lines = [line for line in told if line.startswith("Trial ")]
    assert len(lines) == 12
    assert lines[0].startswith("Trial 1/12  lr 0.001, batch-size ")
    assert sum("failed: training diverged" in line for line in lines) == counts["failed"]
    assert lines[-1].endswith("the best so far") or "; best so far 0.0" in lines[-1]


def test_a_search_that_found_nothing_says_so_in_one_line(tmp_path: Path) -> None:
    asked = request(tmp_path, trials=3, space={"lr": Numbers(0.02, 0.03)})
    with pytest.raises(TrainingError, match="none of 3 trials gave a model; the last one: training diverged") as caught:
        search(asked)
    assert "\n" not in str(caught.value)


def test_only_what_is_missing_is_tried(tmp_path: Path) -> None:
    tried: list[Options] = []

    def count(options: Options, report: Report) -> TrainResult:
        tried.append(options)
        return learn(options, report)

    for trials, expected in ((3, 3), (5, 5), (5, 5), (4, 5)):
        search(request(tmp_path, trials=trials, space={"lr": Numbers(0.001, 0.01)}), count)
        assert len(tried) == expected
    assert len({options.lr for options in tried}) == 5


def test_no_trial_begins_when_time_is_over(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="none of 0 trials gave a model; there was no time for one"):
        search(request(tmp_path, minutes=1e-9))


def test_a_trial_that_lags_behind_is_ended(tmp_path: Path) -> None:
    ends: list[int] = []

    def watched(options: Options, report: Report) -> TrainResult:
        def counted(each: Any) -> None:
            ends[-1] = each.number
            report(each)

        ends.append(0)
        return learn(options, counted)

    _, counts, _ = search(request(tmp_path, trials=20, space={"lr": Numbers(0.0001, 0.01)}), watched)
    assert counts["pruned"] >= 3
    assert counts["failed"] == 0
    assert sum(each < 4 for each in ends) == counts["pruned"]
    assert ends[:5] == [4] * 5


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")])
def test_a_trial_that_is_too_large_for_the_memory_fails_alone(error: Exception) -> None:
    def train(options: Options, report: Report) -> TrainResult:
        raise error

    ending = attempt(train, Options(folders={}, out=Path()), lambda _: True)
    assert ending.state == "failed"
    assert "memory" in ending.reason
    assert "\n" not in ending.reason


def test_a_mistake_in_the_program_is_no_failed_trial(tmp_path: Path) -> None:
    def train(options: Options, report: Report) -> TrainResult:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        search(request(tmp_path), train)


def test_what_no_trial_could_be_fitted_with_is_refused_at_once(tmp_path: Path) -> None:
    base = Options(folders={}, out=tmp_path)
    with pytest.raises(TrainingError, match="--mode head trains on what the rest"):
        request(tmp_path, base=base, space=SPACE | {"mode": Choices(("head",))}).check()
    request(tmp_path, base=base, space=SPACE | {"mode": Choices(("head", "full"))}).check()
    with pytest.raises(TrainingError, match="resnet19"):
        request(tmp_path, base=base, space={"arch": Choices(("resnet18", "resnet19"))}).check()
