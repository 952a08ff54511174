"""Scaling of one variant: target tracking on one metric, and new bounds by the clock."""

from aws_cdk import Duration, Stack, TimeZone
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.common.scalable_target import name_no_role
from stacks.settings.scaling import ScalingSettings

Metric = autoscaling.PredefinedMetric


class VariantScaling(Construct):
    """A variant's scalable target, its policy and its scheduled actions.

    Parameters
    ----------
    endpoint_name
        The attribute of the endpoint, so that the target is registered after it.
    role
        The service-linked role, from `scaling_role`.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: ScalingSettings,
        endpoint_name: str,
        variant_name: str,
        role: iam.IRole,
    ) -> None:
        super().__init__(scope, construct_id)
        target = autoscaling.ScalableTarget(
            self,
            "Target",
            service_namespace=autoscaling.ServiceNamespace.SAGEMAKER,
            resource_id=f"endpoint/{endpoint_name}/variant/{variant_name}",
            scalable_dimension="sagemaker:variant:DesiredInstanceCount",
            min_capacity=settings.minimum_instances,
            max_capacity=settings.maximum_instances,
            role=role,
        )
        for child in target.node.find_all():
            if isinstance(child, autoscaling.CfnScalableTarget):
                name_no_role(child)
        name, metric, value = _tracked(settings)
        target.scale_to_track_metric(
            name,
            predefined_metric=metric,
            target_value=value,
            scale_out_cooldown=Duration.seconds(settings.scale_out_cooldown_seconds),
            scale_in_cooldown=Duration.seconds(settings.scale_in_cooldown_seconds),
        )
        for action in settings.schedule:
            target.scale_on_schedule(
                action.name,
                schedule=autoscaling.Schedule.expression(f"cron({action.cron})"),
                time_zone=TimeZone.of(action.time_zone),
                min_capacity=action.minimum_instances,
                max_capacity=action.maximum_instances,
            )


def scaling_role(scope: Construct) -> iam.IRole:
    """Return the service-linked role, so that the L2 makes none; the template does not name it.

    Source: Application Auto Scaling guide, "Service-linked roles".
    """
    name = "sagemaker.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    arn = Stack.of(scope).format_arn(service="iam", region="", resource="role/aws-service-role", resource_name=name)
    return iam.Role.from_role_arn(scope, "ScalingRole", arn, mutable=False)


def _tracked(settings: ScalingSettings) -> tuple[str, autoscaling.PredefinedMetric, float]:
    """Return the policy's name, its metric and the value to hold.

    Source: SageMaker guide, "Define a scaling policy".
    """
    if settings.metric == "concurrency":
        if settings.concurrent_requests_per_instance is None:
            raise AssertionError("settings let concurrency without a target pass")
        return (
            "ConcurrentRequests",
            Metric.SAGEMAKER_VARIANT_CONCURRENT_REQUESTS_PER_MODEL_HIGH_RESOLUTION,
            settings.concurrent_requests_per_instance,
        )
    return (
        "InvocationsPerInstance",
        Metric.SAGEMAKER_VARIANT_INVOCATIONS_PER_INSTANCE,
        settings.invocations_per_instance,
    )
