import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest

from tests.embedded import Aws, environment_of, free_port, run_local
from training.artifact.fetching import find
from training.artifact.manifest import Archive, Manifest
from training.common.errors import TrainingError

Run = Callable[..., tuple[int, str, str]]
BUCKET = "models-of-dogs"


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory, fitted: Path) -> Iterator[Aws]:
    """Have an archive in a bucket, with its manifest under the name that ``launch`` gives it, and one alone."""
    state = tmp_path_factory.mktemp("embedded") / "state"
    up = run_local("up", "--state", state, "--port", str(free_port()))
    assert up.returncode == 0, up.stdout + up.stderr
    try:
        aws = Aws(environment_of(state))
        aws.s3.create_bucket(Bucket=BUCKET)
        for key, name in {"models/abc.tar.gz": "model.tar.gz", "models/abc.json": "model.json"}.items():
            aws.s3.put_object(Bucket=BUCKET, Key=key, Body=(fitted / "build" / name).read_bytes())
        aws.s3.put_object(Bucket=BUCKET, Key="alone/model.tar.gz", Body=b"archive")
        aws.s3.put_object(Bucket=BUCKET, Key="pair/model.tar.gz", Body=b"archive")
        aws.s3.put_object(Bucket=BUCKET, Key="pair/model.json", Body=b"{}")
        yield aws
    finally:
        run_local("down", "--state", state)


@pytest.fixture(autouse=True)
def ambient(embedded: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in embedded.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


def test_an_archive_in_s3_passes_every_check_with_the_manifest_beside_it(run: Run) -> None:
    status, output, errors = run("verify", f"s3://{BUCKET}/models/abc.tar.gz")
    assert (status, errors) == (0, "")
    assert output.splitlines()[-1].startswith(f"Manifest    s3://{BUCKET}/models/abc.json: the same hash")


def test_a_manifest_here_may_name_an_archive_in_s3(fitted: Path, tmp_path: Path) -> None:
    known = Manifest.read(fitted / "build" / "model.json")
    archive = Archive(f"s3://{BUCKET}/models/abc.tar.gz", known.archive.sha256, known.archive.size)
    path = tmp_path / "model.json"
    path.write_text(Manifest(archive, known.model, known.input, known.classes, known.metrics).text())
    found = find(str(path), tmp_path)
    assert found.archive.read_bytes() == (fitted / "build" / "model.tar.gz").read_bytes()
    assert found.manifest_source == str(path)


def test_an_archive_in_s3_may_be_alone(tmp_path: Path) -> None:
    found = find(f"s3://{BUCKET}/alone/model.tar.gz", tmp_path)
    assert (found.archive.read_bytes(), found.manifest) == (b"archive", None)


def test_a_bad_manifest_beside_an_archive_in_s3_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=f"s3://{BUCKET}/pair/model.json is not a manifest"):
        find(f"s3://{BUCKET}/pair/model.tar.gz", tmp_path)


@pytest.mark.parametrize("address", [f"s3://{BUCKET}/none.tar.gz", "s3://nobodys-bucket/model.tar.gz"])
def test_what_is_not_in_s3_is_one_line(run: Run, address: str) -> None:
    status, _, errors = run("verify", address)
    assert status == 2
    assert len(errors.splitlines()) == 1


def test_both_may_have_the_names_that_they_had_in_s3(fitted: Path, tmp_path: Path) -> None:
    text = (fitted / "build" / "model.json").read_text().replace("model.tar.gz", f"s3://{BUCKET}/models/abc.tar.gz")
    (tmp_path / "abc.json").write_text(text)
    (tmp_path / "abc.tar.gz").write_bytes(b"archive")
    assert find(str(tmp_path / "abc.tar.gz"), tmp_path).manifest_source == str(tmp_path / "abc.json")


def test_a_manifest_about_something_else_is_left_aside(fitted: Path, tmp_path: Path) -> None:
    shutil.copy(fitted / "build" / "model.json", tmp_path / "model.json")
    (tmp_path / "older.tar.gz").write_bytes(b"archive")
    assert find(str(tmp_path / "older.tar.gz"), tmp_path).manifest is None
