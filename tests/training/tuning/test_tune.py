"""The command itself."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from training.data.photos import Photos
from training.fit.dataset import Dataset
from training.fit.options import Options
from training.serving.cores import cores
from training.tuning.trial import TrialTrainer

Run = Callable[..., tuple[int, str, str]]

SPACE = '[lr]\nlow = 0.0001\nhigh = 0.1\nscale = "log"\n[batch-size]\nvalues = [4, 8]\n'


@pytest.fixture
def arguments(fitted: Path, tmp_path: Path) -> list[str]:
    space = tmp_path / "search.toml"
    space.write_text(SPACE)
    weights = fitted / "build" / "model.safetensors"
    shared = ["--data", str(fitted / "data"), "--weights", str(weights), "--epochs", "3", "--space", str(space)]
    return ["tune", *shared, "--features", str(tmp_path / "features"), "--out", str(tmp_path / "build")]


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Options, Mapping[str, Any]]]:
    """Take note of what the search would fit with in the end."""
    made: list[tuple[Options, Mapping[str, Any]]] = []
    monkeypatch.setattr("training.tuning.search.fit", lambda options, about: made.append((options, about)))
    return made


def ended(study: Path) -> list[dict[str, Any]]:
    """Return, for each trial of a study in the order of their places, its values and what it came to."""
    lines = [json.loads(line) for line in study.read_text().splitlines()]
    created = 0
    trials: dict[int, dict[str, Any]] = {}
    for line in lines:
        if line["op_code"] == 4:
            trials[created] = {}
            created += 1
        for key in ("user_attr", "param_name"):
            if key in line and "trial_id" in line:
                new = line[key] if key == "user_attr" else {line[key]: line["param_value_internal"]}
                trials[line["trial_id"]] |= new
    counted = [each for each in trials.values() if "accuracy" in each and "interrupted" not in each]
    return [each | {"seconds": 0} for each in sorted(counted, key=lambda each: each["place"])]


def test_the_best_trial_is_fitted_again_tested_once_and_packed(arguments: list[str], tmp_path: Path, run: Run) -> None:
    status, output, errors = run(*arguments, "--trials", "3")
    assert (status, errors) == (0, "")
    manifest = json.loads((tmp_path / "build" / "model.json").read_text())
    tuned = manifest["tuning"]
    best = tuned["best"]
    assert tuned["trials"] == {"complete": 3, "pruned": 0, "failed": 0}
    assert tuned["study"] == "study.jsonl"
    assert best["validation_accuracy"] == manifest["metrics"]["validation"]["accuracy"]
    assert best["epoch"] == manifest["training"]["best_epoch"]
    assert best["parameters"]["lr"] == manifest["training"]["lr"]
    assert int(best["parameters"]["batch-size"]) == manifest["training"]["batch_size"]
    ranks = [(each["accuracy"], -each["loss"]) for each in ended(tmp_path / "build" / "study.jsonl")]
    assert ranks.index(max(ranks)) + 1 == best["trial"]
    assert output.count("Features    train: 24 photos, 24 computed") == 1
    assert output.count("test_accuracy=") == 1
    assert output.index("Trial 3/3") < output.index("test_accuracy=")


def test_a_search_divides_class_folders_and_does_without_a_test_split(
    fitted: Path, arguments: list[str], run: Run, fits: list[tuple[Options, Mapping[str, Any]]]
) -> None:
    arguments[arguments.index("--data") + 1] = str(fitted / "data" / "train")
    split = ["--split", "0.5,0.25,0.25", "--no-test", "--class-weights", "balanced", "--patience", "2"]
    status, _, errors = run(*arguments, *split, "--trials", "1")
    assert (status, errors) == (0, "")
    ((options, _),) = fits
    assert options.folders.keys() == {"train", "valid"}
    assert (options.split, options.class_weights, options.patience) == ((0.5, 0.25, 0.25), "balanced", 2)


def test_killed_at_any_moment_and_started_again_it_tries_what_it_would_have_tried(
    arguments: list[str], tmp_path: Path, run: Run, fits: list[tuple[Options, Mapping[str, Any]]]
) -> None:
    study, whole = tmp_path / "build" / "study.jsonl", tmp_path / "whole.jsonl"
    command = [*arguments, "--trials", "8"]
    process = subprocess.Popen([sys.executable, "-m", "training", *command], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (study.exists() and study.read_text().count('"accuracy"') >= 2) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "build" / "model.json").exists()
    before = study.read_text().count('"accuracy"')
    assert 2 <= before < 8
    status, output, errors = run(*command)
    assert (status, errors) == (0, "")
    assert "goes on after " in output
    assert run(*command, "--study", str(whole))[0] == 0
    assert ended(study) == ended(whole)
    assert len(ended(study)) == 8
    assert fits[0][0] == fits[1][0]


def test_several_trials_at_a_time_come_to_the_same_number(
    arguments: list[str], tmp_path: Path, run: Run, fits: list[tuple[Options, Mapping[str, Any]]]
) -> None:
    status, output, errors = run(*arguments, "--trials", "5", "--parallel", "2", "--pruning", "asha")
    assert (status, errors) == (0, "")
    assert len(ended(tmp_path / "build" / "study.jsonl")) == 5
    assert output.count("Features    train: 24 photos, 24 computed") == 1
    assert sum(fits[0][1]["tuning"]["trials"].values()) == 5
    assert fits[0][1]["tuning"]["trials"]["failed"] == 0
    assert fits[0][1]["tuning"]["best"]["threads"] == max(1, cores() // 2)


def test_a_search_and_its_fit_need_nothing_that_macos_lacks(
    arguments: list[str], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = ("sched_getaffinity", "sched_setaffinity")
    for name in lacking:
        monkeypatch.delattr(os, name, raising=False)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(f"import os\nfor name in {lacking}:\n vars(os).pop(name, 0)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))  # for the processes of the trials
    status, _, errors = run(*arguments, "--trials", "2", "--parallel", "2")
    assert (status, errors) == (0, "")
    tuned = json.loads((tmp_path / "build" / "model.json").read_text())["tuning"]
    assert tuned["trials"]["failed"] == 0
    assert tuned["best"]["threads"] == max(1, (os.cpu_count() or 1) // 2)


def test_no_trial_is_given_the_test_split(
    arguments: list[str], run: Run, fits: list[tuple[Options, Mapping[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Photos] = []

    class Watched(TrialTrainer):
        def __init__(self, dataset: Dataset) -> None:
            given.append(dataset.photos)
            super().__init__(dataset)

    monkeypatch.setattr("training.tuning.search.TrialTrainer", Watched)
    assert run(*arguments, "--trials", "1")[0] == 0
    assert [set(photos.splits) for photos in given] == [{"train", "valid"}]
    assert [set(photos.folders) for photos in given] == [{"train", "valid"}]
    assert set(fits[0][0].folders) == {"train", "valid", "test"}


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(("by", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_says_how_to_go_on_and_does(
    arguments: list[str],
    run: Run,
    fits: list[tuple[Options, Mapping[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    by: signal.Signals,
    expected: int,
) -> None:
    calls: list[Options] = []
    original = TrialTrainer.train

    def interrupted(self: TrialTrainer, options: Options, report: Any) -> Any:
        calls.append(options)
        if len(calls) == 2:
            os.kill(os.getpid(), by)
        return original(self, options, report)

    monkeypatch.setattr(TrialTrainer, "train", interrupted)
    status, _, errors = run(*arguments, "--trials", "3")
    assert status == expected
    assert errors.startswith("stopped; 1 of 3 trials are in ")
    assert len(errors.splitlines()) == 1
    assert run(*arguments, "--trials", "3")[0] == 0
    assert len(calls) == 4
    assert calls[2] == calls[1]
    assert len(fits) == 1


@pytest.mark.usefixtures("background")
def test_in_the_background_ctrl_c_does_not_stop_it(
    arguments: list[str],
    run: Run,
    fits: list[tuple[Options, Mapping[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = TrialTrainer.train

    def interrupted(self: TrialTrainer, options: Options, report: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return original(self, options, report)

    monkeypatch.setattr(TrialTrainer, "train", interrupted)
    assert run(*arguments, "--trials", "1")[0] == 0
    assert len(fits) == 1


def test_what_the_command_line_gives_is_not_searched_though_it_be_the_default(
    arguments: list[str], run: Run, fits: list[tuple[Options, Mapping[str, Any]]]
) -> None:
    status, output, _ = run(*arguments, "--trials", "2", "--batch-size", "64")
    assert status == 0
    assert "Search      lr 0.0001 to 0.1 (log)\n" in output
    assert fits[0][0].batch_size == 64
    assert list(fits[0][1]["tuning"]["best"]["parameters"]) == ["lr"]
