"""What SageMaker, or the embedded AWS, refuses in a request for a training job."""

import re
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from local.core.account import Account
from local.core.errors import validation_error
from local.core.names import REGION
from local.core.s3_objects import list_objects, split_uri
from local.sagemaker.training.host import BASE

NEEDED = ("AlgorithmSpecification", "OutputDataConfig", "ResourceConfig", "RoleArn", "StoppingCondition")
NOT_SIMULATED = ("ServerlessJobConfig", "ModelPackageConfig")
FILE_MODES = ("File", "FastFile")
"""Input modes that give the container files."""


def check_request(job: Mapping[str, Any]) -> None:
    """Refuse what cannot be run, without a look at other resources.

    Raises
    ------
    ServiceError
        The words are SageMaker's where they are known.
    """
    for member in NEEDED:
        if member not in job:
            raise validation_error(f"{member} is required to create a training job.")
    for member in NOT_SIMULATED:
        if member in job:
            raise validation_error(f"The embedded AWS does not simulate {member}.")
    _check_algorithm(job["AlgorithmSpecification"])
    _check_resources(job["ResourceConfig"])
    _check_stopping(job["StoppingCondition"], spot=bool(job.get("EnableManagedSpotTraining")))
    names = [channel["ChannelName"] for channel in job.get("InputDataConfig", ())]
    if len(set(names)) < len(names):
        raise validation_error("Channel names must be unique within InputDataConfig.")
    for channel in job.get("InputDataConfig", ()):
        _check_channel(channel, job["AlgorithmSpecification"]["TrainingInputMode"])
    local = job.get("CheckpointConfig", {}).get("LocalPath", BASE)
    if local != BASE and not local.startswith(f"{BASE}/"):
        raise validation_error(f"The embedded AWS keeps checkpoints below {BASE} only, not in {local}.")


def check_data(job: Mapping[str, Any], account: Account) -> None:
    """Refuse a role that cannot be assumed, and channels in which that role finds nothing.

    Parameters
    ----------
    job
        ``CreateTrainingJob``'s parameters.
    account
        Knows the role, and gives access to S3 as that role.

    Raises
    ------
    ServiceError
        The words are SageMaker's.
    """
    role = str(job["RoleArn"])
    s3 = account.client("s3", account.assume(role, "sagemaker", "SageMaker"))
    for channel in job.get("InputDataConfig", ()):
        uri = str(channel["DataSource"]["S3DataSource"]["S3Uri"])
        said = ""
        try:
            if list_objects(s3, uri):
                continue
        except ClientError as error:
            said = f" Error message from S3: {error.response['Error'].get('Message', '')}"
        bucket, _ = split_uri(uri)
        raise validation_error(
            f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket '
            f"exists in the selected region ({REGION}), that objects exist under that S3 prefix, and that the role "
            f'"{role}" has "s3:ListBucket" permissions on bucket "{bucket}".{said}'
        )


def _check_algorithm(algorithm: Mapping[str, Any]) -> None:
    if "TrainingImage" not in algorithm:
        raise validation_error("The embedded AWS needs AlgorithmSpecification.TrainingImage.")
    for definition in algorithm.get("MetricDefinitions", ()):
        try:
            re.compile(definition["Regex"])
        except re.error as error:
            raise validation_error(
                f"The regular expression of metric {definition['Name']} is invalid: {error}"
            ) from None


def _check_resources(resources: Mapping[str, Any]) -> None:
    for member in ("InstanceType", "InstanceCount"):
        if not resources.get(member):
            raise validation_error(
                f"ResourceConfig.{member} is required; the embedded AWS does not simulate instance groups."
            )


def _check_stopping(stopping: Mapping[str, Any], *, spot: bool) -> None:
    run, wait = stopping.get("MaxRuntimeInSeconds", 86400), stopping.get("MaxWaitTimeInSeconds")
    if spot and (wait is None or wait < run):
        raise validation_error(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
        )
    if wait is not None and not spot:
        raise validation_error("MaxWaitTimeInSeconds is for managed spot training: set EnableManagedSpotTraining.")


def _check_channel(channel: Mapping[str, Any], mode: str) -> None:
    name, source = channel["ChannelName"], channel["DataSource"].get("S3DataSource")
    if source is None or source["S3DataType"] != "S3Prefix":
        raise validation_error(f"Channel {name}: the embedded AWS reads S3DataSource of type S3Prefix only.")
    if channel.get("InputMode", mode) not in FILE_MODES:
        raise validation_error(f"Channel {name}: the embedded AWS does not simulate Pipe mode; use File or FastFile.")
    for member in ("CompressionType", "RecordWrapperType"):
        if channel.get(member, "None") != "None":
            raise validation_error(f"Channel {name}: the embedded AWS does not simulate {member}.")
    if "ShuffleConfig" in channel:
        raise validation_error(f"Channel {name}: the embedded AWS does not simulate ShuffleConfig.")
