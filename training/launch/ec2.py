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
from training.launch.job_spec import JobSpec
from training.launch.run import RunStatus
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
class InstanceSpec:
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
    def start(cls, aws: Aws, spec: JobSpec) -> "Instance":
        """Start an instance from the stack's launch template.

        Raises
        ------
        TrainingError
            The settings have no template.
        """
        site = spec.site
        if not (site.template and site.instance_logs):
            raise TrainingError(
                f"KennelTraining-{site.environment} has no launch template: set training.instance.enabled = true in "
                f"settings/{site.environment}.toml and deploy"
            )
        run = cls(aws, site, spec.name)
        run._start(
            InstanceSpec(
                spec.name,
                spec.photos,
                spec.code,
                dict(spec.options),
                spec.weights,
                runs=site.uri(places.RUNS),
                models=site.uri(places.MODELS),
                checkpoints=site.uri(spec.checkpoints),
                log_group=site.instance_logs,
                hours=spec.hours,
                instance_type=spec.instance_type,
                spot=spec.spot,
            )
        )
        return run

    @property
    def log_group(self) -> str:
        """See ``Run``."""
        return self.site.instance_logs or ""

    def exists(self) -> bool:
        """Return whether it was ever started."""
        return self._read(places.spec_key(self.name)) is not None

    def status(self) -> RunStatus:
        """See ``Run``: what the instance itself said last, unless it is gone without a word."""
        spec, said = self._spec(), self._read(places.status_key(self.name)) or {}
        if said.get("attempt") == spec.attempt and said["state"] != "running":
            return RunStatus(said["state"], said["detail"], said.get("reason", ""))
        if not spec.instance:
            return RunStatus("interrupted", "no instance was started")
        instance = self._describe(spec.instance)
        state = instance["State"]["Name"] if instance else "terminated"
        if state in ALIVE:
            detail = said["detail"] if said.get("attempt") == spec.attempt else f"instance {state}"
            return RunStatus("running", f"{spec.instance}: {detail}")
        why = instance.get("StateReason", {}).get("Code", "") if instance else ""
        if why.startswith("Server.SpotInstance"):
            return RunStatus("interrupted", "the spot instance was taken away")
        if why == "Client.UserInitiatedShutdown":
            return RunStatus("stopped", "somebody terminated the instance")
        return RunStatus(
            "failed",
            f"instance {state}",
            f"the instance {spec.instance} ended without a word; "
            f"`aws ec2 get-console-output --instance-id {spec.instance} --output text` has its last ones",
        )

    def stop(self) -> bool:
        """See ``Run``; the instance has as long as its shutdown takes to write its checkpoint, see ``user-data.sh``."""
        if self.status().is_over:
            return False
        self.aws.ec2.terminate_instances(InstanceIds=[self._spec().instance])
        return True

    def restart(self) -> bool:
        """See ``Run``."""
        spec = self._spec()
        if spec.attempt > RESTARTS:
            return False
        self._start(replace(spec, attempt=spec.attempt + 1, instance=""))
        return True

    def next_run(self) -> None:
        """See ``Run``."""

    def _start(self, spec: InstanceSpec) -> None:
        self._write(spec)  # before the instance, which reads it
        instance = self._run(spec)
        self._write(replace(spec, instance=instance))
        self.aws.ec2.get_waiter("instance_exists").wait(InstanceIds=[instance])

    def _run(self, spec: InstanceSpec) -> str:
        """Start an instance in the first subnet of the settings that can have it, and return its id.

        Without a subnet EC2 takes one of the default VPC, to which the template's security group does not belong
        where the settings name a VPC.
        """
        subnets = self.site.subnets or ("",)
        for number, subnet in enumerate(subnets, start=1):
            try:
                return self.aws.ec2.run_instances(**self._request(spec, subnet, number))["Instances"][0]["InstanceId"]
            except ClientError as error:
                if code_of(error) not in ONLY_HERE or number == len(subnets):
                    raise
                say("Status", f"{subnet}: {code_of(error)}; trying {subnets[number]}")
        raise AssertionError("the last subnet's error is raised")

    def _request(self, spec: InstanceSpec, subnet: str, number: int) -> "RunInstancesRequestTypeDef":
        named = [tag for tag in tags(self.site) if tag["Key"] != "Name"] + [{"Key": "Name", "Value": spec.name}]
        kinds = ["instance", "volume", "network-interface"]
        if spec.spot or self.site.spot:  # EC2 refuses tags of a spot request where there is none
            kinds.append("spot-instances-request")
        again = f"-{number}" if number > 1 else ""  # another subnet is another request
        request: dict[str, Any] = {
            "MinCount": 1,
            "MaxCount": 1,
            "LaunchTemplate": {"LaunchTemplateId": self.site.template, "Version": "$Latest"},
            "UserData": user_data(self.site, spec),
            "ClientToken": f"{spec.name}-{spec.attempt}{again}",  # the same request again starts no second instance
            "TagSpecifications": [{"ResourceType": kind, "Tags": named} for kind in kinds],
        }
        if subnet:
            request["SubnetId"] = subnet
        if spec.instance_type:
            request["InstanceType"] = spec.instance_type
        if spec.spot:
            once = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
            request["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": once}
        return request  # type: ignore[return-value]

    def _spec(self) -> InstanceSpec:
        members = self._read(places.spec_key(self.name))
        if members is None:
            raise TrainingError(f"there is no run {self.name} in {self.site.uri(places.RUNS)}")
        return InstanceSpec(**members)

    def _write(self, spec: InstanceSpec) -> None:
        body = json.dumps(asdict(spec), indent=2).encode()
        self.aws.bucket(self.site.bucket).write(places.spec_key(self.name), body)

    def _read(self, key: str) -> dict[str, Any] | None:
        body = self.aws.bucket(self.site.bucket).read_if_exists(key)
        return None if body is None else dict(json.loads(body))

    def _describe(self, instance: str) -> Any:
        """Return EC2's description, None when it has forgotten the instance, an hour or so after its end."""
        try:
            reservations = self.aws.ec2.describe_instances(InstanceIds=[instance])["Reservations"]
        except ClientError as error:
            if code_of(error) == "InvalidInstanceID.NotFound":
                return None
            raise
        return reservations[0]["Instances"][0] if reservations else None


def user_data(site: Site, spec: InstanceSpec) -> str:
    """Return the script that the instance runs first; boto3 encodes it."""
    return Template(USER_DATA.read_text()).substitute(
        SECONDS_AT_MOST=int(spec.hours * 3600) + 1800,  # for what comes before and after the training
        REGION=site.region,
        BUCKET=site.bucket,
        CODE=spec.code,
        NAME=spec.name,
    )
