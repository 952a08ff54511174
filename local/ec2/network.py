"""Where an instance lies: its subnet and its security groups, and the default VPC, which an account may lack.

ministack falls back to the VPC that it was born with, whether or not that exists. An account without a default VPC is
made as on AWS: delete its subnets, its internet gateway and the VPC.
"""

import secrets
from typing import Any

from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from local.core.errors import ServiceError
from local.core.json_service import Parameters
from local.ministack.cloudformation import Created, failed_event

GROUP = "AWS::EC2::SecurityGroup"
NO_DEFAULT_VPC = "VPCIdNotSpecified"
"""Public reports of its words: rancher/quickstart 126, aerospike/aws-cloudformation 24."""


def register() -> None:
    """Have CloudFormation's security groups lie in a VPC that exists."""
    handlers: dict[str, Any] = provisioners._RESOURCE_HANDLERS[GROUP]
    create, update = handlers["create"], handlers["update"]

    def create_there(logical_id: str, properties: Parameters, stack: str) -> Created:
        made: Created = create(logical_id, _add_vpc(properties), stack)
        return made

    def update_there(physical_id: str, old: Parameters, new: Parameters, stack: str, *logical_id: str) -> Created:
        own = (ec2._security_groups.get(physical_id) or {}).get("VpcId")
        stays = own and "VpcId" not in old and "VpcId" not in new
        moved = _add_vpc({**new, "VpcId": own} if stays and not new.get("SecurityGroupEgress") else new)
        made: Created = update(physical_id, {**old, "VpcId": own}, moved, stack, *logical_id)
        return made

    handlers.update(create=create_there, update=update_there)


def _add_vpc(properties: Parameters) -> Parameters:
    """Return a template's security group with its VPC; a refusal reads as CloudFormation's event would."""
    if "VpcId" not in properties and properties.get("SecurityGroupEgress"):
        # awsdocs/aws-cloudformation-user-guide, pull request 1277
        raise ValueError("SecurityGroupEgress cannot be specified without VpcId")
    with failed_event("AmazonEC2", "; "):
        return {**properties, "VpcId": find_vpc(properties.get("VpcId"))}


def find_vpc(asked: str | None) -> str:
    """Return the VPC that a request means: the one that it names, else the default one.

    Parameters
    ----------
    asked
        The id in the request, None where it names none.

    Raises
    ------
    ServiceError
        There is none.
    """
    if asked:
        if asked not in ec2._vpcs:
            raise ServiceError("InvalidVpcID.NotFound", f"The vpc ID '{asked}' does not exist")
        return asked
    for vpc in ec2._vpcs.values():
        if vpc.get("IsDefault"):
            return str(vpc["VpcId"])
    raise ServiceError(NO_DEFAULT_VPC, "No default VPC for this user")


def choose_network(parameters: dict[str, str]) -> dict[str, str]:
    """Return RunInstances' parameters with the subnet and the security groups that EC2 chooses where none is named.

    Sources: EC2 API reference, RunInstances ("If you don't specify a subnet ID, we choose a default subnet from your
    default VPC for you") and "Error codes"; QT-DevOps/DevOpsIssues 256 (a group of another VPC, and no subnet).

    Parameters
    ----------
    parameters
        RunInstances' parameters, merged with the launch template.

    Raises
    ------
    ServiceError
        There is no such subnet or group, or they belong to different VPCs.
    """
    subnet = _subnet(parameters.get("SubnetId"))
    groups = [value for name, value in parameters.items() if name.startswith("SecurityGroupId.")]
    for group in groups:
        _check_group(group, subnet)
    groups = groups or _default_group(subnet["VpcId"])
    numbered = {f"SecurityGroupId.{number}": group for number, group in enumerate(groups, start=1)}
    return {**parameters, "SubnetId": subnet["SubnetId"], **numbered}


def _check_group(group: str, subnet: dict[str, Any]) -> None:
    if group not in ec2._security_groups:
        raise ServiceError("InvalidGroup.NotFound", f"The security group '{group}' does not exist")
    if ec2._security_groups[group]["VpcId"] != subnet["VpcId"]:
        words = f"Security group {group} and subnet {subnet['SubnetId']} belong to different networks."
        raise ServiceError("InvalidParameter", words)


def _default_group(vpc: str) -> list[str]:
    """Return the default security group of a VPC, in a list; none where it has been deleted."""
    groups = ec2._security_groups.values()
    return [group["GroupId"] for group in groups if group["VpcId"] == vpc and group["GroupName"] == "default"][:1]


def _subnet(asked: str | None) -> dict[str, Any]:
    if asked:
        subnet: dict[str, Any] | None = ec2._subnets.get(asked)
        if subnet is None:
            raise ServiceError("InvalidSubnetID.NotFound", f"The subnet ID '{asked}' does not exist")
        return subnet
    vpc = find_vpc(None)
    for subnet in ec2._subnets.values():
        if subnet["VpcId"] == vpc and subnet.get("DefaultForAz"):
            return dict(subnet)
    raise ServiceError("MissingInput", f"No subnets found for the default VPC '{vpc}'. Please specify a subnet.")


def attach_interface(instance: str) -> str:
    """Give an instance its network interface, and return the interface's id."""
    record = ec2._instances[instance]
    interface = f"eni-{secrets.token_hex(9)[:17]}"
    attachment = {
        "AttachmentId": f"eni-attach-{secrets.token_hex(9)[:17]}",
        "InstanceId": instance,
        "DeviceIndex": 0,
        "Status": "attached",
        "AttachTime": record["LaunchTime"],
    }
    ec2._network_interfaces[interface] = {
        "NetworkInterfaceId": interface,
        "Description": "",
        "Status": "in-use",
        "MacAddress": ":".join(f"{byte:02x}" for byte in secrets.token_bytes(6)),
        "Groups": record["SecurityGroups"],
        "OwnerId": ec2._subnets[record["SubnetId"]]["OwnerId"],
        "AvailabilityZone": ec2._subnets[record["SubnetId"]]["AvailabilityZone"],
        "Attachment": attachment,
        **{name: record[name] for name in ("SubnetId", "VpcId", "PrivateIpAddress")},
    }
    return interface


def release_resources(instance: str) -> None:
    """Remove the interface and the volumes of an instance that is terminated, as DeleteOnTermination says."""
    for interface in list(ec2._network_interfaces.values()):
        if (interface.get("Attachment") or {}).get("InstanceId") == instance:
            del ec2._network_interfaces[interface["NetworkInterfaceId"]]
    for volume in list(ec2._volumes.values()):
        own = [attachment for attachment in volume["Attachments"] if attachment["InstanceId"] == instance]
        if any(attachment["DeleteOnTermination"] for attachment in own):
            del ec2._volumes[volume["VolumeId"]]
