import shutil
from pathlib import Path

import pytest

from training.common.errors import TrainingError
from training.common.files import workspace


def test_a_workspace_is_empty_whatever_a_killed_run_has_left_and_gone_afterwards(tmp_path: Path) -> None:
    left = tmp_path / ".model.incomplete"
    (left / "folder").mkdir(parents=True)
    (left / "folder" / "file").write_text("half")
    (left / "file").write_text("half")
    with workspace(tmp_path / "model") as work:
        assert work == left
        assert not list(work.iterdir())
        (work / "file").write_text("whole")
    assert not left.exists()


def test_two_runs_do_not_share_a_workspace(tmp_path: Path) -> None:
    with workspace(tmp_path / "model") as work:
        (work / "file").write_text("mine")
        with pytest.raises(TrainingError, match=f"another run is writing to {tmp_path}"), workspace(tmp_path / "model"):
            pass
        assert (work / "file").read_text() == "mine"
        with workspace(tmp_path / "evaluation"):
            pass
    with workspace(tmp_path / "model") as work:
        assert not list(work.iterdir())


def test_a_workspace_that_became_something_else_is_free_again(tmp_path: Path) -> None:
    with workspace(tmp_path / "model") as work:
        work.replace(tmp_path / "kept")
        with workspace(tmp_path / "model") as other:
            assert other.exists()
    assert (tmp_path / "kept").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be written: Not a directory"), workspace(tmp_path / "file" / "out"):
        pass
    shutil.rmtree(tmp_path)
