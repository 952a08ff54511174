"""Where S3's objects lie in a channel."""

from pathlib import Path

import pytest

from local.core.errors import JobError
from local.sagemaker.training.channels import download_prefix, relative_path
from tests.local.sagemaker.endpoint.test_artifact import FakeS3


@pytest.mark.parametrize(
    ("prefix", "key", "path"),
    [
        ("data/train", "data/train/a/1.png", "a/1.png"),
        ("data/train/", "data/train/a/1.png", "a/1.png"),
        ("", "a/1.png", "a/1.png"),
        ("data/weights.safetensors", "data/weights.safetensors", "weights.safetensors"),
        ("data/tra", "data/train/1.png", "train/1.png"),
    ],
)
def test_a_channel_begins_below_the_last_whole_folder_of_its_prefix(prefix: str, key: str, path: str) -> None:
    assert relative_path(key, prefix) == path


def test_objects_are_files_of_their_channel(tmp_path: Path) -> None:
    download_prefix(FakeS3(b"pixels"), "s3://b/data", ["data/a/1.png", "data/2.png"], tmp_path / "train")
    assert (tmp_path / "train/a/1.png").read_bytes() == b"pixels"
    assert (tmp_path / "train/2.png").exists()


@pytest.mark.parametrize("key", ["data/../../outside", "data//etc/passwd"])
def test_no_object_leaves_its_channel(tmp_path: Path, key: str) -> None:
    with pytest.raises(JobError, match="cannot be a file of a channel"):
        download_prefix(FakeS3(b""), "s3://b/data", [key], tmp_path / "train")
    assert not (tmp_path / "outside").exists()
