"""SageMaker's control plane: models, endpoint configurations, endpoints."""

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from local.core.account import Account
from local.core.errors import InstanceError, NotFoundError, validation_error
from local.core.json_service import JsonService, Parameters, page
from local.core.names import arn
from local.core.tags import Tags
from local.ministack import notifications
from local.sagemaker.endpoint.blue_green import BlueGreen
from local.sagemaker.endpoint.endpoint import Deployment, Endpoint
from local.sagemaker.endpoint.fleet import Fleet
from local.sagemaker.endpoint.instance import Instance, InstanceSpec, LogSink
from local.sagemaker.notebooks import Notebooks

log = logging.getLogger(__name__)

RETAINABLE = frozenset({"DesiredInstanceCount", "DesiredWeight"})
"""Variant properties that RetainAllVariantProperties keeps. The API reference, VariantProperty, has a third,
DataCaptureConfig, "not currently supported": capture always follows the configuration."""

SILENT_ROLLBACK = "local:silent-rollback"
"""Tag of an endpoint. An update that fails then ends InService on the old configuration without a FailureReason, as
an auto-rollback can (hashicorp/terraform-provider-aws 48997, 46663; aws-controllers-k8s/sagemaker-controller PR 7)."""

T = TypeVar("T")

HEAL_SECONDS = 0.5
HEAL_PAUSE_SECONDS = 10.0


