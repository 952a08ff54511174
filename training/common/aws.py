"""Clients of AWS."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from training.common.s3 import CONNECTIONS, Bucket

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient

_CONFIG = Config(connect_timeout=10, max_pool_connections=CONNECTIONS, retries={"mode": "standard", "max_attempts": 5})


@dataclass(frozen=True)
class Aws:
    """The ambient credentials' clients, each made when it is first needed."""

    @cached_property
    def cloudformation(self) -> "CloudFormationClient":
        """Where the stack's outputs are."""
        return self._session.client("cloudformation", config=_CONFIG)

    @cached_property
    def s3(self) -> "S3Client":
        """Photos, code, checkpoints, artifacts."""
        return self._session.client("s3", config=_CONFIG)

    @cached_property
    def sagemaker(self) -> "SageMakerClient":
        """Training and tuning jobs."""
        return self._session.client("sagemaker", config=_CONFIG)

    @cached_property
    def logs(self) -> "CloudWatchLogsClient":
        """What jobs print."""
        return self._session.client("logs", config=_CONFIG)

    @cached_property
    def ec2(self) -> "EC2Client":
        """Instances."""
        return self._session.client("ec2", config=_CONFIG)

    def bucket(self, name: str) -> Bucket:
        """Return a bucket of S3."""
        return Bucket(self.s3, name)

    @cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session()
