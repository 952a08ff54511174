"""Where instances and security groups lie on the embedded AWS, and what it is like without a default VPC."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded import Aws

ENDS = "#!/bin/sh\nshutdown"


@pytest.fixture(scope="module")
def own(aws: Aws) -> dict[str, str]:
    """A VPC with a subnet and a security group."""
    vpc = aws.ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnet = aws.ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24")["Subnet"]["SubnetId"]
    group = aws.ec2.create_security_group(VpcId=vpc, GroupName="own", Description="own")["GroupId"]
    return {"vpc": vpc, "subnet": subnet, "group": group}


@pytest.fixture
def without_default_vpc(aws: Aws) -> Iterator[None]:
    aws.delete_default_vpc()
    yield
    aws.ec2.create_default_vpc()


def run(aws: Aws, **changes: Any) -> dict[str, Any]:
    started = aws.ec2.run_instances(UserData=ENDS, MinCount=1, MaxCount=1, ImageId="ami-12345678", **changes)
    found: dict[str, Any] = started["Instances"][0]
    return found


def refusal(aws: Aws, **changes: Any) -> str:
    with pytest.raises(ClientError) as caught:
        run(aws, **changes)
    return f"{caught.value.response['Error']['Code']}: {caught.value.response['Error']['Message']}"


def template(**properties: Any) -> dict[str, Any]:
    group = {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "g", **properties}}
    return {"Resources": {"Group": group}}


def test_an_instance_lies_in_the_subnet_that_is_named_with_its_groups(aws: Aws, own: dict[str, str]) -> None:
    instance = run(aws, SubnetId=own["subnet"], SecurityGroupIds=[own["group"]])
    assert (instance["VpcId"], instance["SubnetId"]) == (own["vpc"], own["subnet"])
    assert [group["GroupId"] for group in instance["SecurityGroups"]] == [own["group"]]
    alone = run(aws, SubnetId=own["subnet"])
    assert [group["GroupName"] for group in alone["SecurityGroups"]] == ["default"]


def test_a_group_of_another_vpc_than_the_subnet_s_is_refused(aws: Aws, own: dict[str, str]) -> None:
    default = run(aws)["SubnetId"]
    words = "InvalidParameter: Security group {} and subnet {} belong to different networks."
    assert refusal(aws, SecurityGroupIds=[own["group"]]) == words.format(own["group"], default)
    (theirs,) = run(aws)["SecurityGroups"]
    refused = refusal(aws, SecurityGroupIds=[theirs["GroupId"]], SubnetId=own["subnet"])
    assert refused == words.format(theirs["GroupId"], own["subnet"])


def test_a_subnet_or_a_group_that_is_not_there_is_named(aws: Aws) -> None:
    missing = "subnet-00000000000000000"
    assert refusal(aws, SubnetId=missing) == f"InvalidSubnetID.NotFound: The subnet ID '{missing}' does not exist"
    refused = refusal(aws, SecurityGroupIds=["sg-00000000000000000"])
    assert refused == "InvalidGroup.NotFound: The security group 'sg-00000000000000000' does not exist"


@pytest.mark.usefixtures("without_default_vpc")
def test_without_a_default_vpc_an_instance_and_a_group_must_name_theirs(aws: Aws, own: dict[str, str]) -> None:
    none = "VPCIdNotSpecified: No default VPC for this user"
    assert refusal(aws) == none
    assert refusal(aws, SecurityGroupIds=[own["group"]]) == none
    assert run(aws, SubnetId=own["subnet"], SecurityGroupIds=[own["group"]])["VpcId"] == own["vpc"]
    with pytest.raises(ClientError, match="VPCIdNotSpecified"):
        aws.ec2.create_security_group(GroupName="somewhere", Description="somewhere")


@pytest.mark.usefixtures("without_default_vpc")
def test_without_a_default_vpc_cloudformation_makes_no_group_that_names_none(aws: Aws, own: dict[str, str]) -> None:
    assert aws.deploy("no-vpc", template()) == "ROLLBACK_COMPLETE"
    assert "No default VPC for this user (Service: AmazonEC2; Status Code: 400; Error Code: VPCIdNotSpecified" in (
        aws.reasons("no-vpc")
    )
    aws.cloudformation.delete_stack(StackName="no-vpc")
    assert aws.deploy("own-vpc", template(VpcId=own["vpc"])) == "CREATE_COMPLETE"
    aws.cloudformation.delete_stack(StackName="own-vpc")


def test_a_group_of_a_stack_stays_where_it_is_while_its_rules_change(aws: Aws, own: dict[str, str]) -> None:
    rules = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIp": "0.0.0.0/0"}]
    assert aws.deploy("group", template()) == "CREATE_COMPLETE"
    before = aws.cloudformation.list_stack_resources(StackName="group")["StackResourceSummaries"][0]
    assert aws.deploy("group", template(SecurityGroupIngress=rules)) == "UPDATE_COMPLETE"
    after = aws.cloudformation.list_stack_resources(StackName="group")["StackResourceSummaries"][0]
    assert after["PhysicalResourceId"] == before["PhysicalResourceId"]
    assert aws.deploy("group", template(SecurityGroupEgress=rules)) == "UPDATE_ROLLBACK_COMPLETE"
    assert "SecurityGroupEgress cannot be specified without VpcId" in aws.reasons("group")
    assert aws.deploy("group", template(SecurityGroupEgress=rules, VpcId=own["vpc"])) == "UPDATE_COMPLETE"
    moved = aws.cloudformation.list_stack_resources(StackName="group")["StackResourceSummaries"][0]
    assert moved["PhysicalResourceId"] != before["PhysicalResourceId"]
    aws.cloudformation.delete_stack(StackName="group")
