"""``[[endpoint.variants]]``, ``[endpoint.shadow]``, ``[endpoint.serverless]``: what answers, and on what."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from stacks.settings.instances import MOST_INSTANCES, InstanceType
from stacks.settings.section import PRINTABLE, Section

ECR_IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.(?P<domain>amazonaws\.com(?:\.cn)?)"
    r"/(?P<repository>[a-z0-9._/-]+)(?::[\w.-]+|@sha256:[0-9a-f]{64})"
)
"""An image that SageMaker can pull without a VPC: one in Amazon ECR, named by tag or digest."""


def _known_container(value: str) -> str:
    if value not in ("ray", "image") and not ECR_IMAGE.fullmatch(value):
        raise ValueError('use "ray", "image", or an Amazon ECR image URI with a tag or digest')
    return value


RAY_TAG = re.compile(r"serve-ml-sagemaker-cpu-v\d+\.\d+[\w.-]*|sha256:[0-9a-f]{64}", re.ASCII)
RELEASED_RAY_TAG = "serve-ml-sagemaker-cpu-v1.4"
"""The release of AWS's Ray Serve container that Kennel was tested with: Ray 2.57.0.

Source: AWS Deep Learning Containers, Ray "Changelog", v1.4.0. Its tag takes security patches and stays at this Ray.
"""


def _released_tag(value: str) -> str:
    if not RAY_TAG.fullmatch(value):
        raise ValueError(
            "use the tag of a release of AWS's Ray Serve container for SageMaker and CPUs, such as "
            f'"{RELEASED_RAY_TAG}", or a digest "sha256:..."; a tag without a minor version, such as '
            '"serve-ml-sagemaker-cpu-v1", does not pin the version of Ray'
        )
    return value


# An image's tag has 128 characters at most (Amazon ECR API reference, ImageIdentifier).
RayTag = Annotated[str, AfterValidator(_released_tag), Field(max_length=128)]
# The longest image URI: SageMaker API reference, ContainerDefinition, Image.
ContainerName = Annotated[str, AfterValidator(_known_container), Field(max_length=255)]
# SageMaker API reference, ProductionVariant.
VariantName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")]
Manifest = Annotated[str, Field(pattern=r"\.json$", max_length=1000), PRINTABLE]


@dataclass(frozen=True)
class Variant:
    """A variant with nothing left to look up.

    Attributes
    ----------
    weight
        Its share of the traffic, against the sum of the weights; of a shadow, the share that is copied to it.
    instances
        How many it starts with; 0 for a serverless one.
    manifest
        The manifest of its own model; None for the model of the environment.
    architecture
        The processor that its container is built for.
    ray_tag
        The tag or digest of AWS's Ray Serve container, for ``container = "ray"``.
    """

    name: str
    weight: float
    container: str
    instance_type: str
    instances: int
    manifest: str | None
    architecture: Literal["arm64", "x86_64"]
    ray_tag: str = RELEASED_RAY_TAG


class _Overrides(Section):
    """What a variant may have of its own instead of the endpoint's."""

    name: VariantName
    instance_type: InstanceType | None = None
    container: ContainerName | None = None
    manifest: Manifest | None = None


class VariantSettings(_Overrides):
    """A production variant: ``weight / sum of weights`` of the traffic, each scaled by itself."""

    weight: float = Field(ge=0, le=1_000_000)


class ShadowSettings(_Overrides):
    """A variant that gets a copy of a percentage of the requests. Its answers are discarded.

    Its instances do not scale, and no alarm on it rolls an update back.
    """

    instances: int = Field(default=1, ge=1, le=MOST_INSTANCES)
    sampling_percentage: int = Field(ge=1, le=100)


class ServerlessSettings(Section):
    """A variant without instances; memory in MB (SageMaker API reference, ProductionVariantServerlessConfig)."""

    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144]
    maximum_concurrency: int = Field(ge=1, le=200)
    provisioned_concurrency: int = Field(default=0, ge=0, le=200)

    @model_validator(mode="after")
    def _provisioned_fits(self) -> Self:
        if self.provisioned_concurrency > self.maximum_concurrency:
            raise ValueError(
                f"provisioned_concurrency = {self.provisioned_concurrency} is above "
                f"maximum_concurrency = {self.maximum_concurrency}: lower provisioned_concurrency or raise "
                "maximum_concurrency"
            )
        return self
