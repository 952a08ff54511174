"""Bad data and bad arguments: each one line that says what to do, a status that is not zero, and nothing half-written.

A row for a new command goes into ``ARGUMENTS``; ``{data}`` are sound photos, ``{out}`` holds an older model.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Run = Callable[..., tuple[int, str, str]]
Change = Callable[[Path], object]
RED, GREEN, BLUE = "001.Red_setter", "002.Green_dog", "003.Blue_heeler"


def content(name: str, body: bytes) -> Change:
    return lambda data: (data / name).write_bytes(body)


def cut(name: str, format_: str) -> Change:
    """Cut a file off in the middle."""

    def change(data: Path) -> None:
        path = data / name
        Image.effect_noise((64, 64), 50).convert("RGB").save(path, format_)
        path.write_bytes(path.read_bytes()[:-900])

    return change


def picture(name: str, size: tuple[int, int], mode: str = "RGB", format_: str | None = None) -> Change:
    return lambda data: Image.new(mode, size).save(data / name, format_)


def large(name: str, size: int) -> Change:
    def change(data: Path) -> None:
        with (data / name).open("ab") as file:
            file.truncate(size)

    return change


def gone(*names: str) -> Change:
    def change(data: Path) -> None:
        for name in names:
            shutil.rmtree(data / name)

    return change


def emptied(name: str) -> Change:
    def change(data: Path) -> None:
        for path in (data / name).rglob("*.png"):
            path.unlink()

    return change


def copied(name: str, to: str) -> Change:
    return lambda data: (shutil.copytree if (data / name).is_dir() else shutil.copy)(data / name, data / to)


def resaved(name: str, to: str) -> Change:
    return lambda data: Image.open(data / name).save(data / to, lossless=True)


DATA: dict[str, tuple[Change, str]] = {
    "an empty file": (content(f"train/{RED}/0.png", b""), "empty file; replace the file or remove it"),
    "a web page": (content(f"train/{RED}/0.png", b"<!doctype html>"), "unsupported image format; replace"),
    "a GIF by another name": (picture(f"test/{RED}/0.jpg", (9, 9), format_="GIF"), "unsupported image format"),
    "a TIFF by another name": (picture(f"test/{RED}/0.jpg", (9, 9), format_="TIFF"), "unsupported image format"),
    "zeros": (content(f"valid/{RED}/0.png", bytes(500)), "unsupported image format"),
    "a PNG cut short": (cut(f"train/{GREEN}/0.png", "PNG"), "damaged image"),
    "a JPEG cut short": (cut(f"valid/{GREEN}/0.jpg", "JPEG"), "damaged image"),
    "a WebP cut short": (cut(f"test/{GREEN}/0.webp", "WEBP"), "damaged image"),
    "a PNG's first bytes": (content(f"test/{BLUE}/0.png", b"\x89PNG\r\n\x1a\n"), "damaged image"),
    "90 megapixels": (picture(f"train/{RED}/bomb.png", (10_000, 9_000), "1"), "too many pixels"),
    "a side of 70,000": (picture(f"train/{RED}/thread.png", (70_000, 700), "1"), "too many pixels"),
    "26 MB": (large(f"train/{RED}/0.png", 26 * 1024**2 + 1), "file too large"),
    "a strip": (picture(f"train/{RED}/strip.png", (1010, 10)), "too elongated"),
    "a split missing": (gone("valid"), "valid is missing; photos belong in DIR/{train,valid,test}/CLASS/"),
    "a split without photos": (emptied("test"), "test has no photos in class folders"),
    "no photos at all": (emptied("."), "train has no photos in class folders"),
    "a class missing in a split": (gone(f"valid/{GREEN}"), f"valid has no photos of {GREEN}"),
    "a class without photos": (emptied(f"test/{GREEN}"), f"test has no photos of {GREEN}"),
    "one class": (
        gone(*[f"{s}/{c}" for s in ("train", "valid", "test") for c in (RED, BLUE)]),
        "a classifier needs at least two",
    ),
    "one label for two classes": (
        lambda data: [copied(f"{split}/{RED}", f"{split}/9.Red setter")(data) for split in ("train", "valid", "test")],
        "several classes have the label 'Red setter'; rename",
    ),
    "a class that cannot be printed": (
        lambda data: [copied(f"{split}/{RED}", f"{split}/Red\nsetter")(data) for split in ("train", "valid", "test")],
        r"the class name 'Red\nsetter' has characters that cannot be printed; rename its folders",
    ),
    "a class whose name is no UTF-8": (
        lambda data: [copied(f"{s}/{RED}", f"{s}/\udce9pagneul")(data) for s in ("train", "valid", "test")],
        r"the class name '\udce9pagneul' has characters that cannot be printed; rename its folders",
    ),
    "a link that leads nowhere": (
        lambda data: (data / "train" / RED / "annexed.jpg").symlink_to("nowhere"),
        "cannot be read (No such file or directory); replace the file or remove it",
    ),
    "a test photo to learn from": (copied(f"test/{RED}/0.png", f"train/{RED}/x.png"), "in two splits"),
    "a test photo to choose by": (resaved(f"test/{RED}/0.png", f"valid/{RED}/x.webp"), "in two splits"),
    "a photo of two classes": (copied(f"train/{RED}/0.png", f"train/{BLUE}/x.png"), "under two classes"),
}

ARGUMENTS: list[tuple[str, dict[str, str], str]] = [
    ("", {}, "required: COMMAND (see `./kennel --help`)"),
    ("chekc", {}, "invalid choice: 'chekc'"),
    ("sample", {}, "required: DIR"),
    ("sample {data}", {}, "already has other files; choose another folder, or remove it"),
    ("sample {file}", {}, "cannot be written"),
    ("sample {file}/digits", {}, "cannot be written"),
    ("check", {}, "--data DIR is needed"),
    ("check --data {data}/nowhere", {}, "does not exist; `./kennel sample"),
    ("check --data {file}", {}, "is not a folder"),
    ("check --data s3://", {}, "is not an address in S3; use s3://BUCKET/PREFIX"),
    ("check --data {data} --image-size 4", {}, "must be from 8 to 4096"),
    ("check --data {data} --json {file}/report.json", {}, "cannot be written"),
    ("check --data {data} --json {out}", {}, "is a folder"),
    ("check", {"SM_CHANNEL_TRAIN": "train", "SM_CHANNEL_VALID": "valid"}, "the channel test is missing"),
    ("fit", {}, "--data DIR is needed"),
    ("fit --data", {}, "--data: expected one argument"),
    ("fit --data {data}/nowhere --out {out}", {}, "does not exist; `./kennel sample"),
    ("fit --data {data} --out {file}", {}, "cannot be written"),
    ("fit --data {data} --out {out} --epochs 0", {}, "must be at least 1"),
    ("fit --data {data} --out {out} --epoch=ten", {}, "is not a whole number"),
    ("fit --data {data} --out {out} --lr inf", {}, "--lr: must be above 0 and below 10"),
    ("fit --data {data} --out {out} --arch resnet1", {}, "torchvision has no such classifier"),
    ("fit --data {data} --out {out} --weights none.safetensors", {}, "neither a file nor weights of resnet18"),
    ("fit --data {data} --out {out} --weights {file}", {}, "neither a file of torch.save nor"),
    ("fit --data {data} --out {out} --mode head", {}, "add --weights, such as --weights DEFAULT"),
    ("fit --data {data} --out {out} --resume", {}, "--checkpoints DIR"),
    ("fit --data {data} --out {out} --learning-rate 1", {}, "unrecognized arguments: --learning-rate"),
    (
        "fit --data {data} --out {out} --batchsize 8",
        {},
        "unrecognized arguments: --batchsize 8; did you mean --batch-size? (see `./kennel fit --help`)",
    ),
    (
        "fit --data {data} --batch_sizes=8",
        {},
        "--batch_sizes=8; did you mean --batch-size? (see `./kennel fit --help`)",
    ),
    ("fit --data {data} --labelsmoothing 0", {}, "did you mean --label-smoothing?"),
    ("tune --data {data} --trails 3 --trials 3", {}, "did you mean --trials? (see `./kennel tune --help`)"),
    ("launch --data {data} --instancetype x", {}, "did you mean --instance-type? (see `./kennel launch --help`)"),
    ("check --data {data} --zzz", {}, "unrecognized arguments: --zzz (see `./kennel check --help`)"),
    ("fit --data {data} --out {out} --split 0.9,0.2", {}, "the shares of 0.9,0.2 add up to 1.1, not to 1"),
    ("fit --data {data} --out {out} --split 0.8,0.1,0.1", {}, "already has the split test; leave out --split"),
    ("fit --data {data} --out {out} --patience 0", {}, "--patience: must be at least 1"),
    (
        "fit --data {data} --out {out}",
        {"SM_HPS": "{epochs: 3}"},
        "SM_HPS, the hyperparameters of the job, is not a JSON object",
    ),
    ("fit --data {data} --out {out}", {"SM_HPS": '{"epoch_count": 3}'}, "unrecognized arguments: --epoch-count=3"),
    ("package", {}, "required: --from"),
    ("package --from {data}/none.pth --out {out}", {}, "none.pth does not exist"),
    ("package --from {file} --out {out}", {}, "is neither a file of torch.save nor a .safetensors file"),
    ("package --from {data} --out {out}", {}, "has no weights; put a .pth, .pt"),
    ("package --from {file} --out {file}", {}, "cannot be written"),
    ("verify", {}, "required: FILE"),
    ("verify {file}", {}, "is not a .tar.gz file"),
    ("verify {out}/model.tar.gz", {}, "is not a manifest of this version"),
    ("verify {data}/none.tar.gz", {}, "none.tar.gz does not exist"),
    ("verify s3://", {}, "is not the address of an artifact"),
]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return a folder with a model of an earlier run."""
    folder = tmp_path / "build"
    folder.mkdir()
    for name in ("model.tar.gz", "model.safetensors", "model.json"):
        (folder / name).write_text("of an earlier run")
    return folder