class SageMaker(JsonService):
    """The operations of SageMaker that an endpoint's life needs.

    Parameters
    ----------
    account
        Gives instances access under their model's execution role.
    instances
        Directory for the instances' files.
    logs
        Takes what the instances print.
    updates
        Carries out deployment policies.
    """

    def __init__(self, account: Account, instances: Path, logs: LogSink, updates: BlueGreen) -> None:
        self.tags = Tags()
        super().__init__("sagemaker", self.tags, Notebooks(account, self.tags))
        self.endpoints: dict[str, Endpoint] = {}
        self.is_scaled: Callable[[str, str], bool] = lambda endpoint, variant: False
        self._models: dict[str, Parameters] = {}
        self._configs: dict[str, Parameters] = {}
        self._account = account
        self._instances = instances
        self._logs = logs
        self._updates = updates

    # Models

    def create_model(self, p: Parameters) -> Parameters:
        """Record a model; its role must exist and trust SageMaker."""
        name, model_arn = p["ModelName"], arn("sagemaker", f"model/{p['ModelName']}")
        if name in self._models:
            raise validation_error(f'Cannot create already existing model "{model_arn}".')
        if "PrimaryContainer" not in p or "ExecutionRoleArn" not in p:
            raise validation_error(
                "The embedded AWS needs ExecutionRoleArn and PrimaryContainer; inference pipelines and model "
                "packages are not simulated."
            )
        if "ModelDataSource" in p["PrimaryContainer"]:
            raise validation_error("The embedded AWS reads ModelDataUrl; ModelDataSource is not simulated.")
        self._account.assume(p["ExecutionRoleArn"], "sagemaker", "SageMaker")
        self._models[name] = {**p, "ModelArn": model_arn, "CreationTime": time.time()}
        self.tags.add(model_arn, p)
        return {"ModelArn": model_arn}

    def describe_model(self, p: Parameters) -> Parameters:
        """Return a model as it was created."""
        return _without_tags(self._model(p["ModelName"]))

    def list_models(self, p: Parameters) -> Parameters:
        """List models, newest first."""
        return _listing(self._models.values(), p, "Models", ("ModelName", "ModelArn", "CreationTime"))

    def delete_model(self, p: Parameters) -> None:
        """Delete a model; endpoints that run it go on, without new instances."""
        self.tags.forget(self._model(p["ModelName"])["ModelArn"])
        del self._models[p["ModelName"]]

    # Endpoint configurations

    def create_endpoint_config(self, p: Parameters) -> Parameters:
        """Record an endpoint configuration whose models exist."""
        name = p["EndpointConfigName"]
        config_arn = arn("sagemaker", f"endpoint-config/{name}")
        if name in self._configs:
            raise validation_error(f'Cannot create already existing endpoint configuration "{config_arn}".')
        for member in ("AsyncInferenceConfig", "ShadowProductionVariants", "ExplainerConfig"):
            if member in p:
                raise validation_error(f"The embedded AWS does not simulate {member}.")
        for variant in p["ProductionVariants"]:
            self._model(variant.get("ModelName", ""))
            if variant.get("RoutingConfig", {}).get("RoutingStrategy") == "PREFIX_AWARE":
                raise validation_error("The embedded AWS does not simulate RoutingStrategy PREFIX_AWARE.")
            for required in ("InitialInstanceCount", "InstanceType"):
                if required not in variant:
                    raise validation_error(
                        f"Production variant {variant['VariantName']} has no {required}; the embedded AWS does not "
                        "simulate serverless variants or inference components."
                    )
        self._configs[name] = {**p, "EndpointConfigArn": config_arn, "CreationTime": time.time()}
        self.tags.add(config_arn, p)
        return {"EndpointConfigArn": config_arn}

    def describe_endpoint_config(self, p: Parameters) -> Parameters:
        """Return an endpoint configuration as it was created."""
        return _without_tags(self._config(p["EndpointConfigName"]))

    def list_endpoint_configs(self, p: Parameters) -> Parameters:
        """List endpoint configurations, newest first."""
        fields = ("EndpointConfigName", "EndpointConfigArn", "CreationTime")
        return _listing(self._configs.values(), p, "EndpointConfigs", fields)

    def delete_endpoint_config(self, p: Parameters) -> None:
        """Delete an endpoint configuration; endpoints that run it go on, without new instances."""
        self.tags.forget(self._config(p["EndpointConfigName"])["EndpointConfigArn"])
        del self._configs[p["EndpointConfigName"]]

    # Endpoints

    def create_endpoint(self, p: Parameters) -> Parameters:
        """Start an endpoint in the background."""
        name = p["EndpointName"]
        deployment = self._deployment(p["EndpointConfigName"])
        endpoint = Endpoint(name, self._make_fleet, self._updates, _announce, config_name=deployment.name)
        self._check_policy(endpoint, deployment, frozenset(), p.get("DeploymentConfig"))
        if name in self.endpoints:
            raise validation_error(f'Cannot create already existing endpoint "{endpoint.arn}".')
        self.endpoints[name] = endpoint
        self.tags.add(endpoint.arn, p)
        endpoint.deployment_config = p.get("DeploymentConfig")
        endpoint.begin("Creating", lambda: endpoint.deploy(deployment, retained=frozenset()))
        return {"EndpointArn": endpoint.arn}

    def update_endpoint(self, p: Parameters) -> Parameters:
        """Roll an endpoint to another configuration in the background."""
        endpoint = self._endpoint(p["EndpointName"])
        deployment = self._deployment(p["EndpointConfigName"])
        endpoint.require_idle()
        self._refuse_to_break_scaling(endpoint, deployment)
        retained = _retained(p)
        config = endpoint.deployment_config if p.get("RetainDeploymentConfig") else p.get("DeploymentConfig")
        self._check_policy(endpoint, deployment, retained, config)
        endpoint.deployment_config = config
        endpoint.begin(
            "Updating",
            lambda: endpoint.deploy(deployment, retained),
            fails_silently=lambda: SILENT_ROLLBACK in self.tags.of(endpoint.arn),
        )
        return {"EndpointArn": endpoint.arn}

    def update_endpoint_weights_and_capacities(self, p: Parameters) -> Parameters:
        """Set weights at once, and instance counts in the background."""
        endpoint = self._endpoint(p["EndpointName"])
        endpoint.require_idle()
        changes = {change["VariantName"]: change for change in p["DesiredWeightsAndCapacities"]}
        if unknown := [name for name in changes if name not in endpoint.variants]:
            raise validation_error(
                f'The variant name(s) "{", ".join(unknown)}" is/are not present within endpoint configuration '
                f'"{endpoint.config_name}".'
            )
        for name, change in changes.items():
            variant = endpoint.variants[name]
            variant.weight = change.get("DesiredWeight", variant.weight)
        counts = {
            name: change["DesiredInstanceCount"] for name, change in changes.items() if "DesiredInstanceCount" in change
        }
        if any(count < 1 for count in counts.values()):
            raise validation_error("DesiredInstanceCount must be at least 1.")
        endpoint.begin("Updating", lambda: endpoint.resize(counts))
        return {"EndpointArn": endpoint.arn}

    def describe_endpoint(self, p: Parameters) -> Parameters:
        """Return an endpoint's state."""
        return self._endpoint(p["EndpointName"]).describe()

    def list_endpoints(self, p: Parameters) -> Parameters:
        """List endpoints, newest first."""
        fields = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
        described = [endpoint.describe() for endpoint in self.endpoints.values()]
        return _listing(described, p, "Endpoints", fields)

    def delete_endpoint(self, p: Parameters) -> None:
        """Stop an endpoint's instances in the background; it can be described until they have stopped."""
        endpoint = self._endpoint(p["EndpointName"])
        endpoint.require_idle()

        def stop() -> None:
            endpoint.stop()
            with self.lock:
                del self.endpoints[endpoint.name]
                self.tags.forget(endpoint.arn)

        endpoint.begin("Deleting", stop)

    # Tags

    # What the operations share

    def _model(self, name: str) -> Parameters:
        return _find(self._models, name, "model", "model")

    def _config(self, name: str) -> Parameters:
        return _find(self._configs, name, "endpoint configuration", "endpoint-config")

    def _endpoint(self, name: str) -> Endpoint:
        return _find(self.endpoints, name, "endpoint", "endpoint")

    def _deployment(self, config_name: str) -> Deployment:
        config = self._config(config_name)
        names = [variant["ModelName"] for variant in config["ProductionVariants"]]
        return Deployment(config, {name: self._model(name) for name in names})

    def _make_fleet(self, config: Mapping[str, Any], spec: InstanceSpec, deployment: Deployment) -> Fleet:
        strategy = config.get("RoutingConfig", {}).get("RoutingStrategy")

        def make() -> Instance:
            self._require_present(deployment)
            return Instance(spec, self._account, self._instances, self._logs)

        return Fleet(make, least_outstanding=strategy == "LEAST_OUTSTANDING_REQUESTS")

    def _require_present(self, deployment: Deployment) -> None:
        """Refuse to start an instance whose configuration or model has been deleted.

        Source: SageMaker API reference, UpdateEndpoint ("You must not delete an EndpointConfig in use by an endpoint
        that is live"); ministryofjustice/analytical-platform 10195 quotes AWS's notice on models and roles.

        Raises
        ------
        InstanceError
            One of them is gone.
        """
        try:
            kept = self._deployment(deployment.name)
        except NotFoundError as error:
            raise InstanceError(str(error)) from error
        if kept != deployment:
            raise InstanceError(
                f"Endpoint configuration {deployment.name} or a model of it was deleted and made again."
            )

    def _check_policy(
        self,
        endpoint: Endpoint,
        deployment: Deployment,
        retained: frozenset[str],
        config: Mapping[str, Any] | None,
    ) -> None:
        """Refuse a deployment configuration that does not fit the fleets, or whose alarms cannot be read."""
        self._updates.check(config or {}, endpoint.counts(deployment, retained), deployment.roles)

    def _refuse_to_break_scaling(self, endpoint: Endpoint, deployment: Deployment) -> None:
        """Refuse to remove a scaled variant or to change its instance type, as AWS does (in words of our own)."""
        types = {v["VariantName"]: v["InstanceType"] for v in deployment.config["ProductionVariants"]}
        for variant in endpoint.variants.values():
            changed = types.get(variant.name) != variant.instance_type
            if changed and self.is_scaled(endpoint.name, variant.name):
                raise validation_error(
                    f"Variant {variant.name} of endpoint {endpoint.name} is registered with Application Auto Scaling: "
                    "deregister its scalable target before you remove the variant or change its instance type."
                )

    def watch_instances(self, stop: threading.Event) -> None:
        """Replace crashed instances until `stop` is set; after a failed attempt an endpoint rests for a while."""
        rest: dict[str, float] = {}
        while not stop.wait(HEAL_SECONDS):
            for endpoint in list(self.endpoints.values()):
                if endpoint.status not in ("InService", "Updating") or rest.get(endpoint.name, 0) > time.monotonic():
                    continue
                try:
                    endpoint.heal()
                except InstanceError as error:
                    log.warning("endpoint %s: replacement failed: %s", endpoint.name, error)
                    rest[endpoint.name] = time.monotonic() + HEAL_PAUSE_SECONDS


