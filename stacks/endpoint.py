"""EndpointStack: the model behind an endpoint that scales with its traffic."""

from typing import Any

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks.artifact import Artifact
from stacks.hosting import HostedModel
from stacks.settings import Settings
from stacks.settings.endpoint import ScalingSettings

VARIANT = "AllTraffic"
"""The variant's name never changes: a new name would be a removal, which a scalable target blocks."""


class EndpointStack(Stack):
    """A SageMaker endpoint with one production variant and target tracking on its invocations."""

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, artifact: Artifact, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        hosted = HostedModel(self, "Hosting", settings=settings, artifact=artifact)
        config = sagemaker.CfnEndpointConfig(
            self,
            "Config",
            production_variants=[
                sagemaker.CfnEndpointConfig.ProductionVariantProperty(
                    variant_name=VARIANT,
                    model_name=hosted.model.attr_model_name,
                    instance_type=settings.endpoint.instance_type,
                    initial_instance_count=settings.endpoint.scaling.minimum_instances,
                    initial_variant_weight=1,
                    model_data_download_timeout_in_seconds=settings.endpoint.download_timeout_seconds,
                    container_startup_health_check_timeout_in_seconds=settings.endpoint.startup_timeout_seconds,
                )
            ],
        )
        endpoint = sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=settings.endpoint_name,
            endpoint_config_name=config.attr_endpoint_config_name,
            # An update keeps the scaled-out instance count instead of falling back to the initial one.
            retain_all_variant_properties=True,
        )
        self._scale(endpoint, settings.endpoint.scaling)
        CfnOutput(self, "EndpointName", value=endpoint.attr_endpoint_name)

    def _scale(self, endpoint: sagemaker.CfnEndpoint, settings: ScalingSettings) -> None:
        target = autoscaling.ScalableTarget(
            self,
            "Scaling",
            service_namespace=autoscaling.ServiceNamespace.SAGEMAKER,
            resource_id=f"endpoint/{endpoint.attr_endpoint_name}/variant/{VARIANT}",
            scalable_dimension="sagemaker:variant:DesiredInstanceCount",
            min_capacity=settings.minimum_instances,
            max_capacity=settings.maximum_instances,
            role=self._scaling_role(),
        )
        target.scale_to_track_metric(
            "InvocationsPerInstance",
            predefined_metric=autoscaling.PredefinedMetric.SAGEMAKER_VARIANT_INVOCATIONS_PER_INSTANCE,
            target_value=settings.invocations_per_instance,
            scale_out_cooldown=Duration.seconds(settings.scale_out_cooldown_seconds),
            scale_in_cooldown=Duration.seconds(settings.scale_in_cooldown_seconds),
        )

    def _scaling_role(self) -> iam.IRole:
        """Name the service-linked role that scales SageMaker variants; the L2 would make one that nothing uses.

        Source: Application Auto Scaling guide, "Service-linked roles".
        """
        name = (
            "sagemaker.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
        )
        arn = self.format_arn(service="iam", region="", resource="role/aws-service-role", resource_name=name)
        return iam.Role.from_role_arn(self, "ScalingRole", arn, mutable=False)
