"""EC2 instances as runs: each trains, delivers, and terminates itself."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from training.common.aws import Aws
from training.common.aws_errors import code_of
from training.common.console import say
from training.common.errors import TrainingError
from training.launch import places
from training.launch.order import Order
from training.launch.run import Look
from training.launch.site import Site, tags

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import RunInstancesRequestTypeDef

USER_DATA = Path(__file__).parent / "remote" / "user-data.sh"
ALIVE = ("pending", "running", "shutting-down", "stopping")
RESTARTS = 5
"""How often a spot instance that was taken away is replaced while somebody follows the run."""

ONLY_HERE = (
    "InsufficientInstanceCapacity",
    "InsufficientFreeAddressesInSubnet",
    "SpotMaxPriceTooLow",
    "Unsupported",
)
"""Why EC2 refuses an instance in one subnet or Availability Zone and may start it in another: no capacity, no address,
a spot price above the limit, an instance type that the zone lacks (EC2 API reference, "Error codes")."""


@dataclass(frozen=True)
class InstanceOrder:
    """What an instance reads in S3, and what another in its place is started with.

    Parameters
    ----------
    photos, code, weights
        Addresses in S3; ``code`` a key.
    runs, models, checkpoints
        Prefixes in S3, of which the run's own are made.
    attempt
        Counted from 1.
    """

    name: str
    photos: str
    code: str
    options: dict[str, str]
    weights: str | None
    runs: str
    models: str
    checkpoints: str
    log_group: str
    hours: float
    instance_type: str | None
    spot: bool
    attempt: int = 1
    instance: str = ""


@dataclass(frozen=True)
class Instance:
    """A run on an instance, and on the ones that replace it."""

    aws: Aws
    site: Site
    name: str
    kind: str = "instance"

    @classmethod
    def start(cls, aws: Aws, order: Order) -> "Instance":
        """Start an instance from the stack's launch template.

        Raises
        ------
        TrainingError
            The settings have no template.
        """
        site = order.site
        if not (site.template and site.instance_logs):
            raise TrainingError(
                f"KennelTraining-{site.environment} has no launch template: set training.instance.enabled = true in "
                f"settings/{site.environment}.toml and deploy"
            )
        run = cls(aws, site, order.name)
        run._start(
            InstanceOrder(
                order.name,
                order.photos,
                order.code,
                dict(order.options),
                order.weights,
                runs=site.uri(places.RUNS),
                models=site.uri(places.MODELS),
                checkpoints=site.uri(order.checkpoints),
                log_group=site.instance_logs,
                hours=order.hours,
                instance_type=order.instance_type,
                spot=order.spot,
            )
        )
        return run

    @property
    def log_group(self) -> str:
        """See ``Run``."""
        return self.site.instance_logs or ""

    def exists(self) -> bool:
        """Return whether it was ever started."""
        return self._read(places.order_key(self.name)) is not None

    def look(self) -> Look:
        """See ``Run``: what the instance itself said last, unless it is gone without a word."""
        order, said = self._order(), self._read(places.status_key(self.name)) or {}
        if said.get("attempt") == order.attempt and said["state"] != "running":
            return Look(said["state"], said["detail"], said.get("reason", ""))
        if not order.instance:
            return Look("interrupted", "no instance was started")
        instance = self._describe(order.instance)
        state = instance["State"]["Name"] if instance else "terminated"
        if state in ALIVE:
            detail = said["detail"] if said.get("attempt") == order.attempt else f"instance {state}"
            return Look("running", f"{order.instance}: {detail}")
        why = instance.get("StateReason", {}).get("Code", "") if instance else ""
        if why.startswith("Server.SpotInstance"):
            return Look("interrupted", "the spot instance was taken away")
        if why == "Client.UserInitiatedShutdown":
            return Look("stopped", "somebody terminated the instance")
        return Look(
            "failed",
            f"instance {state}",
            f"the instance {order.instance} ended without a word; "
            f"`aws ec2 get-console-output --instance-id {order.instance} --output text` has its last ones",
        )

    def stop(self) -> bool:
        """See ``Run``; the instance has as long as its shutdown takes to write its checkpoint, see ``user-data.sh``."""
        if self.look().over:
            return False
        self.aws.ec2.terminate_instances(InstanceIds=[self._order().instance])
        return True

    def again(self) -> bool:
        """See ``Run``."""
        order = self._order()
        if order.attempt > RESTARTS:
            return False
        self._start(replace(order, attempt=order.attempt + 1, instance=""))
        return True

    def after(self) -> None:
        """See ``Run``."""

    def _start(self, order: InstanceOrder) -> None:
        self._write(order)  # before the instance, which reads it
        instance = self._run(order)
        self._write(replace(order, instance=instance))
        self.aws.ec2.get_waiter("instance_exists").wait(InstanceIds=[instance])

    def _run(self, order: InstanceOrder) -> str:
        """Start an instance in the first subnet of the settings that can have it, and return its id.

        Without a subnet EC2 takes one of the default VPC, to which the template's security group does not belong
        where the settings name a VPC.
        """
        subnets = self.site.subnets or ("",)
        for number, subnet in enumerate(subnets, start=1):
            try:
                return self.aws.ec2.run_instances(**self._request(order, subnet, number))["Instances"][0]["InstanceId"]
            except ClientError as error:
                if code_of(error) not in ONLY_HERE or number == len(subnets):
                    raise
                say("Status", f"{subnet}: {code_of(error)}; trying {subnets[number]}")
        raise AssertionError("the last subnet's error is raised")

    def _request(self, order: InstanceOrder, subnet: str, number: int) -> "RunInstancesRequestTypeDef":
        named = [tag for tag in tags(self.site) if tag["Key"] != "Name"] + [{"Key": "Name", "Value": order.name}]
        kinds = ["instance", "volume", "network-interface"]
        if order.spot or self.site.spot:  # EC2 refuses tags of a spot request where there is none
            kinds.append("spot-instances-request")
        again = f"-{number}" if number > 1 else ""  # another subnet is another request
        request: dict[str, Any] = {
            "MinCount": 1,
            "MaxCount": 1,
            "LaunchTemplate": {"LaunchTemplateId": self.site.template, "Version": "$Latest"},
            "UserData": user_data(self.site, order),
            "ClientToken": f"{order.name}-{order.attempt}{again}",  # the same request again starts no second instance
            "TagSpecifications": [{"ResourceType": kind, "Tags": named} for kind in kinds],
        }
        if subnet:
            request["SubnetId"] = subnet
        if order.instance_type:
            request["InstanceType"] = order.instance_type
        if order.spot:
            once = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
            request["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": once}
        return request  # type: ignore[return-value]

    def _order(self) -> InstanceOrder:
        found = self._read(places.order_key(self.name))
        if found is None:
            raise TrainingError(f"there is no run {self.name} in {self.site.uri(places.RUNS)}")
        return InstanceOrder(**found)

    def _write(self, order: InstanceOrder) -> None:
        body = json.dumps(asdict(order), indent=2).encode()
        self.aws.bucket(self.site.bucket).write(places.order_key(self.name), body)

    def _read(self, key: str) -> dict[str, Any] | None:
        body = self.aws.bucket(self.site.bucket).read_if_exists(key)
        return None if body is None else dict(json.loads(body))

    def _describe(self, instance: str) -> Any:
        """Return EC2's description, None when it has forgotten the instance, an hour or so after its end."""
        try:
            found = self.aws.ec2.describe_instances(InstanceIds=[instance])["Reservations"]
        except ClientError as error:
            if code_of(error) == "InvalidInstanceID.NotFound":
                return None
            raise
        return found[0]["Instances"][0] if found else None


def user_data(site: Site, order: InstanceOrder) -> str:
    """Return the script that the instance runs first; boto3 encodes it."""
    return Template(USER_DATA.read_text()).substitute(
        SECONDS_AT_MOST=int(order.hours * 3600) + 1800,  # for what comes before and after the training
        REGION=site.region,
        BUCKET=site.bucket,
        CODE=order.code,
        NAME=order.name,
    )
