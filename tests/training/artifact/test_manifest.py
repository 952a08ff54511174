import json
import re
from pathlib import Path

import pytest

from training.artifact.manifest import Archive, Manifest
from training.common.errors import TrainingError

CLASSES = [{"name": "1.Cat", "label": "Cat"}, {"name": "2.Dog", "label": "Dog"}]
MANIFEST = Manifest(
    Archive("model.tar.gz", "0" * 64, 5),
    model={"architecture": "resnet18"},
    input={"resize": 32},
    classes=CLASSES,
    metrics={"test": {"accuracy": 0.5, "loss": 1.0}},
    facts={"history": [1, 2]},
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(MANIFEST.text())
    assert Manifest.read(tmp_path / "model.json") == MANIFEST
    assert MANIFEST.accuracy == 0.5


def test_a_fits_manifest_is_read_and_written_to_the_same_bytes(fitted: Path) -> None:
    path = fitted / "build" / "model.json"
    assert Manifest.read(path).text() == path.read_text()


def test_an_accuracy_that_nobody_measured_is_none() -> None:
    content = json.loads(MANIFEST.text()) | {"metrics": {"test": None}}
    assert Manifest.parse(json.dumps(content).encode(), "model.json").accuracy is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 2}, "schema 2; this version reads schema 1"),
        ({"artifact": {"location": "x", "size": 1}}, "'sha256' is missing"),
        ({"artifact": {"location": "x", "size": 1, "sha256": "abc"}}, "artifact.sha256 is 'abc'"),
        ({"artifact": {"location": "x", "size": "big", "sha256": "0" * 64}}, "big"),
        ({"artifact": {"location": "x", "size": float("inf"), "sha256": "0" * 64}}, "infinity"),
        ({"artifact": None}, "not a manifest"),
        ({"model": {"temperature": "warm"}}, "temperature is 'warm'"),
        ({"model": {"temperature": 0}}, "temperature is 0"),
        ({"weights": {"sha256": 3}}, "weights.sha256"),
        ({"weights": 3}, "not a manifest"),
        ({"classes": [{"name": "1.Cat"}]}, "'label' is missing"),
        ({"classes": 3}, "not a manifest"),
        ({"metrics": {"test": {"accuracy": 7}}}, "accuracy is 7"),
        ({"metrics": {"test": {}}}, "'accuracy' is missing"),
        ({"metrics": None}, "not a manifest"),
    ],
)
def test_what_is_no_manifest_is_refused_in_one_line(change: dict[str, object], reason: str) -> None:
    content = json.loads(MANIFEST.text()) | change
    with pytest.raises(TrainingError, match=re.escape(reason)) as caught:
        Manifest.parse(json.dumps(content).encode(), "model.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{}", b"\xff", b"[" * 100_000])
def test_other_bytes_are_no_manifest(content: bytes) -> None:
    with pytest.raises(TrainingError, match="is not a manifest"):
        Manifest.parse(content, "model.json")
