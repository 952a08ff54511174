"""Spot requests: each instance of the spot market has one, and the account's first needs a service-linked role."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ministack.services import ec2, iam

from local.core.caller import Caller
from local.core.errors import ServiceError
from local.core.names import ACCOUNT

SERVICE = "spot.amazonaws.com"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{SERVICE}/AWSServiceRoleForEC2Spot"


def is_spot(parameters: dict[str, str]) -> bool:
    """Return whether RunInstances asks for the spot market."""
    return parameters.get("InstanceMarketOptions.MarketType") == "spot"


def ensure_role(caller: Caller) -> None:
    """Make the service-linked role where the account has none, in the caller's name.

    Sources: EC2 guide, "Service-linked role for Spot Instance requests"; the words: LeanerCloud/AutoSpotting 187, the
    status: determined-ai/determined 1830.

    Raises
    ------
    ServiceError
        The caller may not.
    """
    if any(role.get("Path") == f"/aws-service-role/{SERVICE}/" for role in iam._roles.values()):
        return
    if caller.denial("iam:CreateServiceLinkedRole", ROLE, {"iam:AWSServiceName": SERVICE}):
        raise ServiceError(
            "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
            "The provided credentials do not have permission to create the service-linked role for EC2 Spot Instances.",
            403,
        )
    iam._create_service_linked_role({"AWSServiceName": SERVICE})


@dataclass
class SpotRequest:
    """A request that was fulfilled at once.

    Parameters
    ----------
    instance
        The instance's id.
    is_over
        Whether the instance has ended.
    """

    instance: str
    is_over: Callable[[], bool]
    id: str = field(default_factory=lambda: f"sir-{secrets.token_hex(4)}")
    created: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()))

    def describe(self) -> str:
        """Return its item in DescribeSpotInstanceRequests' answer."""
        state, code = ("closed", "instance-terminated-by-user") if self.is_over() else ("active", "fulfilled")
        return (
            f"<item><spotInstanceRequestId>{self.id}</spotInstanceRequestId><type>one-time</type><state>{state}</state>"
            f"<status><code>{code}</code></status><instanceId>{self.instance}</instanceId>"
            f"<createTime>{self.created}</createTime>{ec2._tag_set_xml(self.id)}</item>"
        )

    @property
    def instance_elements(self) -> str:
        """What DescribeInstances says of the instance."""
        lifecycle = "<instanceLifecycle>spot</instanceLifecycle>"
        return f"{lifecycle}<spotInstanceRequestId>{self.id}</spotInstanceRequestId>"
