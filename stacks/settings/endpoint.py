"""``[endpoint]``: the container and the instances of the model."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stacks.settings.deployment import DeploymentSettings, GuardrailSettings
from stacks.settings.instances import InstanceType, architecture_of
from stacks.settings.scaling import ScalingSettings
from stacks.settings.section import Section, repeated
from stacks.settings.variants import (
    RELEASED_RAY_TAG,
    ContainerName,
    RayTag,
    ServerlessSettings,
    ShadowSettings,
    Variant,
    VariantSettings,
)

VARIANT = "AllTraffic"
"""The only variant if the settings name none. A new name would remove the variant, which scaling blocks."""

MOST_VARIANTS = 3
"""Ten alarms at most guard an update (SageMaker API reference, AutoRollbackConfig), and each variant has three."""

# Endpoint timeouts: SageMaker API reference, ProductionVariant.
EndpointTimeout = Annotated[int, Field(ge=60, le=3600)]


class EndpointSettings(Section):
    """The SageMaker endpoint: its container, instances, timeouts (seconds), variants, updates and scaling.

    routing says which instance of a variant gets a request. SageMaker's own default is a random one, which can queue a
    request behind another while an instance is idle; the instance with the fewest requests in hand is never slower and
    costs nothing (SageMaker API reference, ProductionVariantRoutingConfig). capture has no default: the person who
    switches it on decides whether the callers' photos are kept.

    With ``[endpoint.serverless]`` there are no instances: instance_type, the timeouts, routing, scaling, deployment and
    guardrails are not used. An endpoint with instances cannot become a serverless one (SageMaker guide, "Deploy
    models with Amazon SageMaker Serverless Inference"): it is deleted first.
    """

    container: ContainerName
    ray_tag: RayTag = RELEASED_RAY_TAG
    instance_type: InstanceType
    network_isolation: bool
    download_timeout_seconds: EndpointTimeout
    startup_timeout_seconds: EndpointTimeout
    routing: Literal["least_outstanding_requests", "random"] = "least_outstanding_requests"
    capture_percentage: int = Field(ge=0, le=100)
    capture: Literal["answers", "photos_and_answers"] | None = None
    variants: list[VariantSettings] = Field(default=[], max_length=MOST_VARIANTS)
    shadow: ShadowSettings | None = None
    serverless: ServerlessSettings | None = None
    deployment: DeploymentSettings
    guardrails: GuardrailSettings
    scaling: ScalingSettings

    @property
    def architecture(self) -> Literal["arm64", "x86_64"]:
        """The processor of the endpoint's own instance type."""
        return architecture_of(self.instance_type)

    @property
    def scales(self) -> bool:
        """Whether Application Auto Scaling decides the number of instances."""
        return self.serverless is None and self.scaling.enabled

    @property
    def production_variants(self) -> list[Variant]:
        """The variants that answer requests, each with what it does not set itself taken from the endpoint."""
        variants = self.variants or [VariantSettings(name=VARIANT, weight=1)]
        instances = 0 if self.serverless else self.scaling.minimum_instances
        return [self._resolve(variant, variant.weight, instances) for variant in variants]

    @property
    def shadow_variant(self) -> Variant | None:
        """The variant that gets copies of requests, if there is one."""
        if self.shadow is None:
            return None
        # Its weight is a share of the production variant's (SageMaker guide, "Shadow variants").
        weight = self.production_variants[0].weight * self.shadow.sampling_percentage / 100
        return self._resolve(self.shadow, weight, self.shadow.instances)

    @property
    def all_variants(self) -> list[Variant]:
        """The production variants, and the shadow variant if there is one."""
        return [*self.production_variants, *([self.shadow_variant] if self.shadow_variant else [])]

    def _resolve(self, variant: VariantSettings | ShadowSettings, weight: float, instances: int) -> Variant:
        instance_type = variant.instance_type or self.instance_type
        return Variant(
            name=variant.name,
            weight=weight,
            container=variant.container or self.container,
            instance_type=instance_type,
            instances=instances,
            manifest=variant.manifest,
            # Serverless inference runs x86-64 only (SageMaker guide, "Serverless Inference").
            architecture="x86_64" if self.serverless else architecture_of(instance_type),
            ray_tag=self.ray_tag,
        )

    @model_validator(mode="after")
    def _variants_fit_together(self) -> Self:
        names = [variant.name for variant in self.all_variants]
        if (name := repeated(names)) is not None:
            raise ValueError(f'variants: the name "{name}" is used twice: give each variant a unique name')
        if not any(variant.weight for variant in self.production_variants):
            raise ValueError("variants: all weights are 0, so no variant gets requests: raise one")
        if self.shadow and len(names) > 2:
            raise ValueError(
                f'shadow "{self.shadow.name}" needs exactly one production variant, but there are {len(names) - 1}: '
                "remove [endpoint.shadow], or all but one of [[endpoint.variants]]"
            )
        return self

    @model_validator(mode="after")
    def _containers_run_on_the_processors(self) -> Self:
        for variant in self.all_variants:
            if variant.container == "ray" and variant.architecture == "arm64":
                raise ValueError(
                    f'variant {variant.name}: instance_type = "{variant.instance_type}" is Graviton, and AWS\'s Ray '
                    'container is x86-64 only: use container = "image" or an x86 instance'
                )
        return self

    @model_validator(mode="after")
    def _serverless_has_no_more_than_aws_offers(self) -> Self:
        """Source: SageMaker guide, "Serverless Inference", "Feature exclusions", and "Deployment guardrails"."""
        if self.serverless is None:
            return self
        faults = {
            "network_isolation = true: set it to false": self.network_isolation,
            f"capture_percentage = {self.capture_percentage}: set it to 0": self.capture_percentage > 0,
            f"{len(self.variants)} production variants: keep one": len(self.variants) > 1,
            "a shadow variant: remove [endpoint.shadow]": self.shadow is not None,
            f'deployment.traffic = "{self.deployment.traffic}": set it to "auto"': self.deployment.traffic != "auto",
            "scheduled scaling: remove [[endpoint.scaling.schedule]]": bool(self.scaling.schedule),
        }
        if found := [text for text, is_found in faults.items() if is_found]:
            raise ValueError("; ".join(f"serverless inference does not support {text}" for text in found))
        return self

    @model_validator(mode="after")
    def _capture_says_what_it_keeps(self) -> Self:
        if self.capture_percentage > 0 and self.capture is None:
            raise ValueError(
                f"capture_percentage = {self.capture_percentage} needs capture, which is not set: set it to "
                '"answers" (labels and probabilities) or to "photos_and_answers" (the callers\' photos too), or set '
                "capture_percentage = 0"
            )
        return self

    @model_validator(mode="after")
    def _updates_fit_the_fleet(self) -> Self:
        if self.serverless is None:
            self.deployment.require_fit(
                self.scaling.smallest_fleet, self.download_timeout_seconds + self.startup_timeout_seconds
            )
        return self
