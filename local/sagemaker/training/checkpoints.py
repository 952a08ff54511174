"""A job's checkpoints: from S3 into the container when it starts, and back for as long as it runs.

SageMaker guide, "Checkpoints in Amazon SageMaker AI": what lies in S3 is copied into the container at the start, what
the container writes is copied to S3, what it deletes is deleted in S3, and what others add to S3 meanwhile is not
fetched. All hosts of a job share one prefix, so a file that two of them write is whoever wrote it last.
"""

from pathlib import Path
from typing import Any

from local.core.aws_errors import translate_failures
from local.core.errors import JobError
from local.core.s3_objects import list_objects, split_uri, upload_object
from local.sagemaker.training.channels import download_prefix

Signature = tuple[int, int, int]
"""Time of change in nanoseconds, size in bytes and inode of a file: a file that was replaced differs."""


class Checkpoints:
    """Keeps the hosts' local folders and one prefix of S3 alike.

    Parameters
    ----------
    s3
        Client that holds the job's role.
    uri
        ``CheckpointConfig.S3Uri``.
    folders
        The local path on each host.
    """

    def __init__(self, s3: Any, uri: str, folders: list[Path]) -> None:
        self._s3 = s3
        self._bucket, key = split_uri(uri)
        self._prefix = key if not key or key.endswith("/") else f"{key}/"
        self._uri = f"s3://{self._bucket}/{self._prefix}"
        self._folders: dict[Path, dict[str, Signature]] = {folder: {} for folder in folders}

    def restore(self) -> None:
        """Copy what lies in S3 to every host.

        Raises
        ------
        JobError
            The role may not.
        """
        failure = f"ClientError: Checkpoint download failed from {self._uri}"
        with translate_failures(lambda words: JobError(f"{failure}: {words}")):
            keys = list_objects(self._s3, self._uri)
            for folder in self._folders:
                download_prefix(self._s3, self._uri, keys, folder)
                self._folders[folder] = _survey(folder)

    def push(self) -> None:
        """Copy to S3 what has changed on a host since the last call, and delete what is gone.

        Raises
        ------
        JobError
            The role may not.
        """
        failure = f"ClientError: Checkpoint upload failed to {self._uri}"
        with translate_failures(lambda words: JobError(f"{failure}: {words}")):
            for folder, pushed in self._folders.items():
                files = _survey(folder)
                for name in sorted(name for name, signature in files.items() if pushed.get(name) != signature):
                    self._upload(folder, name)
                for name in pushed.keys() - files.keys():
                    self._s3.delete_object(Bucket=self._bucket, Key=f"{self._prefix}{name}")
                self._folders[folder] = files

    def _upload(self, folder: Path, name: str) -> None:
        try:
            content = (folder / name).open("rb")
        except FileNotFoundError:
            return  # deleted since the survey; the next one sees that
        with content:
            upload_object(self._s3, f"{self._uri}{name}", content)


def _survey(folder: Path) -> dict[str, Signature]:
    files = {}
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if path.is_file():
            files[path.relative_to(folder).as_posix()] = (status.st_mtime_ns, status.st_size, status.st_ino)
    return files
