"""EndpointStack: the model behind an endpoint that scales with its traffic and takes bad updates back."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from aws_cdk import CfnDeletionPolicy, CfnOutput, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_sns as sns
from constructs import Construct

from stacks import policies
from stacks.common import names
from stacks.endpoint.artifact import Artifact, Location, load_artifact
from stacks.endpoint.deployment import deployment_config
from stacks.endpoint.guardrails import Guardrails
from stacks.endpoint.log_retention import LogRetention
from stacks.endpoint.model import HostedModel
from stacks.endpoint.scaling import VariantScaling, scaling_role
from stacks.endpoint.state_rule import StateRule
from stacks.settings import Settings
from stacks.settings.instances import has_local_storage
from stacks.settings.variants import Variant

Config = sagemaker.CfnEndpointConfig


class EndpointStack(Stack):
    """A SageMaker endpoint: its variants with their models, and what scales, guards and captures them.

    Parameters
    ----------
    artifact
        What the variants without a manifest of their own serve.
    live
        Where the artifact lies that the endpoint serves at the time of the deployment; None if it is not known.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        artifact: Artifact,
        live: Location | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        variants, shadow = settings.endpoint.production_variants, settings.endpoint.shadow_variant
        models = {
            variant.name: self._host(settings, variant, artifact, live) for variant in settings.endpoint.all_variants
        }
        config = Config(
            self,
            "Config",
            production_variants=[_variant(settings, variant, models[variant.name]) for variant in variants],
            shadow_production_variants=[_variant(settings, shadow, models[shadow.name])] if shadow else None,
            data_capture_config=self._capture(settings),
            kms_key_id=_volume_key(settings),
        )
        # After an auto-rollback the endpoint serves the old configuration.
        config.cfn_options.update_replace_policy = CfnDeletionPolicy.RETAIN
        config.cfn_options.deletion_policy = CfnDeletionPolicy.DELETE
        topic = None
        if settings.monitoring.alarms:
            topic = sns.Topic.from_topic_arn(self, "AlarmTopic", names.alarm_topic_arn(self, settings.environment))
        alarms = [] if settings.endpoint.serverless else self._guard(settings, config, models.values(), topic)
        endpoint = sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=settings.endpoint_name,
            endpoint_config_name=config.attr_endpoint_config_name,
            **({} if settings.endpoint.serverless else _retained()),
            deployment_config=deployment_config(settings.endpoint, alarms) if alarms else None,
        )
        if alarms:
            self._allow_rollback(models.values(), alarms, endpoint)
        if topic:
            state = StateRule(
                self, "State", settings=settings, config_name=config.attr_endpoint_config_name, topic=topic
            )
            endpoint.node.add_dependency(state.rule)
        LogRetention(self, "LogRetention", settings=settings, after=endpoint)
        if settings.endpoint.scales:
            self._scale(settings, endpoint)
        CfnOutput(self, "EndpointName", value=endpoint.attr_endpoint_name)

    def _host(self, settings: Settings, variant: Variant, artifact: Artifact, live: Location | None) -> HostedModel:
        return HostedModel(
            self,
            f"{variant.name}Hosting",
            settings=settings,
            variant=variant,
            artifact=_artifact(settings, variant, artifact),
            # `live` is the environment's earlier artifact; a variant with its own manifest has its own model.
            live=live if variant.manifest is None else None,
        )

    def _capture(self, settings: Settings) -> sagemaker.CfnEndpointConfig.DataCaptureConfigProperty | None:
        """Keep a share of the answers, or of photos and answers, in the bucket (SageMaker guide, "Data capture")."""
        if settings.endpoint.capture_percentage == 0:
            return None
        return Config.DataCaptureConfigProperty(
            enable_capture=True,
            initial_sampling_percentage=settings.endpoint.capture_percentage,
            destination_s3_uri=f"s3://{names.bucket_name(self, settings.environment)}/capture",
            kms_key_id=settings.storage.kms_key_arn,
            capture_options=[
                Config.CaptureOptionProperty(capture_mode=mode)
                for mode in (("Output",) if settings.endpoint.capture == "answers" else ("Input", "Output"))
            ],
            # Answers stay readable; photos become base64.
            capture_content_type_header=Config.CaptureContentTypeHeaderProperty(
                json_content_types=["application/json"]
            ),
        )

    def _guard(
        self,
        settings: Settings,
        config: sagemaker.CfnEndpointConfig,
        models: Iterable[HostedModel],
        topic: sns.ITopic | None,
    ) -> list[cloudwatch.Alarm]:
        identity = self._identify(config, models)
        return [
            alarm
            for variant in settings.endpoint.production_variants
            for alarm in Guardrails(
                self,
                f"{variant.name}Guardrails",
                settings=settings,
                variant_name=variant.name,
                config_name=config.attr_endpoint_config_name,
                identity=identity,
                topic=topic,
            ).alarms
        ]

    def _identify(self, config: sagemaker.CfnEndpointConfig, models: Iterable[HostedModel]) -> str:
        """Return a short hash of everything whose change makes CloudFormation replace the configuration."""
        declared = [
            config.production_variants,
            config.shadow_production_variants,
            config.data_capture_config,
            config.kms_key_id,
            *([hosted.model.primary_container, hosted.model.enable_network_isolation] for hosted in models),
        ]
        text = json.dumps(self.resolve(declared), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def _allow_rollback(
        self, models: Iterable[HostedModel], alarms: Sequence[cloudwatch.Alarm], endpoint: sagemaker.CfnEndpoint
    ) -> None:
        """Let SageMaker look at the alarms before the endpoint needs it.

        A policy of its own: an inline one of the roles would be a circle, because the alarms watch the
        configuration, which names the models, which name the roles.
        """
        policy = iam.Policy(
            self,
            "Rollback",
            roles=[model.role for model in models],
            statements=[policies.read_alarms([alarm.alarm_arn for alarm in alarms])],
        )
        endpoint.node.add_dependency(policy)

    def _scale(self, settings: Settings, endpoint: sagemaker.CfnEndpoint) -> None:
        role = scaling_role(self)
        for variant in settings.endpoint.production_variants:
            VariantScaling(
                self,
                f"{variant.name}Scaling",
                settings=settings.endpoint.scaling,
                endpoint_name=endpoint.attr_endpoint_name,
                variant_name=variant.name,
                role=role,
            )


def _artifact(settings: Settings, variant: Variant, artifact: Artifact) -> Artifact:
    """Return the variant's own artifact, which passes the same gate, or else the environment's."""
    if variant.manifest is None:
        return artifact
    return load_artifact(Path(variant.manifest), minimum_accuracy=settings.model.minimum_accuracy)


def _retained() -> dict[str, Any]:
    """Return what an update keeps of a fleet: its scaled-out instance count; weights are the settings'.

    Capture comes with each configuration: ``DataCaptureConfig`` is "not currently supported" here (SageMaker API
    reference, VariantProperty). CloudFormation documents both properties for updates only. A template cannot tell an
    update from a creation, and CreateEndpoint, which a creation calls, takes neither.
    """
    weight = sagemaker.CfnEndpoint.VariantPropertyProperty(variant_property_type="DesiredWeight")
    return {"retain_all_variant_properties": True, "exclude_retained_variant_properties": [weight]}


def _volume_key(settings: Settings) -> str | None:
    """Return the key for the instances' volumes, or None where SageMaker would refuse one.

    Disks that an instance brings are encrypted by its hardware, and a key is then an error for all variants; without
    instances there is no volume. Source: SageMaker API reference, CreateEndpointConfig, KmsKeyId.
    """
    endpoint = settings.endpoint
    if endpoint.serverless or any(has_local_storage(variant.instance_type) for variant in endpoint.all_variants):
        return None
    return settings.storage.kms_key_arn


def _variant(
    settings: Settings, variant: Variant, hosted: HostedModel
) -> sagemaker.CfnEndpointConfig.ProductionVariantProperty:
    endpoint, serverless = settings.endpoint, settings.endpoint.serverless
    return Config.ProductionVariantProperty(
        variant_name=variant.name,
        model_name=hosted.model.attr_model_name,
        initial_variant_weight=variant.weight,
        serverless_config=Config.ServerlessConfigProperty(
            memory_size_in_mb=serverless.memory_mb,
            max_concurrency=serverless.maximum_concurrency,
            provisioned_concurrency=serverless.provisioned_concurrency or None,
        )
        if serverless
        else None,
        instance_type=None if serverless else variant.instance_type,
        initial_instance_count=None if serverless else variant.instances,
        model_data_download_timeout_in_seconds=None if serverless else endpoint.download_timeout_seconds,
        container_startup_health_check_timeout_in_seconds=None if serverless else endpoint.startup_timeout_seconds,
        routing_config=None if serverless else Config.RoutingConfigProperty(routing_strategy=endpoint.routing.upper()),
    )
