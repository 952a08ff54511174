import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.training.fit.processes import in_processes
from tests.training.fit.small import tiny
from training.data import photos
from training.data.photos import Photos, PixelDataset
from training.fit import features, speed
from training.fit.feature_cache import FeatureCache
from training.fit.features import FeatureBank, Views
from training.fit.frozen import Frozen, _operations

pytestmark = pytest.mark.usefixtures("trains")

LIGHT = Views(3, "light")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "features"


def find(data: Path) -> Photos:
    return photos.find({split: data / split for split in photos.SPLITS})


def bank(data: Path, cache: Path, **options: Any) -> FeatureBank:
    return FeatureBank(tiny(), find(data), cache, **options)


def computed(made: FeatureBank, split: str = "train") -> int:
    _ = made[split]
    count: int = made.facts[split]["computed"]
    return count


def test_features_are_computed_once_and_then_read(data: Path, cache: Path) -> None:
    first, second = bank(data, cache, views=LIGHT), bank(data, cache, views=LIGHT)
    assert computed(first) == 24 * 3
    assert computed(second) == 0
    assert torch.equal(first["train"].rows, second["train"].rows)


def test_rows_are_those_of_their_photos(data: Path, cache: Path) -> None:
    made = bank(data, cache)
    pixels = PixelDataset(find(data).splits["valid"], made.recipe.rule)
    for i in range(len(pixels)):
        photo, target = pixels[i]
        assert torch.equal(Frozen(made.recipe, "float32").compute(photo[None])[0], made["valid"].rows[0, i])
        assert made["valid"].targets[i] == target


def test_a_changed_photo_alone_is_computed_again_and_a_moved_one_is_not(data: Path, cache: Path) -> None:
    before = bank(data, cache, views=LIGHT)["train"].rows
    folder = data / "train" / "001.Red_setter"
    Image.new("RGB", (40, 40), "white").save(folder / "0.png")
    (folder / "1.png").rename(folder / "9.png")
    made = bank(data, cache, views=LIGHT)
    assert computed(made) == 3
    assert torch.equal(made["train"].rows[:, 1:7], before[:, 2:8])
    assert torch.equal(made["train"].rows[:, 7], before[:, 1])


