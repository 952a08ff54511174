from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from training.common.errors import TrainingError
from training.data.sample import write_sample

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "digits"
    write_sample(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_digit_is_in_every_split_in_the_same_proportion(digits: Path) -> None:
    counts = {
        split: np.array([len(list((digits / split / str(digit)).glob("*.png"))) for digit in range(10)])
        for split in ("train", "valid", "test")
    }
    assert {split: int(each.sum()) for split, each in counts.items()} == {"train": 1167, "valid": 270, "test": 360}
    for each in counts.values():
        assert abs(each / each.sum() - np.bincount(load_digits().target) / 1797).max() < 0.005


def test_every_scan_is_written_once_under_its_digit(digits: Path) -> None:
    paths = list(digits.rglob("*.png"))
    assert sorted(int(path.stem) for path in paths) == list(range(1797))
    truth = load_digits().target
    assert all(truth[int(path.stem)] == int(path.parent.name) for path in paths)


def test_the_photos_show_the_scans(digits: Path) -> None:
    path = next(digits.glob("test/*/*.png"))
    photo = Image.open(path)
    assert photo.size == (32, 32)
    ink = np.asarray(photo.resize((8, 8), Image.Resampling.BOX), dtype=float)
    assert np.corrcoef(ink.ravel(), load_digits().images[int(path.stem)].ravel())[0, 1] > 0.97


def test_the_same_bytes_every_time(digits: Path, tmp_path: Path) -> None:
    write_sample(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(digits)


def test_a_second_run_leaves_everything_as_it_is(digits: Path, run: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in digits.rglob("*")}
    status, output, _ = run("sample", digits)
    assert status == 0
    assert "already" in output
    assert {path: path.stat().st_mtime_ns for path in digits.rglob("*")} == before


def test_a_folder_with_something_else_is_refused_and_kept(tmp_path: Path, run: Run) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.txt").write_text("mine")
    status, _, errors = run("sample", tmp_path / "mine")
    assert status != 0
    assert "already has other files" in errors
    assert contents(tmp_path) == {"mine/photo.txt": b"mine"}


def test_a_changed_photo_is_not_taken_for_the_sample(digits: Path, tmp_path: Path) -> None:
    write_sample(tmp_path / "digits")
    next((tmp_path / "digits" / "train").rglob("*.png")).write_bytes(b"other")
    with pytest.raises(TrainingError, match="already has other files"):
        write_sample(tmp_path / "digits")


def test_stopped_in_the_middle_it_leaves_nothing_and_can_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Image.Image.save

    def stop(self: Image.Image, path: Path, **options: object) -> None:
        if path.name == "0500.png":
            raise KeyboardInterrupt
        save(self, path)

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            write_sample(tmp_path / "digits")
    assert list(tmp_path.iterdir()) == []
    assert write_sample(tmp_path / "digits") is not None


def test_what_a_killed_run_left_is_in_nobodys_way(digits: Path, tmp_path: Path) -> None:
    (tmp_path / ".digits.incomplete" / "train" / "0").mkdir(parents=True)
    write_sample(tmp_path / "digits")
    assert contents(tmp_path / "digits") == contents(digits)
    assert [each.name for each in tmp_path.iterdir()] == ["digits"]
