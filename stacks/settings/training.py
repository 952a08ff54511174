"""``[training]``: what SageMaker jobs, EC2 instances and the workbench may use."""

import re
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from stacks.settings.section import LogRetentionDays, Section

IMAGE_PARAMETER = re.compile(
    r"/aws/service/(?P<kind>deeplearning/ami/x86_64/[a-z0-9.-]+-amazon-linux-2023/latest/ami-id"
    r"|ami-amazon-linux-latest/al2023-ami-[a-z0-9.-]*x86_64)"
)
"""Public SSM parameters of Amazon Linux 2023 images: Deep Learning AMI guide, "Finding the ID of a DLAMI"."""

DLAMI_FAMILIES = frozenset(
    ["g4dn", "g5", "g6", "g6e", "g6f", "gr6", "gr6f", "p4d", "p4de", "p5", "p5e", "p5en", "p6-b200"]
)
"""EC2 instances that the Deep Learning AMI with NVIDIA's open driver runs on (DLAMI release notes, PyTorch 2.13)."""

INSTANCE_TYPE = re.compile(r"(?P<family>[a-z]+\d+(?P<options>[a-z]*)(?:-[a-z0-9]+)?)\.[a-z0-9-]+")
NOTEBOOK_TYPE = re.compile(r"ml\.[a-z]+\d+[a-z-]*\.[a-z0-9]+")

ECR_REPOSITORY = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(?P<name>[a-z0-9][a-z0-9._/-]*)"
)
"""A private repository of Amazon ECR, without a tag."""

Id = r"^{}-([0-9a-f]{{8}}|[0-9a-f]{{17}})$"
SubnetId = Annotated[str, Field(pattern=Id.format("subnet"))]
SecurityGroupId = Annotated[str, Field(pattern=Id.format("sg"))]

InstanceTypeName = Annotated[str, Field(max_length=32)]


class NetworkSettings(Section):
    """A VPC that exists: SageMaker jobs, EC2 instances and the workbench run in its subnets.

    Jobs and the workbench have these security groups; instances have one of their own, which lets nothing in.

    Subnets without a NAT gateway need a gateway endpoint for Amazon S3, and interface endpoints for what else is
    called: ``sagemaker.api`` (the workbench stops itself), ``ssm`` and ``ssmmessages`` (EC2), ``logs``.
    """

    vpc_id: str = Field(pattern=Id.format("vpc"))
    # Bounds: SageMaker API reference, VpcConfig.
    subnet_ids: list[SubnetId] = Field(min_length=1, max_length=16)
    security_group_ids: list[SecurityGroupId] = Field(min_length=1, max_length=5)


class InstanceSettings(Section):
    """The EC2 launch template: instance type, image, disk (GB), spot or on demand."""

    enabled: bool
    type: InstanceTypeName
    # The longest parameter name: Systems Manager API reference, PutParameter.
    image_parameter: str = Field(max_length=1011)
    # The Deep Learning AMI's own snapshot takes most of it (gp3 ends at 65,536 GiB).
    disk_gb: int = Field(ge=100, le=65536)
    spot: bool

    @field_validator("image_parameter")
    @classmethod
    def _image_is_amazon_linux_2023(cls, value: str) -> str:
        if not IMAGE_PARAMETER.fullmatch(value):
            raise ValueError(
                "use the public parameter of an x86-64 Amazon Linux 2023 image, such as /aws/service/deeplearning/ami/"
                "x86_64/oss-nvidia-driver-gpu-pytorch-2.13-amazon-linux-2023/latest/ami-id"
            )
        return value

    @model_validator(mode="after")
    def _image_runs_on_the_instance(self) -> Self:
        match = INSTANCE_TYPE.fullmatch(self.type)
        if not match:
            raise ValueError(f'type = "{self.type}" is not an EC2 instance type: use one such as "g4dn.xlarge"')
        if match["options"].startswith("g"):
            raise ValueError(f'type = "{self.type}" is Graviton, and the image is x86-64: use one such as g4dn.xlarge')
        if "deeplearning" in self.image_parameter and match["family"] not in DLAMI_FAMILIES:
            raise ValueError(
                f'type = "{self.type}" is not in a family that the Deep Learning AMI supports: use one of '
                f"{', '.join(sorted(DLAMI_FAMILIES))}, or set image_parameter to an image under "
                "/aws/service/ami-amazon-linux-latest/"
            )
        return self


class NotebookSettings(Section):
    """The workbench: a SageMaker notebook instance that stops itself after idle minutes; disk in GB."""

    enabled: bool
    type: InstanceTypeName
    # SageMaker API reference, CreateNotebookInstance, VolumeSizeInGB.
    disk_gb: int = Field(ge=5, le=16384)
    idle_minutes: int = Field(ge=15, le=1440)

    @field_validator("type")
    @classmethod
    def _type_is_sagemakers(cls, value: str) -> str:
        if not NOTEBOOK_TYPE.fullmatch(value):
            raise ValueError('use a SageMaker instance type such as "ml.t3.medium"')
        return value


class TrainingSettings(Section):
    """Roles for training jobs always; the EC2 launch template and the workbench where enabled.

    ``repository`` holds a copy of AWS's PyTorch training images, under AWS's tags; without it, jobs pull AWS's own.
    """

    log_retention_days: LogRetentionDays
    # The longest image URI is 255 characters (SageMaker API reference, AlgorithmSpecification), with its tag.
    repository: str | None = Field(default=None, max_length=200)
    instance: InstanceSettings
    notebook: NotebookSettings
    network: NetworkSettings | None = None

    @field_validator("repository")
    @classmethod
    def _repository_is_private_ecr(cls, value: str | None) -> str | None:
        if value is not None and not ECR_REPOSITORY.fullmatch(value):
            raise ValueError(
                'use an Amazon ECR repository without a tag, such as "123456789012.dkr.ecr.eu-west-1.amazonaws.com/'
                "pytorch\": `./kennel launch` adds AWS's tag"
            )
        return value
