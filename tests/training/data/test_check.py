import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data import duplicates
from training.data.check import check
from training.data.duplicates import THUMBNAIL, look_alikes
from training.data.findings import Finding
from training.data.layout import SPLITS
from training.data.photos import find
from training.data.survey import PhotoRecord, survey
from training.serving import photo_file

Run = Callable[..., tuple[int, str, str]]
RED, GREEN = "001.Red_setter", "002.Green_dog"


def findings(data: Path, size: int | None = None) -> dict[str, Finding]:
    return {each.kind: each for each in check({split: data / split for split in SPLITS}, size).findings}


def picture(width: int = 64, height: int = 48, seed: int = 7) -> Image.Image:
    """Return a picture with structure, as photographs have it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def test_a_sound_data_set_is_a_table_and_nothing_else(data: Path, run: Run) -> None:
    status, output, errors = run("check", "--data", data)
    assert (status, errors) == (0, "")
    lines = [line.split() for line in output.splitlines()]
    assert ["train", "24", "3", "8", "8", "32", "to", "32,", "median", "32"] in lines
    assert ["valid", "12", "3", "4", "4", "32", "to", "32,", "median", "32"] in lines
    assert output.rstrip().endswith("no findings")


def test_what_cannot_be_read_is_counted_by_reason_and_named(data: Path, run: Run) -> None:
    (data / "train" / RED / "0.png").write_bytes(b"")
    for name in ("1.png", "2.png"):
        (data / "test" / GREEN / name).write_bytes(b"<html>")
    path = data / "valid" / RED / "3.png"
    path.write_bytes(path.read_bytes()[:-300])
    found = findings(data)
    assert found["empty file"].photos == ((f"train/{RED}/0.png",),)
    assert found["unsupported image format"].photos == ((f"test/{GREEN}/1.png",), (f"test/{GREEN}/2.png",))
    assert found["damaged image"].photos == ((f"valid/{RED}/3.png",),)
    status, output, errors = run("check", "--data", data)
    assert (status, errors.count("\n")) == (2, 1)
    assert "error    2 x unsupported image format" in output
    assert f"test/{GREEN}/1.png" in output


def test_limits_are_those_of_serving(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (40, 50), "red").save(data / "train" / RED / "large.png")
    monkeypatch.setattr(photo_file, "MAX_PIXELS", 40 * 50)
    assert "too many pixels" not in findings(data)
    monkeypatch.setattr(photo_file, "MAX_PIXELS", 40 * 50 - 1)
    assert findings(data)["too many pixels"].photos == ((f"train/{RED}/large.png",),)


def test_pillow_has_nothing_to_add(data: Path) -> None:
    Image.new("1", (10_000, 9_000)).save(data / "train" / RED / "bomb.png")
    command = [sys.executable, "-m", "training", "check", "--data", str(data)]
    errors = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert (errors.startswith("kennel: "), errors.count("\n")) == (True, 1), errors


def test_a_strip_of_which_a_crop_shows_nothing_is_an_error(data: Path) -> None:
    Image.new("RGB", (3000, 30), "red").save(data / "train" / RED / "strip.png")
    assert "too elongated" not in findings(data)
    Image.new("RGB", (3001, 30), "red").save(data / "train" / RED / "strip.png")
    assert findings(data)["too elongated"].severity == "error"


def save(photo: Image.Image, path: Path, how: str) -> None:
    """Save a photo so that its pixels stay what they are."""
    match how:
        case "same bytes":
            photo.save(path.with_suffix(".png"))
        case "other format":
            photo.save(path.with_suffix(".webp"), lossless=True)
        case "other compression":
            photo.save(path.with_suffix(".png"), compress_level=1)
        case "turned by EXIF":
            exif = Image.Exif()
            exif[0x0112] = 6  # to be turned by 90 degrees clockwise
            photo.transpose(Image.Transpose.ROTATE_90).save(path.with_suffix(".png"), exif=exif)


@pytest.mark.parametrize("how", ["same bytes", "other format", "other compression", "turned by EXIF"])
def test_a_photo_in_two_splits_is_found_however_it_was_saved(data: Path, how: str, run: Run) -> None:
    picture().save(data / "train" / RED / "original.png")
    save(picture(), data / "test" / GREEN / "copy", how)
    leak = findings(data)["leak"]
    assert (leak.severity, leak.count) == ("error", 1)
    first, second = leak.photos[0]
    assert first == f"train/{RED}/original.png"
    assert second.startswith(f"test/{GREEN}/copy.")
    status, _, errors = run("fit", "--data", data, "--out", data.parent / "build")
    assert (status, errors.count("\n")) == (2, 1)
    assert f"kennel: {first} = {second}: the same photo is in two splits" in errors
    assert "`./kennel check`" in errors
    assert not (data.parent / "build" / "model.json").exists()


@pytest.mark.parametrize("place", [(0, 0), (63, 255), (0, 256), (63, 269)])
def test_pictures_that_differ_by_a_pixel_are_no_copies(data: Path, place: tuple[int, int]) -> None:
    one = Image.new("RGB", (64, 270), "teal")
    other = one.copy()
    other.putpixel(place, (0, 128, 129))
    one.save(data / "train" / RED / "one.png")
    other.save(data / "train" / RED / "other.png")
    assert not {"leak", "contradiction", "repetition"} & set(findings(data))


def test_pictures_of_another_shape_are_no_copies(data: Path) -> None:
    for split, size in {"train": (40, 30), "test": (30, 40)}.items():
        for name in "ab":
            Image.new("RGB", size, "teal").save(data / split / RED / f"{name}.png")
    found = findings(data)
    assert "leak" not in found
    assert found["repetition"].count == 2


def test_a_photo_under_two_classes_is_an_error_and_one_twice_in_its_class_a_warning(data: Path) -> None:
    shutil.copy(data / "train" / RED / "0.png", data / "train" / GREEN / "red.png")
    shutil.copy(data / "train" / RED / "1.png", data / "train" / RED / "again.png")
    found = findings(data)
    assert (found["contradiction"].severity, found["repetition"].severity) == ("error", "warning")
    assert found["contradiction"].photos == ((f"train/{RED}/0.png", f"train/{GREEN}/red.png"),)
    assert found["repetition"].photos == ((f"train/{RED}/1.png", f"train/{RED}/again.png"),)


@pytest.mark.parametrize("change", ["compressed", "scaled", "brightened a little"])
def test_photos_of_two_splits_that_look_the_same_are_a_warning(data: Path, change: str) -> None:
    original = picture(320, 240)
    changed = original
    if change == "scaled":
        changed = original.resize((160, 120))
    elif change == "brightened a little":
        changed = Image.eval(original, lambda value: min(255, value + 1))
    original.save(data / "train" / RED / "original.png")
    changed.save(data / "valid" / RED / "copy.jpg", quality=60)
    alike = findings(data)["look-alike"]
    assert (alike.severity, alike.photos) == ("warning", ((f"train/{RED}/original.png", f"valid/{RED}/copy.jpg"),))


def test_photos_that_share_little_do_not_look_the_same(data: Path) -> None:
    for seed in range(30):
        picture(seed=seed).save(data / "train" / RED / f"p{seed}.png")
        picture(seed=100 + seed).save(data / "test" / RED / f"p{seed}.png")
    assert "look-alike" not in findings(data)


def test_look_alikes_are_found_wherever_they_stand_among_many() -> None:
    chance = np.random.default_rng(0)
    records = [
        PhotoRecord(f"{split}/{i}", split, 0, pixels=f"{split}{i}", thumbnail=chance.bytes(THUMBNAIL**2))
        for split, count in {"train": 600, "test": 300}.items()
        for i in range(count)
    ]
    records[600 + 270] = replace(records[600 + 270], thumbnail=records[555].thumbnail)
    assert look_alikes(records)[0].photos == (("train/555", "test/270"),)


def test_of_photos_that_all_look_the_same_each_is_told_once() -> None:
    blank = bytes(THUMBNAIL**2)
    records = [
        PhotoRecord(f"{split}/{i}", split, 0, pixels=f"{split}{i}", thumbnail=blank)
        for split, count in {"train": 300, "test": 20}.items()
        for i in range(count)
    ]
    records[77] = replace(records[77], thumbnail=b"\x03" + blank[1:])
    records[310] = replace(records[310], thumbnail=b"\x03" + blank[1:])
    (found,) = look_alikes(records)
    assert found.count == 20
    assert ("train/77", "test/10") in found.photos, "with the nearest"


def test_too_many_photos_to_compare_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MAX_PAIRS", 5)
    records = [
        PhotoRecord("", split, 0, thumbnail=bytes(THUMBNAIL**2)) for split in ("train", "test") for _ in range(3)
    ]
    assert [(each.severity, each.kind) for each in look_alikes(records)] == [("warning", "look-alikes not sought")]


def test_folders_that_falsify_are_findings_together(data: Path) -> None:
    shutil.rmtree(data / "valid" / GREEN)
    shutil.rmtree(data / "test")
    shutil.copytree(data / "train" / RED, data / "train" / "004.Red setter")
    found = findings(data)
    assert {kind for kind, each in found.items() if each.severity == "error"} == {
        "missing split",
        "missing class",
        "same label",
        "contradiction",
    }


@pytest.mark.parametrize(("count", "warns"), [(80, False), (81, True)])
def test_a_class_with_a_tenth_of_anothers_photos_is_a_warning(data: Path, count: int, warns: bool) -> None:
    for number in range(8, count):
        picture(16, 12, seed=number).save(data / "train" / RED / f"{number}.png")
    found = findings(data)
    assert ("imbalance" in found) == warns
    assert not warns or f"{count} photos of {RED} and 8 of {GREEN}" in found["imbalance"].text


def test_photos_below_the_models_input_are_a_warning(data: Path) -> None:
    picture(100, 31).save(data / "train" / RED / "small.png")
    assert findings(data)["small photo"].photos == ((f"train/{RED}/small.png",),)
    assert "small photo" not in findings(data, 31)
    assert findings(data, 224)["small photo"].count == 49


def test_of_many_copies_a_few_are_named(data: Path, run: Run) -> None:
    for number in range(500):
        shutil.copy(data / "test" / RED / "0.png", data / "train" / RED / f"copy{number}.png")
    for arguments in (["check"], ["fit", "--out", data.parent / "build"]):
        status, output, errors = run(*arguments, "--data", data)
        assert status == 2
        assert f"train/{RED}/copy0.png = train/{RED}/copy1.png = train/{RED}/copy10.png and 498 more" in output + errors
        assert "copy100.png" not in output + errors


def test_warnings_are_told_before_training_too(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = {split: data / split for split in SPLITS}
    picture(100, 20).save(data / "train" / RED / "small.png")
    survey(find(photos))
    assert capsys.readouterr().out == "", "nobody knows the model's input yet"
    shutil.copy(data / "train" / RED / "1.png", data / "train" / RED / "again.png")
    survey(find(photos))
    assert capsys.readouterr().out.startswith("Warnings    1 x repetition; for details, run `./kennel check`")


def test_a_link_that_leads_nowhere_is_a_photo_that_is_missing(data: Path, run: Run) -> None:
    (data / "train" / RED / "annexed.jpg").symlink_to("elsewhere.jpg")
    (data / "train" / RED / "loop.png").symlink_to("loop.png")
    (data / "train" / RED / "linked.png").symlink_to(data / "test" / RED / "0.png")
    found = findings(data)
    assert found["cannot be read (No such file or directory)"].photos == ((f"train/{RED}/annexed.jpg",),)
    assert found["cannot be read (Too many levels of symbolic links)"].photos == ((f"train/{RED}/loop.png",),)
    assert found["leak"].photos == ((f"train/{RED}/linked.png", f"test/{RED}/0.png"),)
    status, output, _ = run("check", "--data", data)
    assert status == 2
    assert "1 x cannot be read (No such file or directory); replace the file or remove it" in output


def test_what_is_no_file_is_left_out_and_told(data: Path) -> None:
    red = data / "train" / RED
    os.mkfifo(red / "pipe.jpg")
    (red / "folder.jpg").mkdir()
    picture().save(red / "folder.jpg" / "below.jpg")
    (data / "train" / "no photos").mkdir()
    (data / "train" / "lost class").symlink_to("nowhere")
    ignored = findings(data)["ignored file"]
    assert {names for (names,) in ignored.photos} == {
        f"train/{RED}/pipe.jpg",
        "train/no photos",
        "train/lost class",
    }
    assert "(.jpg, folder, no ending)" in ignored.text


def test_names_that_do_not_fit_a_line_are_escaped(data: Path, run: Run, tmp_path: Path) -> None:
    red = os.fsencode(data / "train" / RED)
    for odd in (b"new\nline.png", b"bell\x1b[31m.png", b"latin\xe9.png"):
        Path(os.fsdecode(red + b"/" + odd)).write_bytes(b"")
    status, output, _ = run("check", "--data", data, "--json", tmp_path / "report.json")
    assert status == 2
    for name in (r"new\nline.png", r"bell\x1b[31m.png", r"latin\udce9.png"):
        assert f"         train/{RED}/{name}\n" in output
    photos = json.loads((tmp_path / "report.json").read_text())["findings"][0]["photos"]
    assert [f"train/{RED}/new\\nline.png"] in photos
    status, _, errors = run("fit", "--data", data, "--out", tmp_path / "build")
    assert (status, errors.count("\n")) == (2, 1)


def test_files_left_out_are_told_with_their_endings(data: Path) -> None:
    (data / "train" / RED / "old.BMP").write_bytes(b"")
    (data / "train" / "stray.jpg").write_bytes(b"")
    (data / "train" / RED / ".DS_Store").write_bytes(b"")
    ignored = findings(data)["ignored file"]
    assert ignored.severity == "warning"
    assert ignored.photos == ((f"train/{RED}/old.BMP",), ("train/stray.jpg",))
    assert "(.bmp, .jpg)" in ignored.text


def bytes_of(photo: Image.Image, format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, format_, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "severity", "content"),
    [
        ("greyscale", "note", bytes_of(picture().convert("L"), "JPEG")),
        ("CMYK", "note", bytes_of(picture().convert("CMYK"), "JPEG")),
        ("alpha channel", "note", bytes_of(picture().convert("RGBA"), "PNG")),
        ("animation", "warning", bytes_of(picture(), "WEBP", save_all=True, append_images=[picture(seed=8)])),
    ],
)
def test_what_is_unusual_about_a_file_is_told(data: Path, kind: str, severity: str, content: bytes, run: Run) -> None:
    (data / "train" / RED / "odd.png").write_bytes(content)
    finding = findings(data)[kind]
    assert (finding.severity, finding.photos) == (severity, ((f"train/{RED}/odd.png",),))
    assert run("check", "--data", data)[0] == 0


def test_the_report_for_programs_has_every_photo(data: Path, tmp_path: Path, run: Run) -> None:
    for number in range(8):
        shutil.copy(data / "train" / RED / f"{number}.png", data / "test" / RED / f"copy{number}.png")
    status, output, _ = run("check", "--data", data, "--json", tmp_path / "new" / "report.json")
    assert status == 2
    assert "and 5 more" in output
    report = json.loads((tmp_path / "new" / "report.json").read_text())
    assert report["images"]["test"] == {RED: 12, GREEN: 4, "003.Blue_heeler": 4}
    assert len(report["fingerprint"]) == 64
    (leak,) = report["findings"]
    assert (leak["severity"], leak["kind"], len(leak["photos"])) == ("error", "leak", 8)


def test_names_that_look_like_markup_are_printed_as_they_are(data: Path, run: Run) -> None:
    (data / "train" / RED / "[red]x[bold].png").write_bytes(b"")
    assert f"train/{RED}/[red]x[bold].png" in run("check", "--data", data)[1]
