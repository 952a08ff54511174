"""What a job leaves in S3: the model artifact, and further output."""

import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import ClientError

from local.core.aws_errors import translate_failures
from local.core.errors import JobError
from local.core.s3_objects import upload_object

FAST = 1
"""Level of gzip: a tenth of the default's time for a few percent more bytes of weights."""


def output_uri(job: Mapping[str, Any], name: str) -> str:
    """Return where an output of a job goes: ``S3OutputPath/JOB/output/NAME``.

    Parameters
    ----------
    job
        ``CreateTrainingJob``'s parameters.
    name
        The output's, for example ``model.tar.gz``.
    """
    return f"{job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job['TrainingJobName']}/output/{name}"


def model_uri(job: Mapping[str, Any]) -> str:
    """Return ``ModelArtifacts.S3ModelArtifacts``."""
    packed = job["OutputDataConfig"].get("CompressionType", "GZIP") == "GZIP"
    return output_uri(job, "model.tar.gz" if packed else "model/")


def require_key(kms: Any, job: Mapping[str, Any]) -> None:
    """Refuse a key for the output that the role may not encrypt with.

    Source: SageMaker guide, "SageMaker AI roles", CreateTrainingJob API. The words are not known to be AWS's.

    Parameters
    ----------
    kms
        Client that holds the job's role.
    job
        ``CreateTrainingJob``'s parameters.

    Raises
    ------
    JobError
        The role lacks ``kms:Encrypt`` on the key.
    """
    key = job["OutputDataConfig"].get("KmsKeyId")
    if not key:
        return
    try:
        kms.encrypt(KeyId=key, Plaintext=b"kennel")
    except ClientError as error:
        # The emulator below has no keys of its users': only what IAM says counts here.
        if error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException"):
            return
        raise JobError(
            f'ClientError: Artifact upload failed:Please ensure that the role "{job["RoleArn"]}" has '
            f'"kms:Encrypt" permissions on {key}. {error}'
        ) from error


def upload_outputs(s3: Any, job: Mapping[str, Any], models: list[Path], outputs: list[Path]) -> None:
    """Upload the model folders and output folders of all hosts, each kind as one; an empty one leaves nothing.

    Where two hosts wrote the same file, the first host's is taken.

    Parameters
    ----------
    s3
        Client that holds the job's role.
    job
        ``CreateTrainingJob``'s parameters.
    models, outputs
        ``/opt/ml/model`` and ``/opt/ml/output/data`` of each host.

    Raises
    ------
    JobError
        The role may not write.
    """
    for uri, folders in ((model_uri(job), models), (output_uri(job, "output.tar.gz"), outputs)):
        failure = (
            f"ClientError: Artifact upload failed:Failed to upload to {uri}. Please ensure that the role "
            f'"{job["RoleArn"]}" has "s3:PutObject" permissions there.'
        )
        _upload(s3, uri, _merge(folders), job["OutputDataConfig"].get("KmsKeyId"), failure)


def _upload(s3: Any, uri: str, files: Mapping[str, Path], kms_key: str | None, failure: str) -> None:
    """Upload files as one archive, or one by one where the address is a folder's."""
    with translate_failures(lambda words: JobError(f"{failure} {words}")):
        if uri.endswith("/"):
            for name, path in files.items():
                with path.open("rb") as file:
                    upload_object(s3, f"{uri}{name}", file, kms_key)
        elif files:
            with tempfile.TemporaryFile() as archive:
                _pack(files, archive)
                upload_object(s3, uri, archive, kms_key)


def _merge(folders: list[Path]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                files.setdefault(path.relative_to(folder).as_posix(), path)
    return files


def _pack(files: Mapping[str, Path], archive: IO[bytes]) -> None:
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=FAST) as tar:
        for name, path in files.items():
            tar.add(path, name)
    archive.seek(0)
