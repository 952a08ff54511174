"""Prefixes of the bucket, and the key that encrypts it."""

from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct


def use_key(scope: Construct, key_arn: str, *, write: bool) -> iam.PolicyStatement:
    """Use a customer-managed key for objects of the bucket, through Amazon S3 only.

    Readers decrypt; writers also make data keys, and decrypt to complete a multipart upload.

    Source: S3 guide, "Using server-side encryption with AWS KMS keys"; KMS guide, ``kms:ViaService``.
    """
    stack = Stack.of(scope)
    return iam.PolicyStatement(
        sid="UseKey",
        actions=["kms:Decrypt", "kms:GenerateDataKey"] if write else ["kms:Decrypt"],
        resources=[key_arn],
        conditions={"StringEquals": {"kms:ViaService": f"s3.{stack.region}.{stack.url_suffix}"}},
    )


def list_prefixes(bucket_arn: str, prefixes: Sequence[str]) -> iam.PolicyStatement:
    """List objects under some prefixes: SageMaker and ``aws s3 sync`` list before they read.

    Wildcard: a prefix is the folder of a purpose, and its user names the objects in it.

    Source: SageMaker guide, "SageMaker AI roles", CreateTrainingJob API; S3 guide, ``s3:prefix``.
    """
    return iam.PolicyStatement(
        sid="ListPrefixes",
        actions=["s3:ListBucket"],
        resources=[bucket_arn],
        conditions={"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}},
    )


def read_objects(bucket_arn: str, prefixes: Sequence[str]) -> iam.PolicyStatement:
    """Read objects under some prefixes.

    Wildcard: the user or the job names the objects under a prefix.

    Source: SageMaker guide, "SageMaker AI roles", CreateTrainingJob API.
    """
    return iam.PolicyStatement(
        sid="ReadObjects",
        actions=["s3:GetObject"],
        resources=[f"{bucket_arn}/{prefix}*" for prefix in prefixes],
    )


def write_objects(bucket_arn: str, prefixes: Sequence[str]) -> iam.PolicyStatement:
    """Write objects under some prefixes, and abort multipart uploads.

    Wildcard: the user or the job names the objects under a prefix when it starts.

    Source: SageMaker guide, "SageMaker AI roles", CreateTrainingJob API; S3 guide, "Multipart upload API and
    permissions".
    """
    return iam.PolicyStatement(
        sid="WriteObjects",
        actions=["s3:AbortMultipartUpload", "s3:PutObject"],
        resources=[f"{bucket_arn}/{prefix}*" for prefix in prefixes],
    )


def delete_checkpoints(bucket_arn: str, prefix: str) -> iam.PolicyStatement:
    """Remove old checkpoints: SageMaker deletes in S3 what a job deletes in ``/opt/ml/checkpoints``.

    Wildcard: the job names its checkpoints.

    Source: SageMaker guide, "Checkpoints in Amazon SageMaker AI".
    """
    return iam.PolicyStatement(
        sid="DeleteCheckpoints", actions=["s3:DeleteObject"], resources=[f"{bucket_arn}/{prefix}*"]
    )
