"""StorageStack: the bucket that outlives what computes."""

from typing import Any

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.settings.storage import StorageSettings

INCOMPLETE_UPLOAD_DAYS = 7


class StorageStack(Stack):
    """One private bucket with ``data/``, ``models/``, ``training/`` and ``capture/``."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: StorageSettings, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        bucket = s3.Bucket(
            self,
            "Bucket",
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            removal_policy=RemovalPolicy.RETAIN if settings.retain else RemovalPolicy.DESTROY,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="RemoveLeftovers",
                    noncurrent_version_expiration=Duration.days(settings.noncurrent_version_days),
                    abort_incomplete_multipart_upload_after=Duration.days(INCOMPLETE_UPLOAD_DAYS),
                ),
                s3.LifecycleRule(
                    id="ExpireCapture", prefix="capture/", expiration=Duration.days(settings.capture_days)
                ),
            ],
        )
        CfnOutput(self, "BucketName", value=bucket.bucket_name)
