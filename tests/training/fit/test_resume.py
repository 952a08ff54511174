"""Training that was stopped goes on as if it never had been."""

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.fit.processes import in_processes, train
from tests.training.fit.small import datasets, recipe, state, tiny
from training.common.errors import AlreadyTold, Stopped, TrainingError
from training.data import photos
from training.data.pixels import read_photo
from training.fit.checkpoints import NAME, Checkpoints
from training.fit.full import Trainer, train_full
from training.fit.loop import Epoch, Learner, TrainResult
from training.fit.schedule import Schedule
from training.fit.stopping import stopping

pytestmark = pytest.mark.usefixtures("trains")

SCHEDULE = Schedule(epochs=3, batch_size=8, lr=1e-2, seed=0)
Splits = dict[str, list[photos.Photo]]


class Killed(BaseException): ...


def run(
    splits: Splits, schedule: Schedule, checkpoints: Checkpoints | None = None
) -> tuple[dict[str, Any], TrainResult]:
    made = tiny()
    with stopping() as stop:
        outcome = train_full(made, *datasets(splits, made, "light"), schedule, "float32", checkpoints, stop)
    return state(made), outcome


def timeless(history: tuple[Epoch, ...] | list[Epoch]) -> list[Epoch]:
    return [replace(epoch, seconds=0) for epoch in history]


def same(one: tuple[dict[str, Any], TrainResult], other: tuple[dict[str, Any], TrainResult]) -> bool:
    return (
        one[0].keys() == other[0].keys()
        and all(torch.equal(one[0][name], other[0][name]) for name in one[0])
        and one[1].epoch == other[1].epoch
        and torch.equal(one[1].validation_logits, other[1].validation_logits)
        and timeless(one[1].history) == timeless(other[1].history)
    )


@pytest.mark.parametrize(
    "schedule",
    [
        SCHEDULE,
        replace(
            SCHEDULE,
            ema=0.9,
            shape="cosine",
            warm_up=0.3,
            label_smoothing=0.1,
            backbone_lr=0.1,
            class_weights="balanced",
            patience=2,
        ),
    ],
)
def test_killed_after_any_step_and_resumed_gives_the_same_to_the_bit(
    splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schedule: Schedule
) -> None:
    whole = run(splits, schedule)
    learn = Learner.step
    for kill_at in range(1, 10):
        kept = Checkpoints(tmp_path / str(kill_at), {}, steps=2)
        kept.prepare()
        steps = 0

        def step(learner: Learner, *arguments: Any, kill_at: int = kill_at) -> float:
            nonlocal steps
            steps += 1
            if steps == kill_at:
                raise Killed
            return learn(learner, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(Learner, "step", step)
            with pytest.raises(Killed):
                run(splits, schedule, kept)
        assert same(run(splits, schedule, kept), whole)


def test_a_network_whose_layers_have_versions_goes_on_too(splits: Splits, tmp_path: Path) -> None:
    kept, schedule = Checkpoints(tmp_path, {}), replace(SCHEDULE, epochs=1, ema=0.9)
    kept.prepare()
    first, again = recipe("mnasnet0_5"), recipe("mnasnet0_5", seed=1)
    for made in (first, again):
        train_full(made, *datasets(splits, made), schedule, "float32", kept)
    assert state(first).keys() == state(again).keys()
    assert all(torch.equal(value, state(again)[name]) for name, value in state(first).items())


def test_the_average_of_the_weights_is_what_is_kept(splits: Splits) -> None:
    plain, averaged = run(splits, SCHEDULE), run(splits, replace(SCHEDULE, ema=0.9))
    assert not torch.equal(plain[0]["network.6.weight"], averaged[0]["network.6.weight"])
    assert averaged[0]["network.1.num_batches_tracked"] == 3 * averaged[1].epoch


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("after", "number", "name"),
    [
        (1, signal.SIGTERM, "SIGTERM"),
        (3, signal.SIGINT, "Ctrl-C"),
        (4, signal.SIGTERM, "SIGTERM"),
        (9, signal.SIGINT, "Ctrl-C"),
    ],
)
def test_a_signal_leaves_a_checkpoint_of_the_very_step(
    splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, number: signal.Signals, name: str
) -> None:
    whole = run(splits, SCHEDULE)
    kept = Checkpoints(tmp_path, {})
    learn = Learner.step
    steps = 0

    def step(learner: Learner, *arguments: Any) -> float:
        nonlocal steps
        steps += 1
        if steps == after:
            os.kill(os.getpid(), number)
        return learn(learner, *arguments)

    monkeypatch.setattr(Learner, "step", step)
    with pytest.raises(Stopped, match=f"by {name} in epoch {(after + 2) // 3}; --resume goes on from") as caught:
        run(splits, SCHEDULE, kept)
    assert caught.value.status == 128 + number
    assert steps == after
    assert same(run(splits, SCHEDULE, kept), whole)
    assert steps == 9


