"""What a job takes along from here beside the photos: its code, and a file of weights; each uploaded once."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from training.artifact.layout import pinned_requirements
from training.artifact.wheels import fetch_wheels, wheel_cache
from training.common.aws import Aws
from training.common.aws_errors import explained
from training.common.files import sha256
from training.common.s3 import Bucket
from training.launch import places
from training.launch.site import Site

PACKAGE = Path(__file__).parents[1]
ENTRY = "job.py"
"""At the archive's root, so that ``training`` is found beside it."""

VERSION = PACKAGE.with_name("VERSION")
"""Also at the archive's root, where ``training/common/version.py`` reads it."""

NOT_NEEDED = {"scikit-learn", "optuna"}
"""What no job runs: the sample photos, and the search on one machine."""

WHEELS = "wheels"
"""Folder of what the artifact carries for AWS's serving container, as ``KENNEL_CACHE`` has it."""


def members() -> dict[str, bytes]:
    """Return the archive's files by name.

    The container installs ``requirements.txt`` before the entry point runs (sagemaker-training, entry_point.py). It
    has torch and torchvision in these versions, which pip then leaves alone; what it lacks of them is ONNX, ONNX
    Runtime and safetensors. The wheels that go into the artifact travel along: a job packs the same bytes as a fit on
    this machine does, and downloads nothing for it.
    """
    files = {
        path.relative_to(PACKAGE.parent).as_posix(): path.read_bytes()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    files[ENTRY] = files.pop(f"{PACKAGE.name}/{ENTRY}")
    files[VERSION.name] = VERSION.read_bytes()
    files["requirements.txt"] = "\n".join(_requirements()).encode() + b"\n"
    cache = wheel_cache()
    for wheel in fetch_wheels(pinned_requirements(), cache):
        files[f"{WHEELS}/{wheel.relative_to(cache).as_posix()}"] = wheel.read_bytes()
    return files


def _requirements() -> Iterator[str]:
    for line in (PACKAGE / "requirements.txt").read_text().splitlines():
        pin = line.partition("#")[0].strip()
        if pin and not pin.startswith("-") and pin.partition("=")[0].strip() not in NOT_NEEDED:
            yield pin


def pack(files: dict[str, bytes]) -> bytes:
    """Return the files as ``tar.gz``; the order, times and owners are always the same.

    Parameters
    ----------
    files
        Contents by their names in the archive.
    """
    buffer = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", 6, buffer, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def upload_source(aws: Aws, site: Site) -> str:
    """Upload the code unless the bucket has it, and return its key.

    Raises
    ------
    TrainingError
        AWS refuses it, or a wheel cannot be had.
    """
    content = pack(members())
    key = f"{places.CODE}{hashlib.sha256(content).hexdigest()}.tar.gz"
    with explained():
        bucket = aws.bucket(site.bucket)
        if not bucket.exists(key):
            bucket.write(key, content)
    return key


def upload_file(bucket: Bucket, prefix: str, file: Path) -> str:
    """Upload a file under its hash, unless it is there; return its key.

    Parameters
    ----------
    prefix
        Of its key; ends with a slash.
    """
    key = f"{prefix}{sha256(file)}{file.suffix}"
    if not bucket.exists(key):
        bucket.upload(file, key)
    return key
