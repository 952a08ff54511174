"""Objects in S3: their addresses, and their way there and back.

Everything that training moves to or from S3 goes through ``Bucket``. ``operate`` and ``stacks`` know addresses by
themselves, because rooms share no code.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError
from botocore.response import StreamingBody

from training.common.aws_errors import code_of
from training.common.errors import TrainingError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<key>.*))?", re.DOTALL)
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"""

CONNECTIONS = 16
"""Of one client, and objects that are moved at once. A photo is over before one connection is at full speed."""

ATTEMPTS = 3
"""At an object whose transfer breaks off; botocore itself repeats what breaks before that."""

BLOCK = 1 << 20


class Address(NamedTuple):
    """The address of an object, or of all objects whose keys begin with ``key``."""

    bucket: str
    key: str

    def __str__(self) -> str:
        """Return the ``s3://`` form."""
        return f"s3://{self.bucket}/{self.key}"


def parse(text: str) -> Address | None:
    """Return the address that somebody gave; None if it is none."""
    match = ADDRESS.fullmatch(text)
    return Address(match["bucket"], match["key"] or "") if match else None


def split(uri: str) -> Address:
    """Return the parts of an address that is known to be one."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return Address(bucket, key)


@dataclass(frozen=True)
class Object:
    """What a listing says of an object.

    Parameters
    ----------
    etag
        Changes with every change of the content
        (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html).
    size
        Bytes.
    """

    key: str
    etag: str
    size: int


@dataclass(frozen=True)
class Bucket:
    """A bucket, and what training does with its objects.

    Each method raises botocore's errors; ``aws_errors.explained`` turns them into a line.
    """

    client: "S3Client"
    name: str

    def uri(self, key: str) -> str:
        """Return the address of an object or a prefix."""
        return str(Address(self.name, key))

    def objects(self, prefix: str) -> Iterator[Object]:
        """List what lies under a prefix."""
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
            for listed in page.get("Contents", []):
                yield Object(listed["Key"], listed["ETag"].strip('"'), listed["Size"])

    def has_any(self, prefix: str) -> bool:
        """Return whether anything lies under a prefix."""
        return bool(self.client.list_objects_v2(Bucket=self.name, Prefix=prefix, MaxKeys=1).get("KeyCount"))

    def exists(self, key: str) -> bool:
        """Return whether there is such an object."""
        try:
            self.client.head_object(Bucket=self.name, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return False
            raise
        return True

    def open(self, key: str, etag: str | None = None) -> "GetObjectOutputTypeDef":
        """Return an object's description, with its content as a stream in ``Body``.

        Parameters
        ----------
        etag
            What a listing said; S3 refuses an object that has changed since.
        """
        condition: Any = {"IfMatch": etag} if etag else {}
        return self.client.get_object(Bucket=self.name, Key=key, **condition)

    def read(self, key: str) -> bytes:
        """Return an object's content."""
        return self.open(key)["Body"].read()

    def read_if_exists(self, key: str) -> bytes | None:
        """Return an object's content; None if there is no such object."""
        try:
            return self.read(key)
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                return None
            raise

    def download(self, key: str, path: Path, listed: Object | None = None) -> None:
        """Bring an object into a file, whole or absent, in up to ``ATTEMPTS`` attempts.

        Parameters
        ----------
        path
            In a folder that is there.
        listed
            What a listing said of the object, which it must still be.

        Raises
        ------
        TrainingError
            It came with another size than listed.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._download(key, path, listed)
            except (HTTPClientError, IncompleteReadError):
                if attempt == ATTEMPTS:
                    raise
            else:
                return

    def _download(self, key: str, path: Path, listed: Object | None) -> None:
        """Make one attempt; botocore holds it to the checksum that S3 keeps.

        A listed object is a photo, which needs one request. Others may be large: they come in several streams.
        """
        partial = path.with_name(f"{path.name}.incomplete")
        try:
            if listed is None:
                self.client.download_file(self.name, key, str(partial))
            else:
                save(self.open(key, listed.etag)["Body"], partial)
                if partial.stat().st_size != listed.size:
                    raise TrainingError(f"{self.uri(key)} came with another size than S3 listed; try again")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def write(self, key: str, content: bytes) -> None:
        """Make an object of bytes."""
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def upload(self, path: Path, key: str) -> None:
        """Make an object of a file, in several parts if it is large."""
        self.client.upload_file(str(path), self.name, key)

    def copy(self, source: str, key: str) -> None:
        """Make an object of another one of the bucket, whose key is ``source``."""
        self.client.copy_object(Bucket=self.name, Key=key, CopySource={"Bucket": self.name, "Key": source})

    def delete(self, key: str) -> None:
        """Remove an object."""
        self.client.delete_object(Bucket=self.name, Key=key)


def save(body: StreamingBody, path: Path) -> None:
    """Write an object's content into a file, block by block."""
    with path.open("wb") as file:
        for block in body.iter_chunks(BLOCK):
            file.write(block)