@pytest.mark.parametrize("damage", [lambda body: body[:-100], lambda body: body[:-1] + bytes([body[-1] ^ 1])])
def test_a_damaged_file_is_made_anew_and_said_to_be(
    data: Path, cache: Path, damage: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = bank(data, cache)["train"].rows
    (file,) = cache.rglob("*.safetensors")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    capsys.readouterr()
    made = bank(data, cache)
    assert computed(made) == 24
    assert f"{file} is damaged" in capsys.readouterr().out
    assert torch.equal(made["train"].rows, before)
    assert [each.read_bytes() for each in cache.rglob("*.safetensors")] == [whole]


def test_what_nobody_used_for_a_month_goes_when_something_new_is_written(data: Path, cache: Path) -> None:
    def age(path: Path, days: float) -> None:
        os.utime(path, (time.time() - 86400 * days,) * 2)

    used, unused, young = (FeatureCache(cache, name) for name in ("used", "unused", "young"))
    key, rows = bytes(32), torch.ones(4)
    for each in (used, unused, young):
        each.write({key: rows})
    for each in (used, unused, young):
        (file,) = each.folder.iterdir()
        age(file, 29 if each is young else 31)
    part = unused.folder / f"{'0' * 64}.77.part"
    strangers = [cache / "models" / "model.safetensors", unused.folder / "model.safetensors"]
    for path in (part, *strangers):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        age(path, 31)
    assert used.read([key]).keys() == {key}
    FeatureCache(cache, "new").write({key: rows})
    assert [path for path in (part, *strangers) if path.exists()] == strangers
    assert all(each.read([key]).keys() == {key} for each in (used, young))
    assert unused.read([key]) == {}


def test_a_file_that_another_process_removes_meanwhile_is_no_damage(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = FeatureCache(cache, "network")
    kept.write({bytes(32): torch.ones(4)})
    read = Path.read_bytes

    def removed_before(path: Path) -> bytes:
        path.unlink()
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", removed_before)
    assert kept.read([bytes(32)]) == {}
    assert capsys.readouterr().out == ""


def test_what_was_computed_before_a_sudden_end_is_kept(
    data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "CHUNK", 32)
    compute, calls = Frozen.compute, []

    def fail_in_the_third_batch(self: Frozen, pixels: torch.Tensor) -> torch.Tensor:
        calls.append(len(pixels))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return compute(self, pixels)

    monkeypatch.setattr(Frozen, "compute", fail_in_the_third_batch)
    with pytest.raises(KeyboardInterrupt):
        bank(data, cache, views=LIGHT)["train"]
    assert computed(bank(data, cache, views=LIGHT)) == 72 - 64
    assert not list(cache.rglob("*.part"))


def test_a_folder_that_cannot_be_written_is_said_and_done_without(
    data: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.write_text("a file")
    made = bank(data, cache)
    assert made["train"].rows.shape == (1, 24, 128)
    assert "cannot be written (Not a directory)" in capsys.readouterr().out


def test_the_first_view_is_the_photo_as_served_and_the_others_vary(data: Path, cache: Path) -> None:
    plain, varied = bank(data, cache)["train"].rows, bank(data, cache, views=LIGHT)["train"].rows
    assert torch.equal(plain[0], varied[0])
    other_seed, other_policy = (
        bank(data, cache, views=views)["train"].rows for views in (Views(3, "light", 1), Views(3, "photo"))
    )
    seen = [varied[0], varied[1], varied[2], other_seed[1], other_policy[1]]
    for i, one in enumerate(seen):
        for other in seen[:i]:
            assert (one != other).any(dim=1).all()


def test_validation_and_test_are_as_served_and_in_float32(data: Path, cache: Path) -> None:
    plain, quick = bank(data, cache), bank(data, cache, views=LIGHT, precision="bfloat16")
    for split in ("valid", "test"):
        assert torch.equal(plain[split].rows, quick[split].rows)
        assert computed(quick, split) == 0
    assert computed(quick) == 72, "those in another precision do not count"
    assert not torch.equal(plain["train"].rows[0], quick["train"].rows[0])


@pytest.mark.usefixtures("amx")
def test_many_photos_are_worth_compiling_and_go_without_where_that_fails(
    data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "COMPILED_FROM", 60 * _operations(tiny().classifier, 32))
    asked, works = list[Frozen](), [False]

    def compile_if_it_works(frozen: Frozen) -> bool:
        asked.append(frozen)
        return works[0]

    monkeypatch.setattr(Frozen, "compile", compile_if_it_works)
    plain = bank(data, cache, precision="bfloat16", views=Views(2, "light"))
    assert computed(plain) == 48
    assert not asked, "too few are not worth it"
    failing = bank(data, cache, precision="bfloat16", views=LIGHT)
    assert computed(failing) == 24, "those that were kept without compiling count"
    assert failing.facts["train"]["compiled"] is False
    assert "cannot be compiled" in capsys.readouterr().out
    works[0] = True
    made = bank(data, cache, precision="bfloat16", views=LIGHT)
    assert computed(made) == 72
    assert made.facts["train"]["compiled"] is True
    assert len(asked) == 2
    assert computed(bank(data, cache, precision="bfloat16", views=LIGHT)) == 0
    assert len(asked) == 2, "nothing is left to be computed"
    assert computed(bank(data, cache, views=LIGHT)) == 72
    assert len(asked) == 2, "float32 gains too little"


def rows(data: Path, cache: Path) -> Any:
    made = bank(data, cache, views=LIGHT)
    return made["train"].rows.numpy(), made["train"].targets.tolist(), computed(made)


def test_several_processes_compute_each_photo_once_and_get_what_one_gets(
    data: Path, cache: Path, tmp_path: Path
) -> None:
    (alone, targets, count), *_ = in_processes(1, rows, data, tmp_path / "alone")
    for together in in_processes(3, rows, data, cache):
        assert (together[0] == alone).all()
        assert together[1:] == (targets, count)
    assert rows(data, cache)[2] == 0
