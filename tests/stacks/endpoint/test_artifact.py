import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stacks.common.version import VERSION
from stacks.endpoint.artifact import load_artifact
from stacks.settings.errors import ConfigurationError


@pytest.fixture
def manifest(tmp_path: Path, write_artifact: Callable[..., Path]) -> Path:
    return write_artifact(tmp_path, accuracy=0.93)


def edit(manifest: Path, section: str, **fields: Any) -> None:
    data = json.loads(manifest.read_text())
    data[section] |= fields
    manifest.write_text(json.dumps(data))


def test_an_artifact_above_the_gate_is_located_beside_its_manifest(manifest: Path) -> None:
    artifact = load_artifact(manifest, minimum_accuracy=0.93)
    assert artifact.path == manifest.parent / "model.tar.gz"
    assert artifact.bucket is None


def test_without_a_manifest_the_message_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no model artifact yet; run `./kennel fit"):
        load_artifact(tmp_path / "model.json", minimum_accuracy=0.9)


def test_a_model_below_the_gate_is_refused_with_both_numbers(manifest: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"0\.9300 is below model\.minimum_accuracy = 0\.95"):
        load_artifact(manifest, minimum_accuracy=0.95)


def test_changed_bytes_are_refused(manifest: Path) -> None:
    (manifest.parent / "model.tar.gz").write_bytes(b"another model")
    with pytest.raises(ConfigurationError, match="use the manifest that was written with this artifact"):
        load_artifact(manifest, minimum_accuracy=0.9)


def test_a_missing_archive_is_refused(manifest: Path) -> None:
    (manifest.parent / "model.tar.gz").unlink()
    with pytest.raises(ConfigurationError, match="does not exist"):
        load_artifact(manifest, minimum_accuracy=0.9)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "{}", '{"schema": "x"}', '{"schema": 1, "artifact": {"location": "x"}}']
)
def test_a_manifest_of_another_form_is_refused_in_one_line(manifest: Path, text: str) -> None:
    manifest.write_text(text)
    with pytest.raises(ConfigurationError, match="not a valid manifest") as caught:
        load_artifact(manifest, minimum_accuracy=0.9)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("versions", "writer"),
    [
        ({"kennel": "9.1.0"}, "Kennel 9.1.0"),
        ({"kennel": "9\n" * 5000}, "Kennel '9"),
        ({"kennel": 9}, "Kennel 9"),
        ({"torch": "2.13.0"}, "an unknown version of Kennel"),
        (None, "an unknown version of Kennel"),
        (["9.1.0"], "an unknown version of Kennel"),
    ],
)
def test_another_schema_is_refused_with_both_versions_and_what_to_do(
    manifest: Path, versions: object, writer: str
) -> None:
    manifest.write_text(json.dumps({"schema": 2, "versions": versions}))  # and whatever else that schema has
    with pytest.raises(ConfigurationError) as caught:
        load_artifact(manifest, minimum_accuracy=0.9)
    message = str(caught.value)
    assert f": {writer}" in message
    assert f" wrote it with schema 2, but Kennel {VERSION} reads schema 1: use the version that wrote it, or run `" in (
        message
    )
    assert message.isprintable()
    assert len(message) < 700 + len(str(manifest))


@pytest.mark.parametrize("versions", [None, {}, {"kennel": "0.1.0"}, {"kennel": "99.0.0"}, {"kennel": 3}, 3])
def test_another_version_of_kennel_alone_refuses_no_artifact(manifest: Path, versions: object) -> None:
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content if versions is None else content | {"versions": versions}))
    assert load_artifact(manifest, minimum_accuracy=0.9).path == manifest.parent / "model.tar.gz"


def test_a_manifest_may_name_an_archive_in_s3(manifest: Path) -> None:
    edit(manifest, "artifact", location="s3://photos-bucket/models/7/model.tar.gz")
    artifact = load_artifact(manifest, minimum_accuracy=0.9)
    assert (artifact.path, artifact.bucket, artifact.key) == (None, "photos-bucket", "models/7/model.tar.gz")


def test_a_given_location_replaces_the_manifests_own(manifest: Path) -> None:
    artifact = load_artifact(manifest, minimum_accuracy=0.9, location="s3://other-bucket/model.tar.gz")
    assert artifact.bucket == "other-bucket"


@pytest.mark.parametrize(
    ("named", "location"),
    [
        ("model.tar.gz", f"s3://bucket/models/{'0' * 64}.tar.gz"),
        ("s3://bucket/models/7/model.tar.gz", "s3://bucket/models/8/model.tar.gz"),
    ],
)
def test_the_manifest_of_another_artifact_is_refused_as_far_as_the_address_tells(
    manifest: Path, named: str, location: str
) -> None:
    edit(manifest, "artifact", location=named)
    with pytest.raises(ConfigurationError, match=r"may not be the one at s3://bucket/models/.*make rollback"):
        load_artifact(manifest, minimum_accuracy=0.9, location=location)


def test_the_manifest_of_the_last_training_is_not_taken_for_any_artifact(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stacks.endpoint.artifact.MANIFEST", manifest)
    with pytest.raises(ConfigurationError, match=r"may not be the one at s3://bucket/model\.tar\.gz"):
        load_artifact(minimum_accuracy=0.9, location="s3://bucket/model.tar.gz")
    sha256 = json.loads(manifest.read_text())["artifact"]["sha256"]
    key = f"models/{sha256}.tar.gz"
    assert load_artifact(minimum_accuracy=0.9, location=f"s3://bucket/{key}").key == key


@pytest.mark.parametrize("location", ["s3://b/model.tar.gz", "s3://bucket/model.zip", "s3://bucket"])
def test_an_address_that_is_no_archive_in_s3_is_refused(manifest: Path, location: str) -> None:
    with pytest.raises(ConfigurationError, match=r"use s3://BUCKET/KEY\.tar\.gz"):
        load_artifact(manifest, minimum_accuracy=0.9, location=location)


ODD = [
    "",
    "model\n.json",
    "model\0.json",
    "m" * 5000,
    "a/" * 3000,
    "../nothing",
    "s3://bucket/a b.tar.gz\n",
    "\x1b[31m",
    ".",
]


@pytest.mark.parametrize("path", ODD, ids=range(len(ODD)))
def test_a_path_that_is_no_manifest_is_refused_in_one_short_line(path: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_artifact(Path(path), minimum_accuracy=0.9)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("location", ODD, ids=range(len(ODD)))
def test_a_place_that_holds_no_artifact_is_refused_in_one_short_line(manifest: Path, location: str) -> None:
    for given in (location, None):
        edit(manifest, "artifact", location=location)
        with pytest.raises(ConfigurationError) as caught:
            load_artifact(manifest, minimum_accuracy=0.9, location=given)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 500 + len(str(manifest.parent))


def test_a_model_whose_accuracy_nobody_measured_is_refused_and_told_how_to_measure_it(manifest: Path) -> None:
    edit(manifest, "metrics", test=None)
    with pytest.raises(ConfigurationError, match=r"test accuracy is unknown: .*--data DIR"):
        load_artifact(manifest, minimum_accuracy=0)
