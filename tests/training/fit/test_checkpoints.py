import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from training.common.errors import TrainingError
from training.common.files import sha256
from training.fit import checkpoints as module
from training.fit.checkpoints import NAME, Checkpoints

FACTS = {"epoch": 1, "loss": 0.1 + 0.2, "history": []}


@pytest.fixture
def folder(tmp_path: Path) -> Checkpoints:
    kept = Checkpoints(tmp_path / "kept", {"epochs": 2, "photos": "ab" * 32})
    kept.prepare()
    return kept


def tensors(value: float) -> dict[str, torch.Tensor]:
    return {"model.weight": torch.full((3, 2), value), "optimizer.0.step": torch.tensor(value)}


def names(kept: Checkpoints) -> list[str]:
    return sorted(path.name for path in kept.folder.iterdir())


def test_what_is_saved_comes_back_to_the_bit(folder: Checkpoints) -> None:
    assert folder.newest() is None
    folder.save(7, tensors(1 / 3), FACTS)
    found = folder.newest()
    assert found is not None
    assert {name: value.tolist() for name, value in found[0].items()} == {
        name: value.tolist() for name, value in tensors(1 / 3).items()
    }
    assert found[1] == FACTS


def test_two_are_kept_and_each_name_has_its_hash(folder: Checkpoints) -> None:
    for step in (3, 20, 100):
        folder.save(step, tensors(step), FACTS)
    assert [name[:20] for name in names(folder)] == ["checkpoint-000000020", "checkpoint-000000100"]
    for path in folder.folder.iterdir():
        match = NAME.fullmatch(path.name)
        assert match is not None
        assert match[2] == sha256(path)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_one_gives_way_to_the_one_before_it(
    folder: Checkpoints, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    folder.save(1, tensors(1), FACTS)
    folder.save(2, tensors(2), FACTS)
    newest = max(folder.folder.iterdir())
    body = bytearray(newest.read_bytes())
    body[-3] ^= 1
    newest.write_bytes({"cut": bytes(body[:-7]), "flipped": bytes(body), "empty": b""}[damage])
    found = folder.newest()
    assert found is not None
    assert found[0]["model.weight"].tolist() == tensors(1)["model.weight"].tolist()
    assert "is damaged; training resumes from the one before it" in capsys.readouterr().out


def test_when_all_are_damaged_training_does_not_begin_anew_unasked(folder: Checkpoints) -> None:
    folder.save(1, tensors(1), FACTS)
    next(folder.folder.iterdir()).write_bytes(b"")
    with pytest.raises(TrainingError, match=r"every checkpoint in .* was damaged"):
        folder.newest()


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"epochs": 3}, "epochs 2 instead of 3"),
        ({"photos": "cd" * 32}, r"photos abababababab\.\.\. instead of cdcdcdcdcdcd\.\.\."),
        ({"ema": 0.9}, "ema None instead of 0.9"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(folder: Checkpoints, other: dict[str, Any], difference: str) -> None:
    folder.save(1, tensors(1), FACTS)
    before = names(folder)
    with pytest.raises(TrainingError, match=difference):
        replace(folder, identity=folder.identity | other).newest()
    assert names(folder) == before


def test_a_folder_that_cannot_be_written_is_told_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot be written"):
        Checkpoints(tmp_path / "file" / "kept", {}).prepare()


def test_an_interval_is_minutes_or_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    kept = Checkpoints(tmp_path, {}, minutes=5, steps=10)
    assert [step for step in range(1, 31) if kept.due(step)] == [10, 20, 30]
    now += 301
    assert kept.due(1)
    kept.save(1, tensors(1), FACTS)
    assert not kept.due(2)


def test_a_stop_at_any_moment_of_saving_leaves_the_old_or_the_new_one(
    folder: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call that changes the disk is the last one once, and the file that it was about to complete is cut."""

    class PowerCut(BaseException): ...

    folder.save(1, tensors(1), FACTS)
    folder.save(2, tensors(2), FACTS)
    first = folder.folder
    outcomes = []
    for crash_at in range(100):
        kept = replace(folder, folder=Path(shutil.copytree(first, first.parent / f"crash{crash_at}")))
        steps = 0

        def step(original: Any, crash_at: int = crash_at) -> Any:
            def wrapped(*arguments: Any, **options: Any) -> Any:
                nonlocal steps
                steps += 1
                if steps > crash_at:
                    raise PowerCut
                return original(*arguments, **options)

            return wrapped

        def save_in_part(content: Any, path: Path, header: Any, crash_at: int = crash_at) -> None:
            safetensors.torch.save_file(content, path, header)
            if crash_at == 0:
                path.write_bytes(path.read_bytes()[:-5])
                raise PowerCut

        with monkeypatch.context() as patch:
            patch.setattr(module, "save_file", save_in_part)
            patch.setattr(os, "fsync", step(os.fsync))
            patch.setattr(Path, "replace", step(Path.replace))
            patch.setattr(Path, "unlink", step(Path.unlink))
            try:
                kept.save(3, tensors(3), FACTS)
                finished = True
            except PowerCut:
                finished = False
        kept.prepare()
        found = kept.newest()
        assert found is not None
        outcomes.append(found[0]["optimizer.0.step"].item())
        assert not [name for name in names(kept) if NAME.fullmatch(name) is None]
        assert all(NAME.fullmatch(path.name)[2] == sha256(path) for path in kept.folder.iterdir())  # type: ignore[index]
        if finished:
            break
    assert finished
    assert set(outcomes) == {2.0, 3.0}


@pytest.mark.parametrize(
    ("room", "error", "left"), [(0, "os error 28", [2]), (1, "os error 28", [2, 3]), (1, "os error 5", [1, 2])]
)
def test_a_full_disk_has_room_for_the_newest_instead_of_the_one_before_it(
    folder: Checkpoints, monkeypatch: pytest.MonkeyPatch, room: int, error: str, left: list[int]
) -> None:
    folder.save(1, tensors(1), FACTS)
    folder.save(2, tensors(2), FACTS)

    def full(content: Any, path: Path, header: Any) -> None:
        safetensors.torch.save_file(content, path, header)
        if len(list(folder.folder.glob("checkpoint-*"))) > room:
            raise safetensors.SafetensorError(f"Error while serializing: I/O error: text ({error})")

    monkeypatch.setattr(module, "save_file", full)
    if left[-1] == 3:
        folder.save(3, tensors(3), FACTS)
    else:
        with pytest.raises(OSError, match=r"No space left on device: '.*kept'|Input/output error"):
            folder.save(3, tensors(3), FACTS)
    assert [int(name[11:20]) for name in names(folder)] == left
