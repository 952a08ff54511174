import hashlib
import json
import tarfile
from pathlib import Path

from training.artifact.archive import write_archive
from training.artifact.layout import pinned_requirements
from training.artifact.wheels import fetch_wheels, wheel_cache

CARD: dict[str, object] = {"schema": 1, "input": {}, "classes": []}


def test_the_archive_has_the_layout_that_the_containers_want(fitted: Path) -> None:
    with tarfile.open(fitted / "build" / "model.tar.gz") as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == sorted(
        ["model.onnx", "model.json", "deployment.py", "config.yaml"]
        + ["code/inference.py", "code/server.py", "code/requirements.txt"]
        + [f"code/serving/{name}.py" for name in ("__init__", "connection", "cores", "deployment", "inference")]
        + [f"code/serving/{name}.py" for name in ("model_card", "photo_file", "photo_pixels", "server")]
        + [f"code/serving/{name}.py" for name in ("serving_errors", "waiting")]
        + [f"code/wheels/{wheel.name}" for wheel in fetch_wheels(pinned_requirements(), wheel_cache())]
    )
    for member in members:
        assert member.isfile()
        assert (member.mode, member.mtime, member.uid, member.gid, member.uname) == (0o644, 0, 0, 0, "")


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    wheels = fetch_wheels(pinned_requirements(), wheel_cache())
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