def _announce(endpoint: Endpoint) -> None:
    """Publish an endpoint's state (SageMaker guide, "Events that Amazon SageMaker AI sends to Amazon EventBridge")."""
    described = endpoint.describe()
    detail = {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "EndpointConfigName": endpoint.config_name,
        "ProductionVariants": [
            {key: variant[key] for key in ("VariantName", "DesiredWeight", "DesiredInstanceCount")}
            for variant in described["ProductionVariants"]
        ],
        "EndpointStatus": re.sub("(?<=[a-z])(?=[A-Z])", "_", endpoint.status).upper(),
        "CreationTime": endpoint.created * 1000,
        "LastModifiedTime": endpoint.modified * 1000,
        "Tags": {},
    }
    notifications.publish_event("aws.sagemaker", "SageMaker Endpoint State Change", endpoint.arn, detail)


def _retained(p: Parameters) -> frozenset[str]:
    """Return the variant properties that an update keeps (the words of the refusals are our own)."""
    retains, excluded = p.get("RetainAllVariantProperties", False), p.get("ExcludeRetainedVariantProperties", ())
    kinds = {entry["VariantPropertyType"] for entry in excluded}
    if excluded and not retains:
        raise validation_error("ExcludeRetainedVariantProperties requires RetainAllVariantProperties to be true.")
    if unsupported := kinds - RETAINABLE:
        raise validation_error(f"VariantPropertyType {', '.join(sorted(unsupported))} is not currently supported.")
    return RETAINABLE - kinds if retains else frozenset()


def _find(store: Mapping[str, T], name: str, what: str, resource: str) -> T:
    if name not in store:
        message = f'Could not find {what} "{arn("sagemaker", f"{resource}/{name}")}".'
        raise NotFoundError("ValidationException", message)
    return store[name]


def _without_tags(record: Parameters) -> Parameters:
    return {name: value for name, value in record.items() if name != "Tags"}


def _listing(records: Any, p: Parameters, member: str, fields: tuple[str, ...]) -> Parameters:
    """Return one page of a listing, newest first, filtered by ``NameContains``."""
    named = [record for record in records if p.get("NameContains", "") in record[fields[0]]]
    named.sort(key=lambda record: record["CreationTime"], reverse=True)
    items, token = page([{name: record[name] for name in fields} for record in named], p)
    return {member: items, **token}
