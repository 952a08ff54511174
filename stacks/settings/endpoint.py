"""``[endpoint]``: what serves the model."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from stacks.settings.section import Section

ECR_IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.(?P<domain>amazonaws\.com(?:\.cn)?)"
    r"/(?P<repository>[a-z0-9._/-]+)(?::[\w.-]+|@sha256:[0-9a-f]{64})"
)
"""An image that SageMaker can pull without a VPC: one in Amazon ECR, named by tag or digest."""

INSTANCE_TYPE = re.compile(r"ml\.(?P<family>[a-z]+)(?P<generation>\d+)(?P<options>[a-z-]*)\.[a-z0-9]+")

# Endpoint timeouts: SageMaker API reference, ProductionVariant.
EndpointTimeout = Annotated[int, Field(ge=60, le=3600)]
# Target tracking reads one-minute metrics, so a shorter cooldown never binds.
Cooldown = Annotated[int, Field(ge=60, le=3600)]


class ScalingSettings(Section):
    """Target tracking on invocations per instance and minute; cooldowns in seconds."""

    minimum_instances: int = Field(ge=1)
    maximum_instances: int = Field(ge=1)
    invocations_per_instance: float = Field(gt=0)
    scale_out_cooldown_seconds: Cooldown
    scale_in_cooldown_seconds: Cooldown

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        if self.minimum_instances > self.maximum_instances:
            raise ValueError(
                f"minimum_instances = {self.minimum_instances} is above "
                f"maximum_instances = {self.maximum_instances}: lower the one or raise the other"
            )
        return self


class EndpointSettings(Section):
    """The SageMaker endpoint: its container, instances, timeouts (seconds) and scaling."""

    container: str
    instance_type: str
    download_timeout_seconds: EndpointTimeout
    startup_timeout_seconds: EndpointTimeout
    scaling: ScalingSettings

    @field_validator("container")
    @classmethod
    def _container_is_known(cls, value: str) -> str:
        if value not in ("ray", "image") and not ECR_IMAGE.fullmatch(value):
            raise ValueError('use "ray", "image", or an Amazon ECR image URI with a tag or digest')
        return value

    @field_validator("instance_type")
    @classmethod
    def _instance_type_can_scale_and_serve(cls, value: str) -> str:
        match = INSTANCE_TYPE.fullmatch(value)
        if not match:
            raise ValueError('use a SageMaker instance type such as "ml.c7i.large"')
        if match["family"] == "t":
            raise ValueError("burstable instances cannot autoscale (SageMaker guide): use ml.c7i.large or the like")
        if match["family"] in ("g", "p", "inf", "trn"):
            raise ValueError("the artifact's ONNX Runtime is a CPU build: use a CPU instance such as ml.c7i.large")
        return value

    @property
    def architecture(self) -> Literal["arm64", "x86_64"]:
        """The processor of the instance type: Graviton generations carry a ``g`` after the number."""
        match = INSTANCE_TYPE.fullmatch(self.instance_type)
        return "arm64" if match and match["options"].startswith("g") else "x86_64"

    @model_validator(mode="after")
    def _container_runs_on_the_processor(self) -> Self:
        if self.container == "ray" and self.architecture == "arm64":
            raise ValueError(
                f'instance_type = "{self.instance_type}" is Graviton, and AWS\'s Ray container is x86-64 only: '
                'use container = "image" or an x86 instance'
            )
        return self
