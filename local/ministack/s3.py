"""Properties of ``AWS::S3::Bucket`` that ministack accepts and drops, put through the S3 API that it does have."""

import uuid
from collections.abc import Callable
from typing import Any

from botocore.serialize import create_serializer
from ministack.services import s3
from ministack.services.cloudformation import provisioners

from local.core.json_service import Parameters, service_model
from local.core.names import ACCOUNT, REGION
from local.ministack.cloudformation import convert

MODEL = service_model("s3")
AWS_MANAGED_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/aws/s3"


def register() -> None:
    """Add the properties to ministack's table of bucket properties: name, body, put, delete."""
    provisioners._S3_BUCKET_CONFIGURATIONS += (
        ("LifecycleConfiguration", _lifecycle, _checked(s3._put_bucket_lifecycle), s3._delete_bucket_lifecycle),
        ("BucketEncryption", _encryption, _checked(s3._put_bucket_encryption), s3._delete_bucket_encryption),
        ("OwnershipControls", _ownership, _checked(s3._put_bucket_ownership_controls), _reset_ownership),
        ("LoggingConfiguration", _logging, _checked(s3._put_bucket_logging), _stop_logging),
        ("Tags", _tags, _checked(s3._put_bucket_tagging), s3._delete_bucket_tagging),
    )
    provisioners._STACK_TAG_PROPERTY["AWS::S3::Bucket"] = ("Tags", "list")


def _checked(put: Callable[[str, bytes], tuple[Any, ...]]) -> Callable[[str, bytes], None]:
    def put_or_fail(bucket: str, body: bytes) -> None:
        answer = put(bucket, body)
        if answer[0] >= 400:
            raise ValueError(f"AWS::S3::Bucket {bucket}: {answer[2]!r}")

    return put_or_fail


def _body(operation: str, member: str, value: Parameters) -> bytes:
    """Return the XML body of an S3 operation."""
    model = MODEL.operation_model(operation)
    parameters = convert(model.input_shape, {"Bucket": "bucket", member: value})
    body: bytes = create_serializer("rest-xml").serialize_to_request(parameters, model)["body"]
    return body


def lifecycle_rule(rule: Parameters) -> Parameters:
    """Return a template's lifecycle rule in the words of the S3 API."""
    renamed: Parameters = {"ID": rule.get("Id", uuid.uuid4().hex), "Status": rule["Status"]}
    renamed["Filter"] = _lifecycle_filter(rule)
    expiration = {
        "Days": rule.get("ExpirationInDays"),
        "Date": rule.get("ExpirationDate"),
        "ExpiredObjectDeleteMarker": rule.get("ExpiredObjectDeleteMarker"),
    }
    if present := {name: value for name, value in expiration.items() if value is not None}:
        renamed["Expiration"] = present
    for name in ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"):
        if name in rule:
            renamed[name] = rule[name]
    for name, days in (("Transitions", "Days"), ("NoncurrentVersionTransitions", "NoncurrentDays")):
        if name in rule:
            api_names = {"TransitionInDays": days, "TransitionDate": "Date"}
            renamed[name] = [{api_names.get(key, key): value for key, value in step.items()} for step in rule[name]]
    return renamed


def _lifecycle_filter(rule: Parameters) -> Parameters:
    conditions: Parameters = {
        name: rule[name] for name in ("Prefix", "ObjectSizeGreaterThan", "ObjectSizeLessThan") if name in rule
    }
    tags = rule.get("TagFilters", [])
    if len(conditions) + len(tags) > 1:
        return {"And": conditions | ({"Tags": tags} if tags else {})}
    if tags:
        return {"Tag": tags[0]}
    return conditions or {"Prefix": ""}


def _lifecycle(configuration: Parameters) -> bytes:
    rules = {"Rules": [lifecycle_rule(rule) for rule in configuration.get("Rules", [])]}
    return _body("PutBucketLifecycleConfiguration", "LifecycleConfiguration", rules)


def _encryption(encryption: Parameters) -> bytes:
    rules = []
    for rule in encryption.get("ServerSideEncryptionConfiguration", []):
        default = dict(rule.get("ServerSideEncryptionByDefault", {}))
        if default.get("SSEAlgorithm") == "aws:kms":
            default.setdefault("KMSMasterKeyID", AWS_MANAGED_KEY)  # what S3 uses; ministack refuses none at all
        enabled = rule.get("BucketKeyEnabled", False)
        rules.append({"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": enabled})
    return _body("PutBucketEncryption", "ServerSideEncryptionConfiguration", {"Rules": rules})


def _ownership(controls: Parameters) -> bytes:
    return _body("PutBucketOwnershipControls", "OwnershipControls", controls)


def _reset_ownership(bucket: str) -> None:
    """Put back the default of new buckets."""
    s3._put_bucket_ownership_controls(bucket, _ownership({"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}))


def _logging(configuration: Parameters) -> bytes:
    prefix = configuration.get("LogFilePrefix", "")
    enabled = {"TargetBucket": configuration.get("DestinationBucketName", ""), "TargetPrefix": prefix}
    return _body("PutBucketLogging", "BucketLoggingStatus", {"LoggingEnabled": enabled})


def _stop_logging(bucket: str) -> None:
    s3._put_bucket_logging(bucket, _body("PutBucketLogging", "BucketLoggingStatus", {}))


def _tags(tags: list[Parameters]) -> bytes:
    return _body("PutBucketTagging", "Tagging", {"TagSet": tags})
