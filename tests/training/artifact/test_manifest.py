import json
import re
from pathlib import Path

import pytest

from training.artifact.manifest import Archive, Manifest
from training.common.errors import TrainingError
from training.common.version import VERSION

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


@pytest.mark.parametrize(
    ("versions", "writer"),
    [
        ({"kennel": "9.1.0"}, "Kennel 9.1.0"),
        ({"torch": "2.13.0"}, "an unknown version of Kennel"),
        (None, "an unknown version of Kennel"),
        (["9.1.0"], "an unknown version of Kennel"),
    ],
)
def test_another_schema_is_refused_with_both_versions_and_what_to_do(versions: object, writer: str) -> None:
    content = {"schema": 2, "versions": versions}  # and whatever else that schema has
    with pytest.raises(TrainingError) as caught:
        Manifest.parse(json.dumps(content).encode(), "build/model.json")
    assert str(caught.value) == (
        f"build/model.json has schema 2 of {writer}, and Kennel {VERSION} reads schema 1; use the version "
        "that wrote it, or train a model with this one (`./kennel fit --data DIR`)"
    )


def test_the_message_about_another_schema_is_short_whatever_the_manifest_says() -> None:
    with pytest.raises(TrainingError) as caught:
        Manifest.parse(json.dumps({"schema": "9" * 5000, "versions": {"kennel": "9" * 5000}}).encode(), "model.json")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "versions", [None, {"torch": "2.13.0"}, {"kennel": "0.1.0"}, {"kennel": "99.0.0"}, {"kennel": 3}]
)
def test_a_manifest_of_this_schema_is_read_whichever_version_wrote_it(versions: object) -> None:
    content = json.loads(MANIFEST.text()) | ({} if versions is None else {"versions": versions})
    assert Manifest.parse(json.dumps(content).encode(), "model.json").accuracy == 0.5


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{}", b"\xff", b"[" * 100_000])
def test_other_bytes_are_no_manifest(content: bytes) -> None:
    with pytest.raises(TrainingError, match="is not a manifest"):
        Manifest.parse(content, "model.json")
