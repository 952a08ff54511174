"""Input channels: what a job's role reads from S3 before the container starts."""

import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from local.core.aws_errors import translate_failures
from local.core.errors import JobError
from local.core.s3_objects import download_object, list_objects, split_uri

DOWNLOADS = 8
"""Objects that are downloaded at the same time."""


def relative_path(key: str, prefix: str) -> str:
    """Return where an object lies inside its channel: below the prefix's last whole folder.

    The prefix ``data/train`` and the prefix ``data/train/`` both put ``data/train/a/1.png`` at ``a/1.png``; an object
    that the prefix names whole keeps its file name.

    Parameters
    ----------
    key
        The object's, which begins with the prefix.
    prefix
        The channel's, without the bucket.
    """
    folder = prefix if prefix.endswith("/") or not prefix else f"{prefix}/"
    return key[len(folder) :] if key.startswith(folder) else key[prefix.rfind("/") + 1 :]


def download_prefix(s3: Any, uri: str, keys: list[str], directory: Path) -> None:
    """Download objects of a prefix into a directory.

    Parameters
    ----------
    s3
        A client.
    uri
        ``s3://bucket/prefix``.
    keys
        Of the objects, all below the prefix.

    Raises
    ------
    ClientError, BotoCoreError
        S3 refuses one of them.
    JobError
        A key leads out of the directory.
    """
    bucket, prefix = split_uri(uri)

    def download(key: str) -> None:
        path = PurePosixPath(relative_path(key, prefix))
        if ".." in path.parts or path.is_absolute():
            raise JobError(f"ClientError: Data download failed:Object key {key!r} cannot be a file of a channel.")
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            download_object(s3, bucket, key, file)

    directory.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(DOWNLOADS) as pool:
        for outcome in [pool.submit(download, key) for key in keys]:
            outcome.result()


def download_channel(s3: Any, channel: Mapping[str, Any], directories: list[Path], role: str) -> None:
    """Download a channel for every host: all of it, or with ``ShardedByS3Key`` every n-th object.

    Parameters
    ----------
    s3
        Client that holds the job's role.
    channel
        A ``Channel`` of InputDataConfig.
    directories
        ``/opt/ml/input/data`` of each host.
    role
        ARN of the job's role, which a refusal names.

    Raises
    ------
    JobError
        The role may not list or read, or there is nothing; the words are SageMaker's where they are known.
    """
    source = channel["DataSource"]["S3DataSource"]
    uri, name = str(source["S3Uri"]), str(channel["ChannelName"])
    failure = (
        f"ClientError: Data download failed:Failed to download data from {uri}. Please ensure that the role "
        f'"{role}" has "s3:ListBucket" and "s3:GetObject" permissions there.'
    )
    with translate_failures(lambda words: JobError(f"{failure} {words}")):
        keys = list_objects(s3, uri)
        if not keys:
            raise JobError(f'ClientError: Data download failed:No S3 objects found under S3 URL "{uri}".')
        if source.get("S3DataDistributionType") == "ShardedByS3Key":
            for host, directory in enumerate(directories):
                download_prefix(s3, uri, keys[host :: len(directories)], directory / name)
            return
        download_prefix(s3, uri, keys, directories[0] / name)
    for directory in directories[1:]:
        shutil.copytree(directories[0] / name, directory / name)
