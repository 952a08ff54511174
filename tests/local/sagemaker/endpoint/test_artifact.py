import io
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from local.core.errors import InstanceError
from local.sagemaker.endpoint.artifact import install_artifact
from tests.local.harness import artifact

URL = "s3://bucket/path/model.tar.gz"


class FakeS3:
    """Answers GetObject with some bytes, slowly if it is told to."""

    def __init__(self, content: bytes, delay: float = 0) -> None:
        self.content, self.delay = content, delay
        self.asked: dict[str, str] = {}

    def get_object(self, **asked: str) -> dict[str, Any]:
        self.asked = asked
        time.sleep(self.delay)
        return {"Body": StreamingBody(io.BytesIO(self.content), len(self.content))}


def archive(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"0" * member.size))
    return buffer.getvalue()


def file(name: str, size: int = 1) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    return member


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "instance" / "model"
    directory.mkdir(parents=True)
    return directory


def test_an_artifact_is_downloaded_and_unpacked(model: Path) -> None:
    s3 = FakeS3(artifact("one"))
    install_artifact(s3, URL, model, 10)
    assert s3.asked == {"Bucket": "bucket", "Key": "path/model.tar.gz"}
    assert (model / "name").read_text() == "one"
    assert (model / "code" / "server.py").is_file()
    assert [path.name for path in model.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("member", [file("../outside"), link("code", "/etc"), link("code", "../..")])
def test_an_artifact_that_reaches_outside_its_directory_is_refused(model: Path, member: tarfile.TarInfo) -> None:
    with pytest.raises(InstanceError, match="Failed to extract model data archive"):
        install_artifact(FakeS3(archive(member)), URL, model, 10)
    assert not (model.parent / "outside").exists()
    assert not (model / "code").is_symlink()


@pytest.mark.parametrize("content", [b"", b"not an archive", artifact("one")[:-40], artifact("one")[40:]])
def test_what_is_no_whole_archive_is_refused_with_the_url(model: Path, content: bytes) -> None:
    with pytest.raises(InstanceError, match=f'Failed to extract model data archive from URL "{URL}"'):
        install_artifact(FakeS3(content), URL, model, 10)


def test_a_refused_download_says_so_in_sagemaker_s_words_and_gives_the_cause(model: Path) -> None:
    class Denying(FakeS3):
        def get_object(self, **asked: str) -> dict[str, Any]:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no policy allows it"}}, "GetObject")

    with pytest.raises(InstanceError, match=r"has permissions to download the model.*no policy allows it"):
        install_artifact(Denying(b""), URL, model, 10)


def test_the_download_timeout_is_kept_and_named(model: Path) -> None:
    with pytest.raises(InstanceError, match="ModelDataDownloadTimeoutInSeconds"):
        install_artifact(FakeS3(artifact("one"), delay=0.02), URL, model, 0.01)
