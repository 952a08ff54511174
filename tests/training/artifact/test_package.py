import hashlib
import http.server
import json
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from training.artifact import package
from training.artifact.package import Platform, fetch_wheels, pinned_requirements, prove, write_archive
from training.data.pixels import SERVING
from training.errors import TrainingError


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None) -> Iterator[str]:
    """Serve a package index that has two wheels of one small package, for two interpreters."""
    site = tmp_path / "index"
    (site / "simple" / "tiny").mkdir(parents=True)
    links = []
    for tag in ("cp313-cp313-manylinux_2_28_x86_64", "cp312-cp312-manylinux_2_28_aarch64"):
        name = f"tiny-1.0-{tag}.whl"
        with zipfile.ZipFile(site / name, "w") as wheel:
            wheel.writestr("tiny.py", f"tag = {tag!r}")
            wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
            wheel.writestr("tiny-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
            wheel.writestr("tiny-1.0.dist-info/RECORD", "")
        links.append(f'<a href="/{name}">{name}</a>')
    (site / "simple" / "tiny" / "index.html").write_text("".join(links))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(site))  # type: ignore[arg-type]

        def log_message(self, *arguments: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
        monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")
        yield "tiny==1.0"
        server.shutdown()


CARD: dict[str, object] = {"schema": 1, "input": {}, "classes": []}


def test_the_archive_has_the_layout_that_the_containers_want(fitted: Path) -> None:
    with tarfile.open(fitted / "build" / "model.tar.gz") as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == sorted(
        ["model.onnx", "model.json", "deployment.py", "config.yaml"]
        + ["code/inference.py", "code/model_card.py", "code/photo_pixels.py", "code/server.py"]
        + ["code/serving_errors.py", "code/requirements.txt"]
        + [f"code/wheels/{wheel.name}" for wheel in fetch_wheels(pinned_requirements(), package.wheel_cache())]
    )
    for member in members:
        assert member.isfile()
        assert (member.mode, member.mtime, member.uid, member.gid, member.uname) == (0o644, 0, 0, 0, "")


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    wheels = fetch_wheels(pinned_requirements(), package.wheel_cache())
    for name in ("one.tar.gz", "two.tar.gz"):
        write_archive(tmp_path / name, b"graph", CARD, wheels)
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()
    flags_and_time = (tmp_path / "one.tar.gz").read_bytes()[3:8]
    assert flags_and_time == bytes(5)  # neither a file's name nor the time of writing
    write_archive(tmp_path / "other.tar.gz", b"Graph", CARD, wheels)
    assert (tmp_path / "one.tar.gz").read_bytes() != (tmp_path / "other.tar.gz").read_bytes()


def test_the_card_names_the_graphs_bytes(tmp_path: Path) -> None:
    write_archive(tmp_path / "model.tar.gz", b"graph", CARD, [])
    with tarfile.open(tmp_path / "model.tar.gz") as tar:
        card = json.load(tar.extractfile("model.json"))  # type: ignore[arg-type]
    assert card["files"] == {"model.onnx": {"sha256": hashlib.sha256(b"graph").hexdigest(), "size": 5}}


def test_the_containers_packages_come_from_the_artifact_alone(fitted: Path) -> None:
    with tarfile.open(fitted / "build" / "model.tar.gz") as tar:
        lines = tar.extractfile("code/requirements.txt").read().decode().splitlines()  # type: ignore[union-attr]
    assert lines[:2] == ["--no-index", "--find-links /opt/ml/model/code/wheels"]
    assert lines[2:] == pinned_requirements()
    assert all("==" in line for line in lines[2:])


def test_the_version_that_is_proved_is_the_version_that_serves() -> None:
    pinned = dict(pin.split("==") for pin in pinned_requirements())
    for path in (SERVING / "requirements.txt", SERVING.parent / "requirements.txt"):
        assert f"onnxruntime=={pinned['onnxruntime']}" in path.read_text().splitlines()


@pytest.mark.parametrize(
    "platform", [Platform(), Platform("3.12", "manylinux_2_28_aarch64")], ids=["AWS's container", "another"]
)
def test_wheels_are_those_of_the_interpreter_that_will_run(index: str, tmp_path: Path, platform: Platform) -> None:
    (wheel,) = fetch_wheels([index], tmp_path / "cache", platform)
    assert (
        wheel.name
        == f"tiny-1.0-cp{platform.python.replace('.', '')}-cp{platform.python.replace('.', '')}-{platform.tag}.whl"
    )
    assert [path.name for path in wheel.parent.iterdir()] == [wheel.name]


def test_a_cached_wheel_is_not_downloaded_again(index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fetch_wheels([index], tmp_path / "cache")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert fetch_wheels([index], tmp_path / "cache") == first


def test_without_network_and_cache_the_message_says_what_to_run(offline: None, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"tiny==1.0 for Python 3.13.*cannot be downloaded") as caught:
        fetch_wheels(["tiny==1.0"], tmp_path / "cache")
    message = str(caught.value)
    assert "\n" not in message
    assert "-m pip download" in message
    assert "--only-binary=:all: --python-version 3.13 --platform manylinux_2_28_x86_64" in message
    assert not list((tmp_path / "cache").rglob("*.whl"))


def unpacked_probabilities(fitted: Path, folder: Path) -> tuple[list[Path], torch.Tensor]:
    photos = sorted((fitted / "data" / "test").rglob("*.png"))[::3]
    with tarfile.open(fitted / "build" / "model.tar.gz") as tar:
        tar.extractall(folder, filter="data")
    result = subprocess.run(
        [sys.executable, "-I", "-c", package.PROOF, str(folder)],
        input="\n".join(json.dumps(str(path)) for path in photos),
        capture_output=True,
        text=True,
        check=True,
    )
    return photos, torch.tensor([json.loads(line)["probabilities"] for line in result.stdout.splitlines()])


def test_an_artifact_that_answers_as_pytorch_is_proved(fitted: Path, tmp_path: Path) -> None:
    photos, expected = unpacked_probabilities(fitted, tmp_path)
    proof = prove(fitted / "build" / "model.tar.gz", photos, expected)
    assert proof.images == 4
    assert proof.max_probability_difference <= proof.tolerance


@pytest.mark.parametrize("nudge", [2e-4, float("nan")])
def test_probabilities_beyond_the_tolerance_are_refused(fitted: Path, tmp_path: Path, nudge: float) -> None:
    photos, expected = unpacked_probabilities(fitted, tmp_path)
    expected[2, int(expected[2].argmin())] += nudge
    with pytest.raises(TrainingError, match=f"disagree on {photos[2]}"):
        prove(fitted / "build" / "model.tar.gz", photos, expected)


def test_another_label_is_refused(fitted: Path, tmp_path: Path) -> None:
    photos, expected = unpacked_probabilities(fitted, tmp_path)
    with pytest.raises(TrainingError, match="disagree on"):
        prove(fitted / "build" / "model.tar.gz", photos, expected.flip(1))


def test_an_artifact_that_cannot_serve_is_refused(tmp_path: Path, fitted: Path) -> None:
    write_archive(tmp_path / "model.tar.gz", b"no graph", CARD, [])
    with pytest.raises(TrainingError, match="does not serve") as caught:
        prove(tmp_path / "model.tar.gz", [fitted / "data" / "test" / "001.Red_setter" / "0.png"], torch.ones(1, 1))
    assert "\n" not in str(caught.value)
