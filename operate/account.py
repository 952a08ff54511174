"""The AWS account and region of the caller's credentials, which must be those that the environment is bound to."""

import contextlib
import os
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
    PartialCredentialsError,
    ProfileNotFound,
)

from operate.environment import Environment
from operate.errors import OperateError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient

REGION_VARIABLES = ("AWS_REGION", "AMAZON_REGION", "AWS_DEFAULT_REGION", "AMAZON_DEFAULT_REGION")
"""Where the CDK's command line looks for the region, in this order (its function ``region``, in aws-cdk 2.1148).

botocore reads AWS_DEFAULT_REGION only: without this, the two could work in two regions.
"""

_CONFIG = Config(connect_timeout=10, retries={"mode": "standard", "max_attempts": 6})


@dataclass(frozen=True)
class Account:
    """An account, a region, and clients there."""

    id: str
    region: str
    session: boto3.Session

    @cached_property
    def cloudformation(self) -> "CloudFormationClient":
        """Where the stacks are."""
        return self.session.client("cloudformation", config=_CONFIG)

    @cached_property
    def sagemaker(self) -> "SageMakerClient":
        """Where the endpoint is."""
        return self.session.client("sagemaker", config=_CONFIG)

    @cached_property
    def s3(self) -> "S3Client":
        """Where artifacts and their manifests are."""
        return self.session.client("s3", config=_CONFIG)

    @cached_property
    def functions(self) -> "LambdaClient":
        """Where the function is."""
        return self.session.client("lambda", config=_CONFIG)

    @cached_property
    def logs(self) -> "CloudWatchLogsClient":
        """Where the endpoint's log is."""
        return self.session.client("logs", config=_CONFIG)

    def __str__(self) -> str:
        return f"account {self.id}, region {self.region}"


def connect(environment: Environment) -> Account:
    """Return the account of the ambient credentials.

    Raises
    ------
    OperateError
        There are no credentials or no region, or the environment is bound to others.
    """
    bound_account, bound_region = environment.account, environment.region  # a wrong setting ends it before any request
    with explained():
        session = boto3.Session()
        given = next((os.environ[name] for name in REGION_VARIABLES if os.environ.get(name)), session.region_name)
        region = given or bound_region
        if region is None:
            raise OperateError("no AWS region; set AWS_REGION")
        if bound_region is not None and region != bound_region:
            raise OperateError(
                f"{environment.file} binds {environment.name} to region {bound_region}, but the region of your "
                f"credentials is {region}: nothing was done; set AWS_REGION={bound_region}"
            )
        session = boto3.Session(region_name=region)
        caller = session.client("sts", config=_CONFIG).get_caller_identity()
    if bound_account is not None and caller["Account"] != bound_account:
        raise OperateError(
            f"{environment.file} binds {environment.name} to account {bound_account}, but your credentials belong to "
            f"account {caller['Account']} ({caller['Arn']}): nothing was done; set AWS_PROFILE to a profile of account "
            f"{bound_account}"
        )
    return Account(caller["Account"], region, session)


def code_of(error: ClientError) -> str:
    """Return AWS's name of what went wrong, such as ``AccessDenied``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def message_of(error: ClientError) -> str:
    """Return what AWS says went wrong."""
    return " ".join(str(error.response.get("Error", {}).get("Message", "")).split())


@contextlib.contextmanager
def if_there(*codes: str) -> Iterator[None]:
    """Ignore AWS's answer that a thing does not exist, and no other error.

    Parameters
    ----------
    codes
        AWS's names of that answer, such as ``NoSuchKey``. SageMaker's is always one: it has a code of many meanings,
        and only the text tells.
    """
    try:
        yield
    except ClientError as error:
        if code_of(error) not in codes and not _is_missing(error):
            raise


def _is_missing(error: ClientError) -> bool:
    text = str(error).lower()
    said = any(words in text for words in ("could not find", "does not exist", "recordnotfound"))
    return code_of(error) == "ValidationException" and said


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn errors of AWS, and of the way to AWS, into one line that says what to do.

    Raises
    ------
    OperateError
        In place of botocore's errors.
    """
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
        raise OperateError(
            f"no usable AWS credentials ({_line(error)}); run `aws configure`, or set AWS_PROFILE"
        ) from None
    except ProfileNotFound as error:
        raise OperateError(f"{_line(error)}; set AWS_PROFILE to one that `aws configure list-profiles` shows") from None
    except EndpointConnectionError as error:
        raise OperateError(f"{_line(error)}; check the network, and AWS_ENDPOINT_URL if it is set") from None
    except ClientError as error:
        if code_of(error) in ("ExpiredToken", "ExpiredTokenException", "RequestExpired"):
            raise OperateError(f"the AWS credentials have expired; sign in again ({_line(error)})") from None
        raise OperateError(f"AWS refused the request: {_line(error)}") from None
    except BotoCoreError as error:
        raise OperateError(_line(error)) from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
