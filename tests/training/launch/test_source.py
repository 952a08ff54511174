"""The archive of the code."""

import io
import tarfile

from tests.training.launch.fakes import SITE, FakeS3, aws_with
from training.launch.source import members, pack, upload_source


def test_the_same_files_give_the_same_bytes() -> None:
    files = {"b": b"2", "a": b"1"}
    assert pack(files) == pack(dict(reversed(files.items())))


def test_the_archive_is_laid_out_as_the_toolkit_wants_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(pack(members()))) as tar:
        names = set(tar.getnames())
        requirements = tar.extractfile("requirements.txt")
        assert requirements is not None
        pins = requirements.read().decode().splitlines()
    assert {
        "VERSION",
        "job.py",
        "training/__main__.py",
        "training/serving/inference.py",
        "training/launch/remote/user-data.sh",
    } <= names
    assert "training/job.py" not in names
    assert not any("__pycache__" in name for name in names)
    assert any(name.startswith("wheels/python3.13-") and "onnxruntime" in name for name in names)
    assert any(pin.startswith("onnx==") for pin in pins)
    assert not any(pin.startswith(("-c", "#", "scikit-learn")) for pin in pins), "pip would look for a file, or more"


def test_the_same_code_is_uploaded_once() -> None:
    s3 = FakeS3()
    first = upload_source(aws_with(s3=s3), SITE)
    assert upload_source(aws_with(s3=s3), SITE) == first
    assert s3.calls == [("put", first)]
