"""The deployment policy: how an update of the endpoint moves traffic, and which alarms take it back."""

from collections.abc import Sequence

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sagemaker as sagemaker

from stacks.settings.endpoint import EndpointSettings

Endpoint = sagemaker.CfnEndpoint


def deployment_config(
    settings: EndpointSettings, alarms: Sequence[cloudwatch.Alarm]
) -> sagemaker.CfnEndpoint.DeploymentConfigProperty:
    """Return a blue/green policy that fits the smallest fleet that the endpoint can have.

    Source: SageMaker guide, "Deployment guardrails"; API reference, TrafficRoutingConfig.
    """
    deployment = settings.deployment
    shift = deployment.shift(settings.scaling.smallest_fleet)
    step = Endpoint.CapacitySizeProperty(type="CAPACITY_PERCENT", value=deployment.step_percentage)
    return Endpoint.DeploymentConfigProperty(
        blue_green_update_policy=Endpoint.BlueGreenUpdatePolicyProperty(
            traffic_routing_configuration=Endpoint.TrafficRoutingConfigProperty(
                type=shift,
                canary_size=step if shift == "CANARY" else None,
                linear_step_size=step if shift == "LINEAR" else None,
                wait_interval_in_seconds=0 if shift == "ALL_AT_ONCE" else deployment.bake_seconds,
            ),
            # The final bake: until then all traffic can go back to the old fleet.
            termination_wait_in_seconds=deployment.bake_seconds,
            maximum_execution_timeout_in_seconds=deployment.maximum_duration_seconds,
        ),
        auto_rollback_configuration=Endpoint.AutoRollbackConfigProperty(
            alarms=[Endpoint.AlarmProperty(alarm_name=alarm.alarm_name) for alarm in alarms]
        ),
    )
