"""Prefixes of S3 as folders of an instance."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from training.common.aws import CONNECTIONS
from training.common.errors import TrainingError
from training.launch.places import split

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def fetch(s3: "S3Client", uri: str, folder: Path) -> int:
    """Download everything under a prefix that ends with a slash; return how many files that were.

    Raises
    ------
    TrainingError
        A key leads out of the folder.
    """
    bucket, prefix = split(uri)
    names = [key.removeprefix(prefix) for key in _keys(s3, bucket, prefix)]
    names = [name for name in names if name and not name.endswith("/")]

    def download(name: str) -> None:
        target = folder / name
        if not target.resolve().is_relative_to(folder.resolve()):
            raise TrainingError(f"s3://{bucket}/{prefix}{name} cannot be a file of a folder; remove it")
        target.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, prefix + name, str(target))

    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(download, names))
    return len(names)


def push(s3: "S3Client", folder: Path, uri: str) -> None:
    """Make a prefix hold the checkpoints of a folder, whose names change with their content, and no others."""
    bucket, prefix = split(uri)
    here = {path.name: path for path in folder.glob("checkpoint-*")}
    there = {key.removeprefix(prefix) for key in _keys(s3, bucket, prefix)}
    for name in sorted(here.keys() - there):
        try:
            s3.upload_file(str(here[name]), bucket, prefix + name)
        except FileNotFoundError:
            continue  # a newer one has taken its place meanwhile
    for name in sorted(there - here.keys()):
        s3.delete_object(Bucket=bucket, Key=prefix + name)


def _keys(s3: "S3Client", bucket: str, prefix: str) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [each["Key"] for page in pages for each in page.get("Contents", [])]
