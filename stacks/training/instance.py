"""The EC2 launch template for training: a Deep Learning AMI without logins from outside."""

from typing import cast

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from stacks import policies
from stacks.common import names
from stacks.common.every_stack import stack_tags
from stacks.settings import Settings
from stacks.training.access import train_from_bucket

ROOT_DEVICE = "/dev/xvda"
"""The root device of Amazon Linux 2023 images (EC2 guide, "Device names for volumes")."""

GROUP = "SecurityGroup"
GROUP_OF_DEFAULT_VPC = "SecurityGroup of the default VPC, because training.network is not set"
"""The CDK prints this path beside CloudFormation's "No default VPC for this user", which says nothing of settings."""

GROUP_LOGICAL_ID = "InstanceSecurityGroup93A921D3"
"""The logical ID that the path ``Instance/SecurityGroup`` gives."""


class TrainingInstance(Construct):
    """A launch template with its own role, instance profile, security group and log group.

    Session Manager is the only way in: no key pair, no inbound port, IMDSv2 that a container on the instance cannot
    reach. An instance that shuts itself down is terminated, and its disk with it.

    Attributes
    ----------
    launch_template_id, role_arn
        What ``launch`` needs to start an instance, and to be allowed to pass its role.
    market
        ``spot`` or ``on-demand``: ``launch`` tags a spot request where the template makes one.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        log_group = logs.LogGroup(
            self,
            "Logs",
            log_group_name=names.training_log_group(settings.environment),
            removal_policy=RemovalPolicy.DESTROY,
        )
        # The L2 takes an enumeration that spells the days out in words; the setting is a number of days.
        cast(logs.CfnLogGroup, log_group.node.default_child).retention_in_days = settings.training.log_retention_days
        role = self._role(settings)
        template = self._launch_template(settings, role, self._security_group(settings))
        self.launch_template_id = template.ref
        self.role_arn = role.role_arn
        self.market = "spot" if settings.training.instance.spot else "on-demand"

    def _role(self, settings: Settings) -> iam.Role:
        return iam.Role(
            self,
            "Role",
            description="Role of Kennel's EC2 training instances",
            # EC2 assumes an instance's role without aws:SourceArn, so there is nothing to condition on.
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
            inline_policies={
                "Train": iam.PolicyDocument(
                    statements=[
                        *train_from_bucket(self, settings),
                        policies.write_instance_logs(self, names.training_log_group(settings.environment)),
                        policies.register_instance(self),
                        policies.open_session_channels(),
                    ]
                )
            },
        )

    def _security_group(self, settings: Settings) -> ec2.ISecurityGroup:
        """Make a security group without ingress; only HTTPS goes out (name service and time need no rule).

        Without ``training.network`` it belongs to the account's default VPC, and everything may go out:
        CloudFormation takes egress rules only beside a VpcId (AWS::EC2::SecurityGroup). In an account without a
        default VPC its creation fails ("No default VPC for this user").
        """
        network = settings.training.network
        # L1: the L2 wants a VPC that was looked up, which synth must not do.
        group = ec2.CfnSecurityGroup(
            self,
            GROUP if network else GROUP_OF_DEFAULT_VPC,
            group_description="Kennel training instances: nothing comes in",
            vpc_id=network.vpc_id if network else None,
            security_group_egress=[
                _https(description="S3, Systems Manager, CloudWatch Logs, packages", cidr_ip="0.0.0.0/0"),
                _https(description="The same over IPv6", cidr_ipv6="::/0"),
            ]
            if network
            else None,
        )
        # One logical ID for both, so that no deployed group is replaced for the sake of its path.
        group.override_logical_id(GROUP_LOGICAL_ID)
        return ec2.SecurityGroup.from_security_group_id(self, "Group", group.attr_group_id, mutable=False)

    def _launch_template(
        self, environment: Settings, role: iam.Role, security_group: ec2.ISecurityGroup
    ) -> ec2.CfnLaunchTemplate:
        settings = environment.training.instance
        template = ec2.LaunchTemplate(
            self,
            "LaunchTemplate",
            instance_type=ec2.InstanceType(settings.type),
            instance_profile=iam.InstanceProfile(self, "Profile", role=role),
            security_group=security_group,
            require_imdsv2=True,
            http_put_response_hop_limit=1,
            instance_initiated_shutdown_behavior=ec2.InstanceInitiatedShutdownBehavior.TERMINATE,
            block_devices=[
                ec2.BlockDevice(
                    device_name=ROOT_DEVICE,
                    volume=ec2.BlockDeviceVolume.ebs(
                        settings.disk_gb,
                        volume_type=ec2.EbsDeviceVolumeType.GP3,
                        encrypted=True,
                        delete_on_termination=True,
                    ),
                )
            ],
            # One-time: a persistent request would start the training again after it has ended and shut down.
            spot_options=ec2.LaunchTemplateSpotOptions(
                request_type=ec2.SpotRequestType.ONE_TIME,
                interruption_behavior=ec2.SpotInstanceInterruption.TERMINATE,
            )
            if settings.spot
            else None,
        )
        resource = cast(ec2.CfnLaunchTemplate, template.node.default_child)
        # EC2 resolves it whenever an instance starts, where CloudFormation's {{resolve:ssm:...}} keeps the image of the
        # deployment (EC2 guide, "Use a Systems Manager parameter instead of an AMI ID"). The L2 would add user data.
        resource.add_property_override("LaunchTemplateData.ImageId", f"resolve:ssm:{settings.image_parameter}")
        # The L2 tags instances and volumes with a name alone, and CloudFormation hands no tags of the stack on
        # (aws-cloudformation/cloudformation-coverage-roadmap 2227, 1007, 195).
        name = self.node.path
        tags = [{"Key": key, "Value": value} for key, value in {"Name": name, **stack_tags(environment)}.items()]
        kinds = ["instance", "volume", "network-interface", *(["spot-instances-request"] if settings.spot else [])]
        specifications = [{"ResourceType": kind, "Tags": tags} for kind in kinds]
        resource.add_property_override("LaunchTemplateData.TagSpecifications", specifications)
        return resource


def _https(
    *, description: str, cidr_ip: str | None = None, cidr_ipv6: str | None = None
) -> ec2.CfnSecurityGroup.EgressProperty:
    return ec2.CfnSecurityGroup.EgressProperty(
        ip_protocol="tcp", from_port=443, to_port=443, description=description, cidr_ip=cidr_ip, cidr_ipv6=cidr_ipv6
    )
