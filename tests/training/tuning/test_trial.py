"""One trial learns what a fit learns."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from training.data import photos
from training.data.photos import Survey
from training.fit.dataset import Dataset
from training.fit.frozen import Frozen
from training.fit.loop import Epoch
from training.fit.options import Options
from training.model.network import create
from training.tuning.trial import TrialResult, TrialTrainer, attempt
from training.tuning.workers import receive, start_workers


@pytest.fixture
def learning(fitted: Path, tmp_path: Path) -> Dataset:
    """Return photos to learn from; there are none to test with, not even on disk."""
    shutil.copytree(fitted / "data", tmp_path / "photos")
    folders = {split: tmp_path / "photos" / split for split in photos.SPLITS}
    found = photos.find(folders)
    shutil.rmtree(folders["test"])
    return Dataset(found, Survey("", 32, {}, {})).without_test()


@pytest.fixture
def options(fitted: Path, tmp_path: Path) -> Options:
    weights = str(fitted / "build" / "model.safetensors")
    kept = tmp_path / "features"
    return Options(folders={}, out=tmp_path, weights=weights, epochs=3, lr=0.01, batch_size=8, features=kept)


def test_the_frozen_network_sees_each_photo_once_however_many_trials_there_are(
    learning: Dataset, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = Frozen.compute

    def counted(self: Frozen, pixels: Any) -> Any:
        seen.append(len(pixels))
        return original(self, pixels)

    monkeypatch.setattr(Frozen, "compute", counted)
    trainer = TrialTrainer(learning)
    first, *others = [attempt(trainer.train, replace(options, lr=lr), lambda _: True) for lr in (0.01, 1e-6, 0.01)]
    assert sum(seen) == 24 + 12
    assert first.state == "complete"
    assert [each.loss == first.loss for each in others] == [False, True]  # a trial leaves nothing for the next


def test_both_modes_report_each_epoch_and_can_be_ended(
    learning: Dataset, options: Options, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trainer = TrialTrainer(learning)
    for tried in (options, replace(options, mode="full")):
        epochs: list[Epoch] = []

        def should_continue(epoch: Epoch, epochs: list[Epoch] = epochs) -> bool:
            epochs.append(epoch)
            return epoch.number < 2

        ending = attempt(trainer.train, tried, should_continue)
        assert [epoch.number for epoch in epochs] == [1, 2]
        last = epochs[-1].validation
        assert (ending.state, ending.epoch, ending.accuracy, ending.loss) == ("pruned", 2, last.accuracy, last.loss)
    assert "valid_accuracy" not in capfd.readouterr().out


def test_a_trial_that_learns_nothing_says_so(learning: Dataset, options: Options, tmp_path: Path) -> None:
    trainer = TrialTrainer(learning)
    one_class = replace(options, weights="none", mode="full", epochs=1, lr=1e-9, batch_size=24, arch="squeezenet1_1")
    ending = attempt(trainer.train, one_class, lambda _: True)
    assert ending.state == "complete"
    assert ending.reason.startswith(f"accuracy {ending.accuracy:.4f} is no better than naming the commonest class")
    assert attempt(trainer.train, options, lambda _: True).reason == ""


def test_divergence_and_options_that_do_not_go_together_fail(
    learning: Dataset, options: Options, tmp_path: Path
) -> None:
    trainer = TrialTrainer(learning)
    for tried, reason in (
        (replace(options, lr=9e37), "training diverged"),
        (replace(options, augment="photo"), "--mode head"),
    ):
        ending = attempt(trainer.train, tried, lambda _: True)
        assert ending.state == "failed"
        assert reason in ending.reason


def until_it_ends(workers: list[Any], answer: Callable[[Epoch], bool]) -> TrialResult | None:
    while True:
        for worker, message in receive(workers):
            if not isinstance(message, Epoch):
                return message if message is None else TrialResult(**vars(message))
            worker.send(answer(message))


def test_a_process_of_its_own_learns_the_same_and_one_that_dies_is_replaced(
    learning: Dataset, options: Options, tmp_path: Path
) -> None:
    here = attempt(TrialTrainer(learning).train, options, lambda _: True)
    with start_workers(1, torch.get_num_threads(), learning) as workers:
        workers[0].send(options)
        there = until_it_ends(workers, lambda _: True)
        assert there is not None
        assert replace(there, seconds=here.seconds) == here
        workers[0].send(options)
        workers[0].process.kill()
        assert until_it_ends(workers, lambda _: True) is None
        workers[0] = workers[0].replacement()
        workers[0].send(options)
        ended = until_it_ends(workers, lambda epoch: epoch.number < 2)
        assert ended is not None
        assert (ended.state, ended.epoch) == ("pruned", 2)
        process = workers[0].process
    assert not process.is_alive()


PARENT = """
import os
import sys
from pathlib import Path
from training.data.photos import SPLITS, Survey, find
from training.fit.dataset import Dataset
from training.fit.options import Options
from training.tuning.workers import Worker

if __name__ == "__main__":
    data = Path(sys.argv[1])
    photos = find({split: data / split for split in SPLITS})
    for photo in photos.splits["train"]:  # whoever reads one waits
        photo.path.unlink()
        os.mkfifo(photo.path)
    worker = Worker(0, 1, Dataset(photos, Survey("", 32, {}, {})))
    worker.send(Options(folders={}, out=data, arch="squeezenet1_1"))
    print(worker.process.pid, flush=True)
    worker.process.join()
"""


def test_a_process_whose_parent_is_killed_ends_in_the_midst_of_an_epoch(data: Path, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen([sys.executable, script, data], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        writing = list[int]()
        until(lambda: any(read_by_another(photo, writing) for photo in (data / "train").rglob("*.png")))
        parent.kill()
    until(lambda: not Path(f"/proc/{worker}").exists())
    os.close(writing[0])


def read_by_another(pipe: Path, writing: list[int]) -> bool:
    try:
        writing.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:  # nobody reads
        return False
    return True


def until(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_features_are_held_up_to_a_limit(
    learning: Dataset, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = sum(tensor.nbytes for tensor in create("resnet18", "none", 3, 32, 32).classifier.state_dict().values())
    # 24 photos in 4 views, 12 as they are, 512 numbers each
    monkeypatch.setattr("training.tuning.trial.HELD", 2 * network + 400_000)
    trainer = TrialTrainer(learning)
    endings = [attempt(trainer.train, replace(options, views=views), lambda _: True) for views in (2, 4, 2, 9)]
    assert [ending.state for ending in endings] == ["complete"] * 4
    assert replace(endings[0], seconds=0) == replace(endings[2], seconds=0)
    assert [len(frozen.features["train"].rows) for frozen in trainer._frozen.values()] == [9]