def test_sigterm_while_validating_does_not_wait_for_the_end(
    splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(splits, SCHEDULE)
    kept = Checkpoints(tmp_path, {})

    def hang(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("still validating")

    with monkeypatch.context() as patch:
        patch.setattr("training.fit.full.predict_together", hang)
        with pytest.raises(Stopped, match="in epoch 1"):
            run(splits, SCHEDULE, kept)
    assert same(run(splits, SCHEDULE, kept), whole)


def test_sigterm_while_the_last_checkpoint_is_written_ends_training(
    splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Checkpoints(tmp_path, {})
    save = Checkpoints.save

    def interrupted(self: Checkpoints, *arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        save(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", interrupted)
        with pytest.raises(Stopped, match="--resume goes on from"):
            run(splits, SCHEDULE, kept)
    assert same(run(splits, SCHEDULE, kept), run(splits, SCHEDULE))


def test_sigterm_while_a_photo_is_decoded_does_not_make_it_unreadable(
    splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("PIL.Image.Image.load", decode)
    with stopping(), pytest.raises(Stopped):
        read_photo(splits["valid"][0].path)


def test_without_checkpoints_a_signal_says_that_nothing_is_kept(
    splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(*_: object) -> float:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0.5

    monkeypatch.setattr(Learner, "step", step)
    with pytest.raises(Stopped, match="nothing was written"):
        run(splits, SCHEDULE)


@pytest.mark.usefixtures("terminal")
def test_who_presses_ctrl_c_twice_does_not_wait_for_the_step() -> None:
    with stopping() as stop, stop.later():
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        with pytest.raises(Stopped, match="by Ctrl-C"):
            os.kill(os.getpid(), signal.SIGINT)
        stop.requested = False


@pytest.mark.usefixtures("background")
def test_what_is_ignored_stays_so() -> None:
    with stopping() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert not stop.requested
        with pytest.raises(Stopped, match="by SIGTERM"):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_finished_training_is_not_repeated(splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Checkpoints(tmp_path, {})
    whole = run(splits, SCHEDULE, kept)
    monkeypatch.setattr(Trainer, "train_epoch", None)
    assert same(run(splits, SCHEDULE, kept), whole)


def test_patience_ends_a_resumed_training_where_it_ends_one_that_never_stopped(
    splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = replace(
        SCHEDULE, epochs=9, lr=1e-30, batch_norm="frozen", patience=2
    )  # no epoch is better than the first
    kept = Checkpoints(tmp_path, {})
    whole = run(splits, schedule, kept)
    assert len(whole[1].history) < 9
    assert len(whole[1].history) == whole[1].epoch + 2
    monkeypatch.setattr(Trainer, "train_epoch", None)
    assert same(run(splits, schedule, kept), whole)


def test_a_full_disk_does_not_end_training(
    splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Checkpoints, "save", full)
    assert same(run(splits, SCHEDULE, Checkpoints(tmp_path, {}, steps=5)), run(splits, SCHEDULE))
    assert "not written: No space left on device" in capsys.readouterr().out


def test_two_processes_stop_at_the_same_step_and_go_on_to_the_bit_and_one_says_that_it_is_another_number(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = in_processes(2, train, data, SCHEDULE)
    kept = Checkpoints(tmp_path / "kept", {})
    kept.prepare()
    first, second = in_processes(2, train, data, SCHEDULE, "tiny", kept, 5)
    assert isinstance(first, Stopped)
    assert isinstance(second, AlreadyTold)
    assert second.status == 143
    assert [NAME.fullmatch(path.name)[1] for path in kept.folder.iterdir()] == ["000000005"]  # type: ignore[index]
    alone = Checkpoints(Path(shutil.copytree(kept.folder, tmp_path / "alone")), {})
    for weights, history in in_processes(2, train, data, SCHEDULE, "tiny", kept):
        assert all((weights[name] == whole[0][0][name]).all() for name in weights)
        assert timeless(history) == timeless(whole[0][1])
    capfd.readouterr()
    _, history = train(data, SCHEDULE, "tiny", alone)
    assert timeless(history)[0] == timeless(whole[0][1])[0]
    assert len(history) == 3
    told = capfd.readouterr().out
    assert "made with processes 2, now 1" in told
    assert "the result will be as good, but not bit for bit" in told


def test_divergence_is_told_at_the_step_where_it_happens(splits: Splits) -> None:
    made = tiny()
    torch.nn.init.constant_(made.classifier.network.get_parameter("6.weight"), float("nan"))
    with pytest.raises(TrainingError, match="the loss is nan in epoch 1"):
        train_full(made, *datasets(splits, made), SCHEDULE)
