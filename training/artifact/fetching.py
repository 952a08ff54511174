"""The archive that somebody means, here, with the manifest that is about it if there is one."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from training.artifact.archive import MOST_BYTES
from training.artifact.manifest import Manifest
from training.common.errors import TrainingError

ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>\S+\.tar\.gz)")
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
    """Return what a manifest beside an archive may be called: ``launch`` names both after the archive's hash."""
    return f"{archive.removesuffix('.tar.gz')}.json", "model.json"


def _download(address: str, work: Path) -> Artifact:
    match = ADDRESS.fullmatch(address)
    if not match:
        raise TrainingError(f"{address} is not an artifact's address; use s3://BUCKET/KEY.tar.gz")
    from training.common.aws import Aws, explained  # boto3, which nothing else here needs

    s3, bucket, key = Aws().s3, match["bucket"], match["key"]
    archive = work / "model.tar.gz"
    with explained():
        try:
            answer = s3.get_object(Bucket=bucket, Key=key)
        except s3.exceptions.NoSuchKey:
            raise TrainingError(f"{address}: there is no such object") from None
        if answer["ContentLength"] > min(MOST_BYTES, shutil.disk_usage(work).free):
            raise TrainingError(
                f"{address} has {answer['ContentLength'] / 1e9:.1f} GB, which is no artifact or no room"
            )
        with archive.open("wb") as file:
            for block in answer["Body"].iter_chunks(1 << 20):
                file.write(block)
        folder, slash, name = key.rpartition("/")
        for beside in (f"{folder}{slash}{each}" for each in _names(name)):
            try:
                found = s3.get_object(Bucket=bucket, Key=beside)
            except s3.exceptions.ClientError:  # without the right to list, what is missing is denied
                continue
            source = f"s3://{bucket}/{beside}"
            manifest = Manifest.parse(found["Body"].read(MOST_MANIFEST_BYTES), source)
            return Artifact(archive, manifest, source)
    return Artifact(archive, None, None)
