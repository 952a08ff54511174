"""Network interfaces in the customer's VPC."""

from collections.abc import Sequence

from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.policies.arns import ec2_arn


def describe_network() -> iam.PolicyStatement:
    """Look at the VPC that a job is to join.

    Wildcard: the actions support no resource.

    Source: SageMaker guide, "SageMaker AI roles", CreateTrainingJob API; Service Authorization Reference, Amazon EC2.
    """
    return iam.PolicyStatement(
        sid="DescribeNetwork",
        actions=[
            "ec2:DescribeDhcpOptions",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
        ],
        resources=["*"],
    )


def create_network_interfaces(
    scope: Construct, subnet_ids: Sequence[str], security_group_ids: Sequence[str]
) -> iam.PolicyStatement:
    """Join a job to the VPC of the settings: in these subnets, with these security groups.

    Wildcard: an interface has no ID before it exists; the subnets and security groups are named.

    Source: Service Authorization Reference, Amazon EC2, CreateNetworkInterface.
    """
    resources = ["network-interface/*"]
    resources += [f"subnet/{name}" for name in subnet_ids]
    resources += [f"security-group/{name}" for name in security_group_ids]
    return iam.PolicyStatement(
        sid="CreateNetworkInterfaces",
        actions=["ec2:CreateNetworkInterface"],
        resources=[ec2_arn(scope, resource) for resource in resources],
    )


def manage_network_interfaces(scope: Construct, subnet_ids: Sequence[str]) -> iam.PolicyStatement:
    """Let SageMaker's hosts attach the interfaces in these subnets, and take both back after the job.

    Wildcard: an interface has no ID before it exists; the condition restricts the actions to the subnets.

    Source: SageMaker guide, "SageMaker AI roles"; Service Authorization Reference, Amazon EC2 (all three actions
    are on a network interface, with ``ec2:Subnet``).
    """
    return iam.PolicyStatement(
        sid="ManageNetworkInterfaces",
        actions=[
            "ec2:CreateNetworkInterfacePermission",
            "ec2:DeleteNetworkInterface",
            "ec2:DeleteNetworkInterfacePermission",
        ],
        resources=[ec2_arn(scope, "network-interface/*")],
        conditions={"ArnEquals": {"ec2:Subnet": [ec2_arn(scope, f"subnet/{name}") for name in subnet_ids]}},
    )
