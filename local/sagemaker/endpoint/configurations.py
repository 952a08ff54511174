"""Models and endpoint configurations: SageMaker's operations on them, and what a deployment starts from."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.core.account import Account
from local.core.errors import validation_error
from local.core.json_service import Parameters
from local.core.names import arn
from local.core.records import list_newest, require_record, without_tags
from local.core.tags import Tags

NOT_SIMULATED = ("AsyncInferenceConfig", "ShadowProductionVariants", "ExplainerConfig")
"""Members of CreateEndpointConfig."""

REQUIRED_OF_VARIANTS = ("InitialInstanceCount", "InstanceType")


@dataclass(frozen=True)
class Deployment:
    """An endpoint configuration with the models that it names, as they were when it was deployed."""

    config: Mapping[str, Any]
    models: Mapping[str, Mapping[str, Any]]

    @property
    def name(self) -> str:
        """The configuration's name."""
        return str(self.config["EndpointConfigName"])

    @property
    def roles(self) -> set[str]:
        """The models' execution roles."""
        return {str(model["ExecutionRoleArn"]) for model in self.models.values()}


class Configurations:
    """The operations of models and endpoint configurations.

    Parameters
    ----------
    account
        Knows the roles: a model's must trust SageMaker.
    tags
        Where the service keeps its resources' tags.
    """

    def __init__(self, account: Account, tags: Tags) -> None:
        self._account = account
        self._tags = tags
        self._models: dict[str, Parameters] = {}
        self._configs: dict[str, Parameters] = {}

    def deployment(self, config_name: str) -> Deployment:
        """Return a configuration with its models.

        Raises
        ------
        NotFoundError
            The configuration or one of its models does not exist.
        """
        config = self._config(config_name)
        names = [variant["ModelName"] for variant in config["ProductionVariants"]]
        return Deployment(config, {name: self._model(name) for name in names})

    # Models

    def create_model(self, request: Parameters) -> Parameters:
        """Record a model; its role must exist and trust SageMaker."""
        name = request["ModelName"]
        model_arn = arn("sagemaker", f"model/{name}")
        if name in self._models:
            raise validation_error(f'Cannot create already existing model "{model_arn}".')
        if "PrimaryContainer" not in request or "ExecutionRoleArn" not in request:
            raise validation_error(
                "CreateModel must have ExecutionRoleArn and PrimaryContainer: the embedded AWS does not simulate "
                "inference pipelines and model packages."
            )
        if "ModelDataSource" in request["PrimaryContainer"]:
            raise validation_error("The embedded AWS reads ModelDataUrl; ModelDataSource is not simulated.")
        self._account.assume(request["ExecutionRoleArn"], "sagemaker", "SageMaker")
        self._models[name] = {**request, "ModelArn": model_arn, "CreationTime": time.time()}
        self._tags.add(model_arn, request)
        return {"ModelArn": model_arn}

    def describe_model(self, request: Parameters) -> Parameters:
        """Return a model as it was created."""
        return without_tags(self._model(request["ModelName"]))

    def list_models(self, request: Parameters) -> Parameters:
        """List models, newest first."""
        return list_newest(self._models.values(), request, "Models", ("ModelName", "ModelArn", "CreationTime"))

    def delete_model(self, request: Parameters) -> None:
        """Delete a model; endpoints that run it go on, without new instances."""
        self._tags.forget(self._model(request["ModelName"])["ModelArn"])
        del self._models[request["ModelName"]]

    # Endpoint configurations

    def create_endpoint_config(self, request: Parameters) -> Parameters:
        """Record an endpoint configuration whose models exist."""
        name = request["EndpointConfigName"]
        config_arn = arn("sagemaker", f"endpoint-config/{name}")
        if name in self._configs:
            raise validation_error(f'Cannot create already existing endpoint configuration "{config_arn}".')
        for member in NOT_SIMULATED:
            if member in request:
                raise validation_error(f"The embedded AWS does not simulate {member}.")
        for variant in request["ProductionVariants"]:
            self._check_variant(variant)
        self._configs[name] = {**request, "EndpointConfigArn": config_arn, "CreationTime": time.time()}
        self._tags.add(config_arn, request)
        return {"EndpointConfigArn": config_arn}

    def describe_endpoint_config(self, request: Parameters) -> Parameters:
        """Return an endpoint configuration as it was created."""
        return without_tags(self._config(request["EndpointConfigName"]))

    def list_endpoint_configs(self, request: Parameters) -> Parameters:
        """List endpoint configurations, newest first."""
        fields = ("EndpointConfigName", "EndpointConfigArn", "CreationTime")
        return list_newest(self._configs.values(), request, "EndpointConfigs", fields)

    def delete_endpoint_config(self, request: Parameters) -> None:
        """Delete an endpoint configuration; endpoints that run it go on, without new instances."""
        self._tags.forget(self._config(request["EndpointConfigName"])["EndpointConfigArn"])
        del self._configs[request["EndpointConfigName"]]

    def _check_variant(self, variant: Parameters) -> None:
        self._model(variant.get("ModelName", ""))
        if variant.get("RoutingConfig", {}).get("RoutingStrategy") == "PREFIX_AWARE":
            raise validation_error("The embedded AWS does not simulate RoutingStrategy PREFIX_AWARE.")
        for member in REQUIRED_OF_VARIANTS:
            if member not in variant:
                raise validation_error(
                    f"Production variant {variant['VariantName']} has no {member}; the embedded AWS does not "
                    "simulate serverless variants or inference components."
                )

    def _model(self, name: str) -> Parameters:
        return require_record(self._models, name, "model", "model")

    def _config(self, name: str) -> Parameters:
        return require_record(self._configs, name, "endpoint configuration", "endpoint-config")
