"""What RunInstances asks of its caller beside ``ec2:RunInstances``."""

from typing import Any

from ministack.services import iam

from local.core.caller import Caller
from local.core.errors import ServiceError
from local.core.names import ACCOUNT, REGION


def check_tagging(caller: Caller, resource_type: str, tags: list[dict[str, str]]) -> None:
    """Refuse a caller who may not tag what the request creates.

    Source: EC2 guide, "Grant permission to tag Amazon EC2 resources during creation".

    Parameters
    ----------
    resource_type
        What gets the tags, for example ``volume``.

    Raises
    ------
    ServiceError
        ``UnauthorizedOperation``.
    """
    context: dict[str, Any] = {"ec2:CreateAction": "RunInstances"}
    context |= {f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in tags}
    _refuse(caller.denial("ec2:CreateTags", f"arn:aws:ec2:{REGION}:{ACCOUNT}:{resource_type}/*", context))


def check_pass_role(caller: Caller, name: str, profile_arn: str) -> None:
    """Refuse a caller who may not pass an instance profile's role to EC2.

    Parameters
    ----------
    name, profile_arn
        The profile that the request names, by either; both empty for none.

    Raises
    ------
    ServiceError
        ``UnauthorizedOperation``.
    """
    profile = iam._lookup_instance_profile(name=name, arn=profile_arn) if name or profile_arn else None
    role = role_of_profile(profile["Arn"]) if profile else None
    if role is not None:
        _refuse(caller.denial_to_pass(role, "ec2.amazonaws.com"))


def role_of_profile(profile_arn: str) -> str | None:
    """Return the ARN of the role in an instance profile, None where there is no such profile or role."""
    profile = iam._lookup_instance_profile(arn=profile_arn)
    for entry in (profile or {}).get("Roles", ()):
        name = entry["RoleName"] if isinstance(entry, dict) else entry
        if role := iam._roles.get_scoped(ACCOUNT, None, name):
            return str(role["Arn"])
    return None


def _refuse(denial: str | None) -> None:
    if denial:
        words = f"You are not authorized to perform this operation. {denial}"
        raise ServiceError("UnauthorizedOperation", words, 403)
