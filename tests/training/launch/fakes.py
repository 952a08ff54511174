"""An S3 in memory, and a site."""

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from training.common.aws import Aws
from training.launch.job_spec import JobSpec
from training.launch.site import Site

BUCKET = "kennel-dev-123456789012-eu-west-1"
SITE = Site(
    "dev",
    "eu-west-1",
    BUCKET,
    role="arn:aws:iam::123456789012:role/Train",
    repository="763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch",
    template="lt-0123456789abcdef0",
    instance_logs="/kennel/dev/training",
    tags={"Project": "kennel", "Environment": "dev", "Deployment": "kennel-dev", "owner": "vision"},
)
TAGS = [{"Key": key, "Value": value} for key, value in SITE.tags.items()]


def job_spec(**changes: Any) -> JobSpec:
    made: Any = {"photos": SITE.uri("data/dogs/"), "code": "training/code/abc.tar.gz", "site": SITE} | changes
    return JobSpec("kennel-dev-261121-120000-abcd", **made)


def error(code: str, status: int = 400, text: str = "no") -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Operation")


@dataclass
class FakeS3:
    """What the code calls of a client, over objects of one bucket; ``calls`` has the keys that were written."""

    objects: dict[str, bytes] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)

    def put_object(self, *, Bucket: str, Key: str, Body: Any) -> None:  # noqa: N803
        assert Bucket == BUCKET
        self.objects[Key] = Body.encode() if isinstance(Body, str) else Body
        self.calls.append(("put", Key))

    def upload_file(self, file: str, bucket: str, key: str) -> None:
        self.put_object(Bucket=bucket, Key=key, Body=Path(file).read_bytes())

    def copy_object(self, *, Bucket: str, Key: str, CopySource: dict[str, str]) -> None:  # noqa: N803
        assert Bucket == CopySource["Bucket"] == BUCKET
        self.objects[Key] = self.objects[CopySource["Key"]]
        self.calls.append(("copy", Key))

    def delete_object(self, *, Bucket: str, Key: str) -> None:  # noqa: N803
        del self.objects[Key]
        self.calls.append(("delete", Key))

    def head_object(self, *, Bucket: str, Key: str) -> None:  # noqa: N803
        if Key not in self.objects:
            raise error("404", 404)

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        if Key not in self.objects:
            raise error("NoSuchKey", 404)
        content = self.objects[Key]
        return {"Body": StreamingBody(io.BytesIO(content), len(content)), "ContentLength": len(content)}

    def download_file(self, bucket: str, key: str, file: str) -> None:
        Path(file).write_bytes(self.get_object(Bucket=bucket, Key=key)["Body"].read())

    def list_objects_v2(self, *, Bucket: str, Prefix: str, MaxKeys: int = 1000) -> dict[str, Any]:  # noqa: N803
        found = [
            {
                "Key": key,
                "ETag": f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"',
                "Size": len(content),
            }
            for key, content in sorted(self.objects.items())
            if key.startswith(Prefix)
        ][:MaxKeys]
        return {"KeyCount": len(found), "Contents": found}

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_objects_v2"
        listing = self.list_objects_v2

        class Paginator:
            def paginate(self, **arguments: Any) -> list[dict[str, Any]]:
                return [listing(**arguments)]

        return Paginator()


def aws_with(**clients: Any) -> Aws:
    """Return clients of which the named ones are stand-ins."""
    aws = Aws()
    aws.__dict__.update(clients)
    return aws
