"""StorageStack: the bucket that outlives what computes."""

from typing import Any

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.common import names
from stacks.settings import Settings
from stacks.settings.storage import StorageSettings

INCOMPLETE_UPLOAD_DAYS = 7


class StorageStack(Stack):
    """One private bucket with ``data/``, ``models/``, ``training/`` and ``capture/``, and its access log."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        storage = settings.storage
        log = self._access_log(storage.access_log_days, storage.retain) if storage.access_log_days else None
        bucket = s3.Bucket(
            self,
            "Bucket",
            bucket_name=names.bucket_name(self, settings.environment),
            **self._encryption(storage.kms_key_arn),
            **_private(storage.retain),
            versioned=True,
            server_access_logs_bucket=log,
            server_access_logs_prefix="bucket/" if log else None,
            lifecycle_rules=_lifecycle(storage),
        )
        CfnOutput(self, "BucketName", value=bucket.bucket_name)
        if log:
            CfnOutput(self, "AccessLogBucketName", value=log.bucket_name)

    def _encryption(self, key_arn: str | None) -> dict[str, Any]:
        if key_arn is None:
            return {"encryption": s3.BucketEncryption.S3_MANAGED}
        return {
            "encryption": s3.BucketEncryption.KMS,
            "encryption_key": kms.Key.from_key_arn(self, "Key", key_arn),
            # One data key for many objects: a hundredth of the KMS requests (S3 guide, "S3 Bucket Keys").
            "bucket_key_enabled": True,
        }

    def _access_log(self, days: int, retain: bool) -> s3.Bucket:
        """Make the bucket that S3 delivers access records to.

        The L2 allows ``logging.s3.amazonaws.com`` to put objects by bucket policy, for the logged bucket
        (``aws:SourceArn``) of this account (``aws:SourceAccount``) only. S3 guide, "Enabling server access logging".
        """
        return s3.Bucket(
            self,
            "AccessLog",
            encryption=s3.BucketEncryption.S3_MANAGED,
            **_private(retain),
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="ExpireRecords",
                    expiration=Duration.days(days),
                    abort_incomplete_multipart_upload_after=Duration.days(INCOMPLETE_UPLOAD_DAYS),
                )
            ],
        )


def _private(retain: bool) -> dict[str, Any]:
    """Return what keeps a bucket private: no public access, no ACLs, TLS 1.2 or later."""
    return {
        "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
        "object_ownership": s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        "enforce_ssl": True,
        "minimum_tls_version": 1.2,
        "removal_policy": RemovalPolicy.RETAIN if retain else RemovalPolicy.DESTROY,
    }


def _lifecycle(settings: StorageSettings) -> list[s3.LifecycleRule]:
    rules = [
        s3.LifecycleRule(
            id="RemoveLeftovers",
            abort_incomplete_multipart_upload_after=Duration.days(INCOMPLETE_UPLOAD_DAYS),
            expired_object_delete_marker=True,
        )
    ]
    for rule, prefix, days in (
        ("KeepDataVersions", names.DATA, settings.data_version_days),
        ("KeepModelVersions", names.MODELS, settings.model_version_days),
        ("KeepTrainingVersions", names.TRAINING, settings.training_version_days),
    ):
        rules.append(s3.LifecycleRule(id=rule, prefix=prefix, noncurrent_version_expiration=Duration.days(days)))
    for rule, prefix, days in (
        ("ExpireCheckpoints", names.CHECKPOINTS, settings.checkpoint_days),
        ("ExpireCapture", names.CAPTURE, settings.capture_days),
    ):
        # In a versioned bucket an expired object lives on as a noncurrent version until that expires too.
        rules.append(
            s3.LifecycleRule(
                id=rule,
                prefix=prefix,
                expiration=Duration.days(days),
                noncurrent_version_expiration=Duration.days(1),
            )
        )
    return rules
