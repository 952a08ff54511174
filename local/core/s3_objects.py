"""Objects of S3: their addresses, and their way from S3 to a file and back."""

from collections.abc import Callable
from typing import IO, Any

CHUNK = 1 << 20


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of ``s3://bucket/key``; the key may be empty."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def list_objects(s3: Any, uri: str) -> list[str]:
    """Return the keys under a prefix, without the empty objects that consoles make for folders.

    Parameters
    ----------
    s3
        A client.
    uri
        ``s3://bucket/prefix``.
    """
    bucket, prefix = split_uri(uri)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [str(item["Key"]) for page in pages for item in page.get("Contents", ())]
    return [key for key in keys if not key.endswith("/")]


def download_object(s3: Any, bucket: str, key: str, file: IO[bytes], check: Callable[[], None] = lambda: None) -> None:
    """Write an object into a file.

    Parameters
    ----------
    s3
        A client.
    check
        Called after each mebibyte; it may raise to end the download.
    """
    for chunk in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(CHUNK):
        file.write(chunk)
        check()


def upload_object(s3: Any, uri: str, content: bytes | IO[bytes], kms_key: str | None = None) -> None:
    """Store an object.

    Parameters
    ----------
    s3
        A client.
    uri
        ``s3://bucket/key``.
    kms_key
        The key that S3 encrypts it with; none leaves that to the bucket.
    """
    bucket, key = split_uri(uri)
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
    s3.put_object(Bucket=bucket, Key=key, Body=content, **encryption)
