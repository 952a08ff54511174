"""The archive that somebody means, here, with the manifest that is about it if there is one."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from training.artifact.archive import MOST_BYTES
from training.artifact.manifest import Manifest
from training.common.errors import TrainingError

if TYPE_CHECKING:
    from training.common.s3 import Bucket

KEY = re.compile(r"\S+\.tar\.gz")
"""Of an artifact in S3."""

MOST_MANIFEST_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class Artifact:
    """What is to be checked: where the manifest came from is for people; None if there is none."""

    archive: Path
    manifest: Manifest | None
    manifest_source: str | None


def find(location: str, work: Path) -> Artifact:
    """Return the artifact at a path, an S3 address, or the one that a manifest names.

    Parameters
    ----------
    work
        An empty folder for what is downloaded.

    Raises
    ------
    TrainingError
        There is none, or AWS does not let us.
    """
    if location.startswith("s3://"):
        return _download(location, work)
    path = Path(location)
    if not path.is_file():
        raise TrainingError(
            f"{path}: there is no such file; give a model.tar.gz, a model.json or s3://BUCKET/KEY.tar.gz"
        )
    if path.suffix == ".json":
        manifest = Manifest.read(path)
        where = manifest.archive.location
        there = _download(where, work).archive if where.startswith("s3://") else path.parent / where
        if not there.is_file():
            raise TrainingError(f"{there}, which {path} names, is not there")
        return Artifact(there, manifest, str(path))
    for name in _names(path.name):
        beside = path.with_name(name)
        if beside.is_file() and (manifest := Manifest.read(beside)).archive.location.rpartition("/")[2] == path.name:
            return Artifact(path, manifest, str(beside))
    return Artifact(path, None, None)


def _names(archive: str) -> tuple[str, str]:
    """Return what a manifest beside an archive may be called: ``launch`` names both after the archive's hash.

    Parameters
    ----------
    archive
        Its name, or its key in S3.
    """
    folder, slash, name = archive.rpartition("/")
    return f"{folder}{slash}{name.removesuffix('.tar.gz')}.json", f"{folder}{slash}model.json"


def _download(location: str, work: Path) -> Artifact:
    from training.common.aws import Aws  # boto3, which nothing else here needs
    from training.common.aws_errors import explained
    from training.common.s3 import parse

    address = parse(location)
    if not address or not KEY.fullmatch(address.key):
        raise TrainingError(f"{location} is not an artifact's address; use s3://BUCKET/KEY.tar.gz")
    archive = work / "model.tar.gz"
    with explained():
        bucket = Aws().bucket(address.bucket)
        _download_archive(bucket, address.key, archive)
        for name in _names(address.key):
            if (content := _manifest_content(bucket, name)) is not None:
                source = bucket.uri(name)
                return Artifact(archive, Manifest.parse(content, source), source)
    return Artifact(archive, None, None)


def _download_archive(bucket: "Bucket", key: str, path: Path) -> None:
    from training.common.s3 import save

    try:
        answer = bucket.open(key)
    except bucket.client.exceptions.NoSuchKey:
        raise TrainingError(f"{bucket.uri(key)}: there is no such object") from None
    size = answer["ContentLength"]
    if size > min(MOST_BYTES, shutil.disk_usage(path.parent).free):
        raise TrainingError(f"{bucket.uri(key)} has {size / 1e9:.1f} GB, which is no artifact or no room")
    save(answer["Body"], path)


def _manifest_content(bucket: "Bucket", key: str) -> bytes | None:
    try:
        return bucket.open(key)["Body"].read(MOST_MANIFEST_BYTES)
    except bucket.client.exceptions.ClientError:  # without the right to list, what is missing is denied
        return None