def snapshot(folder: Path) -> dict[str, tuple[int, int] | None]:
    """Return everything below a folder, with sizes and times of files."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None
        for path in folder.rglob("*")
    }


def assert_one_line(status: int, errors: str, reason: str) -> None:
    assert status not in (0, None)
    assert errors.startswith("kennel: ")
    assert errors.count("\n") == 1
    assert errors.endswith("\n")
    assert reason in errors


@pytest.mark.parametrize("kind", DATA)
def test_bad_data_is_refused_by_fit_and_explained_by_check(
    kind: str, data: Path, out: Path, tmp_path: Path, run: Run
) -> None:
    change, reason = DATA[kind]
    change(data)
    before = snapshot(tmp_path)
    status, output, errors = run("fit", "--data", data, "--out", out)
    assert_one_line(status, errors, reason)
    assert "epoch" not in output
    status, output, errors = run("check", "--data", data)
    assert_one_line(status, errors, "correct them, and check again")
    assert "error " in output
    assert reason.partition(";")[0] in output
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(("arguments", "environment", "reason"), ARGUMENTS)
def test_bad_arguments_are_refused(
    arguments: str, environment: dict[str, str], reason: str, data: Path, out: Path, tmp_path: Path, run: Run
) -> None:
    file = tmp_path / "file"
    file.write_text("a file")
    before = snapshot(tmp_path)
    words = [word.format(data=data, out=out, file=file) for word in arguments.split()]
    status, _, errors = run(*words, environment=environment)
    assert_one_line(status, errors, reason)
    assert snapshot(tmp_path) == before
