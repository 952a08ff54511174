"""Objects whose key says what is in them: uploaded once."""

from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from training.common.files import sha256

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def upload(s3: "S3Client", bucket: str, key: str, content: bytes) -> bool:
    """Upload an object that is named after its content, unless it is there; return whether it was not."""
    if exists(s3, bucket, key):
        return False
    s3.put_object(Bucket=bucket, Key=key, Body=content)
    return True


def upload_file(s3: "S3Client", bucket: str, prefix: str, file: Path) -> str:
    """Upload a file under its hash, unless it is there; return its key."""
    key = f"{prefix}{sha256(file)}{file.suffix}"
    if not exists(s3, bucket, key):
        s3.upload_file(str(file), bucket, key)
    return key


def exists(s3: "S3Client", bucket: str, key: str) -> bool:
    """Return whether there is such an object.

    Raises
    ------
    ClientError
        It cannot be known.
    """
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    return True
