"""Prefixes of S3 as folders of an instance."""

from pathlib import Path

from training.common.aws import Aws
from training.common.errors import TrainingError
from training.common.s3 import CONNECTIONS, split
from training.common.threads import in_threads


def fetch(aws: Aws, uri: str, folder: Path) -> int:
    """Download everything under a prefix that ends with a slash; return how many files that were.

    Parameters
    ----------
    uri
        ``s3://BUCKET/PREFIX/``.
    folder
        Is made if need be.

    Raises
    ------
    TrainingError
        A key leads out of the folder.
    """
    source = split(uri)
    bucket = aws.bucket(source.bucket)
    names = [listed.key.removeprefix(source.key) for listed in bucket.objects(source.key)]
    names = [name for name in names if name and not name.endswith("/")]

    def download(name: str) -> None:
        target = folder / name
        if not target.resolve().is_relative_to(folder.resolve()):
            raise TrainingError(f"{source}{name} cannot be a file of a folder; remove it")
        target.parent.mkdir(parents=True, exist_ok=True)
        bucket.download(source.key + name, target)

    folder.mkdir(parents=True, exist_ok=True)
    in_threads(download, names, threads=CONNECTIONS)
    return len(names)


def push(aws: Aws, folder: Path, uri: str) -> None:
    """Make a prefix hold the checkpoints of a folder, whose names change with their content, and no others.

    Parameters
    ----------
    folder
        Has the checkpoints as ``checkpoint-*``.
    uri
        ``s3://BUCKET/PREFIX/``.
    """
    target = split(uri)
    bucket = aws.bucket(target.bucket)
    here = {path.name: path for path in folder.glob("checkpoint-*")}
    there = {listed.key.removeprefix(target.key) for listed in bucket.objects(target.key)}
    for name in sorted(here.keys() - there):
        try:
            bucket.upload(here[name], target.key + name)
        except FileNotFoundError:
            continue  # a newer one has taken its place meanwhile
    for name in sorted(there - here.keys()):
        bucket.delete(target.key + name)
