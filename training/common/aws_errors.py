"""What AWS, or the way there, refuses: in one line that says what to do.

This is training's only translator. ``operate/account.py`` has its own, because rooms share no code.
"""

import contextlib
import difflib
import re
from collections.abc import Iterator, Mapping

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

NO_SUCH_TYPE = re.compile(r"Value '(?P<asked>[^']*)' at '[^']*nstanceType' .* enum value set: \[(?P<known>[^]]*)\]")
"""SageMaker's refusal, which lists some three hundred others."""

OF_CLIENTS: dict[type[BotoCoreError], str] = {
    NoCredentialsError: "no usable AWS credentials; run `aws configure`, or set AWS_PROFILE",
    PartialCredentialsError: "no usable AWS credentials ({text}); run `aws configure`, or set AWS_PROFILE",
    CredentialRetrievalError: "no usable AWS credentials ({text}); run `aws configure`, or set AWS_PROFILE",
    ProfileNotFound: "{text}; set AWS_PROFILE to one that `aws configure list-profiles` shows",
    NoRegionError: "no AWS region; set AWS_REGION",
    EndpointConnectionError: "{text}; is there a network, and is AWS_ENDPOINT_URL right if set?",
}
"""What to do about an error before a request has an answer."""

EXPIRED = "the AWS credentials have expired; sign in again ({text})"
OTHER_TYPE = "{text}; ask for the quota in the Service Quotas console, or give another --instance-type"
NO_CAPACITY = "{text}; try again later, without --spot, or with another --instance-type"
OF_SERVICES = {
    "ExpiredToken": EXPIRED,
    "ExpiredTokenException": EXPIRED,
    "RequestExpired": EXPIRED,
    "ResourceLimitExceeded": (
        "{text} Ask for the quota in the Service Quotas console, or give another --instance-type"
    ),
    "VcpuLimitExceeded": OTHER_TYPE,
    "MaxSpotInstanceCountExceeded": OTHER_TYPE,
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted": (
        "this account has never run a spot instance, and your credentials may not create the role that EC2 needs "
        "for the first; an administrator runs `aws iam create-service-linked-role --aws-service-name "
        "spot.amazonaws.com` once"
    ),
    "VPCIdNotSpecified": (
        "{text}; set vpc_id, subnet_ids and security_group_ids in [training.network] of the settings and deploy"
    ),
    "InsufficientInstanceCapacity": NO_CAPACITY,
    "SpotMaxPriceTooLow": NO_CAPACITY,
}
"""What to do about a service's answer, by its code."""


def code_of(error: ClientError) -> str:
    """Return AWS's name of what went wrong, such as ``AccessDenied``."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextlib.contextmanager
def explained(place: str = "", advice: Mapping[str, str] | None = None) -> Iterator[None]:
    """Turn what AWS or the way there refuses into one line that says what to do.

    Parameters
    ----------
    place
        What was asked for, such as an address in S3; the line begins with it.
    advice
        What to say of some codes of services, instead of the usual.

    Raises
    ------
    TrainingError
        In place of botocore's errors.
    """
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        text = _advise(error, advice or {}) if isinstance(error, ClientError) else _explain(error)
        raise TrainingError(f"{place}: {text}" if place else text) from None


def _explain(error: BotoCoreError) -> str:
    sentence = next((text for kind, text in OF_CLIENTS.items() if isinstance(error, kind)), "{text}")
    return sentence.format(text=_line(error))


def _advise(error: ClientError, advice: Mapping[str, str]) -> str:
    code, text = code_of(error), _line(error)
    if wrong := NO_SUCH_TYPE.search(text):
        near = difflib.get_close_matches(wrong["asked"], wrong["known"].split(", "), 5, 0.3)
        return f"SageMaker trains on no {wrong['asked']}" + (f", but on {', '.join(near)}" if near else "")
    return advice[code] if code in advice else OF_SERVICES.get(code, "{text}").format(text=text)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
