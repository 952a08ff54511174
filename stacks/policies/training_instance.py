"""What the EC2 instance that trains may do."""

from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.policies.arns import ec2_arn, log_group_arn


def register_instance(scope: Construct) -> iam.PolicyStatement:
    """Tell Systems Manager that an instance is there, so that Session Manager can reach it.

    Wildcard: an instance has no ID before it starts.

    Source: Systems Manager guide, "Add Session Manager permissions"; Service Authorization Reference, AWS Systems
    Manager, UpdateInstanceInformation.
    """
    return iam.PolicyStatement(
        sid="RegisterInstance",
        actions=["ssm:UpdateInstanceInformation"],
        resources=[ec2_arn(scope, "instance/*")],
    )


def open_session_channels() -> iam.PolicyStatement:
    """Carry a Session Manager session, from the inside out.

    Less than ``AmazonSSMManagedInstanceCore``, which also reads every parameter of the account.

    Wildcard: the actions support no resource.

    Source: Systems Manager guide, "Create a custom IAM role for Session Manager".
    """
    return iam.PolicyStatement(
        sid="OpenSessionChannels",
        actions=[
            "ssmmessages:CreateControlChannel",
            "ssmmessages:CreateDataChannel",
            "ssmmessages:OpenControlChannel",
            "ssmmessages:OpenDataChannel",
        ],
        resources=["*"],
    )


def write_instance_logs(scope: Construct, log_group_name: str) -> iam.PolicyStatement:
    """Write to the training instances' own log group, which the stack creates (CloudWatch Logs permissions).

    Wildcard: an instance names its log stream.
    """
    return iam.PolicyStatement(
        sid="WriteInstanceLogs",
        actions=["logs:CreateLogStream", "logs:PutLogEvents"],
        resources=[f"{log_group_arn(scope, log_group_name)}:*"],
    )
