"""A model artifact's way from S3 into an instance: download and unpack, as SageMaker does before a container runs."""

import tarfile
import tempfile
import time
import zlib
from pathlib import Path
from typing import IO, Any

from local.core.aws_errors import translate_failures
from local.core.errors import InstanceError
from local.core.s3_objects import download_object, split_uri
from local.sagemaker.endpoint.extraction import extract


def install_artifact(s3: Any, url: str, directory: Path, timeout: float) -> None:
    """Download a ``.tar.gz`` and unpack it into a directory.

    Parameters
    ----------
    s3
        Client that holds the model's execution role.
    url
        ``s3://bucket/key``.
    directory
        Which exists; the archive itself is kept beside it meanwhile.
    timeout
        Seconds for both, ``ModelDataDownloadTimeoutInSeconds``.

    Raises
    ------
    InstanceError
        The role may not read the object, it is not there, it is no archive, or it took too long; the texts are
        SageMaker's, followed by the cause.
    """
    deadline = time.monotonic() + timeout
    with tempfile.TemporaryFile(dir=directory.parent) as archive:
        with translate_failures(lambda words: InstanceError(_download_failure(url, words))):
            download_object(s3, *split_uri(url), archive, lambda: _check(deadline, url))
        archive.seek(0)
        try:
            _unpack(archive, directory, deadline)
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise InstanceError(
                f'Failed to extract model data archive from URL "{url}". Please ensure that the object located at '
                f"the URL is a valid tar.gz archive. ({error})"
            ) from error


def _download_failure(url: str, words: str) -> str:
    return (
        f'Failed to download model data for container "container_1" from URL: "{url}". Please ensure that '
        "there is an object located at the URL and that the role passed to CreateModel has permissions to "
        f"download the model. ({words})"
    )


def _unpack(archive: IO[bytes], directory: Path, deadline: float) -> None:
    with tarfile.open(fileobj=archive, mode="r:gz") as members:
        for member in members:
            extract(members, member, directory)
            _check(deadline, member.name)


def _check(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise InstanceError(
            f"Timed out while downloading and extracting model data ({what}); raise "
            "ModelDataDownloadTimeoutInSeconds of the production variant or make the artifact smaller."
        )
