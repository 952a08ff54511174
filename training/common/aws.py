"""Clients of AWS, and what AWS refuses in one line."""

import contextlib
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from training.common.errors import TrainingError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient

CONNECTIONS = 16
"""Of one client, so that as many uploads go side by side."""


NO_SUCH_TYPE = re.compile(r"Value '(?P<asked>[^']*)' at '[^']*nstanceType' .* enum value set: \[(?P<known>[^]]*)\]")
"""SageMaker's refusal, which lists some three hundred others."""


@dataclass(frozen=True)
class Aws:
    """The ambient credentials' clients, each made when it is first needed."""

    @cached_property
    def cloudformation(self) -> "CloudFormationClient":
        """Where the stack's outputs are."""
        return boto3.client("cloudformation", config=_CONFIG)

    @cached_property
    def s3(self) -> "S3Client":
        """Photos, code, checkpoints, artifacts."""
        return boto3.client("s3", config=_CONFIG)

    @cached_property
    def sagemaker(self) -> "SageMakerClient":
        """Training and tuning jobs."""
        return boto3.client("sagemaker", config=_CONFIG)

    @cached_property
    def logs(self) -> "CloudWatchLogsClient":
        """What jobs print."""
        return boto3.client("logs", config=_CONFIG)

    @cached_property
    def ec2(self) -> "EC2Client":
        """Instances."""
        return boto3.client("ec2", config=_CONFIG)


_CONFIG = Config(connect_timeout=10, max_pool_connections=CONNECTIONS, retries={"mode": "standard", "max_attempts": 5})


def code_of(error: ClientError) -> str:
    """Return AWS's name of what went wrong, such as ``AccessDenied``."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn what AWS or the way there refuses into one line that says what to do.

    Raises
    ------
    TrainingError
        In place of botocore's errors.
    """
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
        raise TrainingError(
            f"no usable AWS credentials ({_line(error)}); run `aws configure`, or set AWS_PROFILE"
        ) from None
    except ProfileNotFound as error:
        raise TrainingError(
            f"{_line(error)}; set AWS_PROFILE to one that `aws configure list-profiles` shows"
        ) from None
    except NoRegionError:
        raise TrainingError("no AWS region; set AWS_REGION") from None
    except EndpointConnectionError as error:
        raise TrainingError(f"{_line(error)}; is there a network, and is AWS_ENDPOINT_URL right if set?") from None
    except ClientError as error:
        raise TrainingError(_advise(error)) from None
    except BotoCoreError as error:
        raise TrainingError(_line(error)) from None


def _advise(error: ClientError) -> str:
    code, text = code_of(error), _line(error)
    if wrong := NO_SUCH_TYPE.search(text):
        near = difflib.get_close_matches(wrong["asked"], wrong["known"].split(", "), 5, 0.3)
        return f"SageMaker trains on no {wrong['asked']}" + (f", but on {', '.join(near)}" if near else "")
    if code in ("ExpiredToken", "ExpiredTokenException", "RequestExpired"):
        return f"the AWS credentials have expired; sign in again ({text})"
    if code == "ResourceLimitExceeded":
        return f"{text} Ask for the quota in the Service Quotas console, or give another --instance-type"
    if code in ("VcpuLimitExceeded", "MaxSpotInstanceCountExceeded"):
        return f"{text}; ask for the quota in the Service Quotas console, or give another --instance-type"
    if code == "AuthFailure.ServiceLinkedRoleCreationNotPermitted":
        return (
            "this account has never run a spot instance, and your credentials may not create the role that EC2 needs "
            "for the first; an administrator runs `aws iam create-service-linked-role --aws-service-name "
            "spot.amazonaws.com` once"
        )
    if code == "VPCIdNotSpecified":
        return f"{text}; set vpc_id, subnet_ids and security_group_ids in [training.network] of the settings and deploy"
    if code in ("InsufficientInstanceCapacity", "SpotMaxPriceTooLow"):
        return f"{text}; try again later, without --spot, or with another --instance-type"
    return text


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
