"""Photos into the bucket, or found there."""

from pathlib import Path

import pytest

from tests.training.launch.fakes import BUCKET, SITE, FakeS3, aws_with
from training.common.errors import TrainingError
from training.launch.photos import check_checkpoints, locate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split in ("train", "valid", "test"):
        for name in ("cat", "dog"):
            path = tmp_path / "My Pets" / split / name / "1.jpg"
            path.parent.mkdir(parents=True)
            path.write_bytes(f"{split} {name}".encode())
    return tmp_path / "My Pets"


def test_a_folder_goes_to_a_prefix_named_after_its_content(folder: Path) -> None:
    s3 = FakeS3()
    uri = locate(aws_with(s3=s3), SITE, str(folder))
    assert uri.startswith(f"s3://{BUCKET}/data/my-pets-")
    assert uri.endswith("/")
    prefix = uri.removeprefix(f"s3://{BUCKET}/")
    assert s3.objects[f"{prefix}valid/dog/1.jpg"] == b"valid dog"
    assert len(s3.objects) == 6


def test_the_same_photos_are_not_uploaded_again(folder: Path) -> None:
    s3 = FakeS3()
    uri = locate(aws_with(s3=s3), SITE, str(folder))
    s3.calls.clear()
    assert locate(aws_with(s3=s3), SITE, str(folder)) == uri
    assert s3.calls == []


def test_an_upload_that_was_interrupted_goes_on(folder: Path) -> None:
    s3 = FakeS3()
    prefix = locate(aws_with(s3=s3), SITE, str(folder)).removeprefix(f"s3://{BUCKET}/")
    del s3.objects[f"{prefix}test/cat/1.jpg"]
    s3.calls.clear()
    locate(aws_with(s3=s3), SITE, str(folder))
    assert s3.calls == [("put", f"{prefix}test/cat/1.jpg")]


def test_of_changed_photos_only_the_new_one_is_uploaded_and_the_old_data_stay(folder: Path) -> None:
    s3 = FakeS3()
    old = locate(aws_with(s3=s3), SITE, str(folder))
    s3.calls.clear()
    (folder / "train" / "cat" / "2.jpg").write_bytes(b"new")
    new = locate(aws_with(s3=s3), SITE, str(folder))
    assert new != old
    assert sorted(how for how, _ in s3.calls) == ["copy"] * 6 + ["put"]
    assert s3.objects[f"{old.removeprefix(f's3://{BUCKET}/')}train/cat/1.jpg"] == b"train cat"


def test_files_that_are_no_photos_stay_here(folder: Path) -> None:
    (folder / "train" / "cat" / "notes.txt").write_text("private")
    s3 = FakeS3()
    locate(aws_with(s3=s3), SITE, str(folder))
    assert not any(key.endswith(".txt") for key in s3.objects)


def test_what_fit_finds_is_uploaded(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.jfif").write_bytes(b"linked")
    (folder / "train" / "cat" / "linked").symlink_to(other)
    (folder / "train" / "cat" / "0d5f").write_bytes(b"\xff\xd8\xff")
    s3 = FakeS3()
    locate(aws_with(s3=s3), SITE, str(folder))
    names = {key.partition("/train/cat/")[2] for key in s3.objects} - {""}
    assert names == {"1.jpg", "0d5f", "linked/a.jfif"}


def test_folders_of_classes_that_the_job_divides_are_uploaded_as_they_are(folder: Path) -> None:
    s3 = FakeS3()
    uri = locate(aws_with(s3=s3), SITE, str(folder / "train"), None)
    assert {f"s3://{BUCKET}/{key}" for key in s3.objects} == {f"{uri}cat/1.jpg", f"{uri}dog/1.jpg"}
    assert locate(aws_with(s3=s3), SITE, uri, None) == uri


def test_without_a_test_split_none_is_looked_for(folder: Path) -> None:
    s3 = FakeS3({f"data/x/{split}/cat/1.jpg": b"" for split in ("train", "valid")})
    assert locate(aws_with(s3=s3), SITE, SITE.uri("data/x"), ("train", "valid")) == SITE.uri("data/x/")
    locate(aws_with(s3=s3), SITE, str(folder), ("train", "valid"))
    assert not any("/test/" in key for key in s3.objects)


def test_a_missing_folder_and_an_empty_split_are_told(folder: Path) -> None:
    with pytest.raises(TrainingError, match="does not exist"):
        locate(aws_with(s3=FakeS3()), SITE, str(folder / "missing"))
    (folder / "valid" / "cat" / "1.jpg").unlink()
    (folder / "valid" / "dog" / "1.jpg").unlink()
    with pytest.raises(TrainingError, match="valid has no photos in class folders"):
        locate(aws_with(s3=FakeS3()), SITE, str(folder))


@pytest.mark.parametrize("uri", ["s3://another-bucket/data/x", f"s3://{BUCKET}/models/x", f"s3://{BUCKET}", "s3://"])
def test_photos_that_a_job_may_not_read_are_refused(uri: str) -> None:
    with pytest.raises(TrainingError, match=rf"jobs of dev may read only s3://{BUCKET}/data/;"):
        locate(aws_with(s3=FakeS3()), SITE, uri)


def test_photos_in_the_bucket_are_looked_for(folder: Path) -> None:
    s3 = FakeS3({f"data/x/{split}/cat/1.jpg": b"" for split in ("train", "valid")})
    with pytest.raises(TrainingError, match=r"there are no objects under s3://.*/data/x/test/"):
        locate(aws_with(s3=s3), SITE, SITE.uri("data/x"))
    s3.objects["data/x/test/cat/1.jpg"] = b""
    assert locate(aws_with(s3=s3), SITE, SITE.uri("data/x")) == SITE.uri("data/x/")


def test_a_run_without_checkpoints_cannot_be_resumed() -> None:
    s3 = FakeS3()
    with pytest.raises(TrainingError, match="there is no checkpoint under"):
        check_checkpoints(aws_with(s3=s3), SITE, "old")
    s3.objects["training/checkpoints/old/checkpoint-1"] = b""
    check_checkpoints(aws_with(s3=s3), SITE, "old")
