"""SageMaker's control plane: endpoints, and the parts that have the other operations."""

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local.core.account import Account
from local.core.errors import InstanceError, validation_error
from local.core.json_service import JsonService, Parameters
from local.core.records import list_newest, require_record
from local.core.tags import Tags
from local.ministack import notifications
from local.sagemaker.endpoint.blue_green import BlueGreen
from local.sagemaker.endpoint.configurations import Configurations, Deployment
from local.sagemaker.endpoint.endpoint import Endpoint
from local.sagemaker.endpoint.instance import LogSink
from local.sagemaker.endpoint.launcher import FleetLauncher
from local.sagemaker.notebooks import Notebooks

log = logging.getLogger(__name__)

RETAINABLE = frozenset({"DesiredInstanceCount", "DesiredWeight"})
"""Variant properties that RetainAllVariantProperties keeps. The API reference, VariantProperty, has a third,
DataCaptureConfig, "not currently supported": capture always follows the configuration."""

SILENT_ROLLBACK = "local:silent-rollback"
"""Tag of an endpoint. An update that fails then ends InService on the old configuration without a FailureReason, as
an auto-rollback can (hashicorp/terraform-provider-aws 48997, 46663; aws-controllers-k8s/sagemaker-controller PR 7)."""

HEAL_SECONDS = 0.5
HEAL_PAUSE_SECONDS = 10.0


class SageMaker(JsonService):
    """SageMaker's operations on endpoints; its parts have those on other resources.

    Parameters
    ----------
    account
        Gives instances access under their model's execution role.
    tags
        Those of all its resources.
    parts
        Objects with the operations of jobs.
    instances
        Directory for the instances' files.
    logs
        Takes what the instances print.
    updates
        Carries out deployment policies.
    is_scaled
        Tells whether an endpoint's variant is a scalable target.
    """

    def __init__(
        self,
        account: Account,
        tags: Tags,
        *parts: object,
        instances: Path,
        logs: LogSink,
        updates: BlueGreen,
        is_scaled: Callable[[str, str], bool],
    ) -> None:
        self._tags = tags
        self._configurations = Configurations(account, tags)
        super().__init__("sagemaker", tags, self._configurations, Notebooks(account, tags), *parts)
        self.endpoints: dict[str, Endpoint] = {}
        self._launcher = FleetLauncher(self._configurations, account, instances, logs)
        self._updates = updates
        self._is_scaled = is_scaled

    # Endpoints

    def create_endpoint(self, request: Parameters) -> Parameters:
        """Start an endpoint in the background."""
        name = request["EndpointName"]
        deployment = self._configurations.deployment(request["EndpointConfigName"])
        endpoint = Endpoint(name, self._launcher, self._updates, _publish_state, config_name=deployment.name)
        self._check_policy(endpoint, deployment, frozenset(), request.get("DeploymentConfig"))
        if name in self.endpoints:
            raise validation_error(f'Cannot create already existing endpoint "{endpoint.arn}".')
        self.endpoints[name] = endpoint
        self._tags.add(endpoint.arn, request)
        endpoint.deployment_config = request.get("DeploymentConfig")
        endpoint.begin("Creating", lambda: endpoint.deploy(deployment, retained=frozenset()))
        return {"EndpointArn": endpoint.arn}

    def update_endpoint(self, request: Parameters) -> Parameters:
        """Roll an endpoint to another configuration in the background."""
        endpoint = self._endpoint(request["EndpointName"])
        deployment = self._configurations.deployment(request["EndpointConfigName"])
        endpoint.require_idle()
        self._refuse_to_break_scaling(endpoint, deployment)
        retained = _read_retained(request)
        config = request.get("DeploymentConfig")
        if request.get("RetainDeploymentConfig"):
            config = endpoint.deployment_config
        self._check_policy(endpoint, deployment, retained, config)
        endpoint.deployment_config = config
        endpoint.begin(
            "Updating",
            lambda: endpoint.deploy(deployment, retained),
            fails_silently=lambda: SILENT_ROLLBACK in self._tags.of(endpoint.arn),
        )
        return {"EndpointArn": endpoint.arn}

    def update_endpoint_weights_and_capacities(self, request: Parameters) -> Parameters:
        """Set weights at once, and instance counts in the background."""
        endpoint = self._endpoint(request["EndpointName"])
        endpoint.require_idle()
        changes = {change["VariantName"]: change for change in request["DesiredWeightsAndCapacities"]}
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

    def describe_endpoint(self, request: Parameters) -> Parameters:
        """Return an endpoint's state."""
        return self._endpoint(request["EndpointName"]).describe()

    def list_endpoints(self, request: Parameters) -> Parameters:
        """List endpoints, newest first."""
        fields = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
        described = [endpoint.describe() for endpoint in self.endpoints.values()]
        return list_newest(described, request, "Endpoints", fields)

    def delete_endpoint(self, request: Parameters) -> None:
        """Stop an endpoint's instances in the background; it can be described until they have stopped."""
        endpoint = self._endpoint(request["EndpointName"])
        endpoint.require_idle()

        def stop() -> None:
            endpoint.stop()
            with self.lock:
                del self.endpoints[endpoint.name]
                self._tags.forget(endpoint.arn)

        endpoint.begin("Deleting", stop)

    def _endpoint(self, name: str) -> Endpoint:
        return require_record(self.endpoints, name, "endpoint", "endpoint")

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
            if changed and self._is_scaled(endpoint.name, variant.name):
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


def _publish_state(endpoint: Endpoint, status: str) -> None:
    """Publish an endpoint's new state.

    Source: SageMaker guide, "Events that Amazon SageMaker AI sends to Amazon EventBridge".
    """
    described = endpoint.describe()
    detail = {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "EndpointConfigName": endpoint.config_name,
        "ProductionVariants": [
            {key: variant[key] for key in ("VariantName", "DesiredWeight", "DesiredInstanceCount")}
            for variant in described["ProductionVariants"]
        ],
        "EndpointStatus": re.sub("(?<=[a-z])(?=[A-Z])", "_", status).upper(),
        "CreationTime": endpoint.created * 1000,
        "LastModifiedTime": endpoint.modified * 1000,
        "Tags": {},
    }
    notifications.publish_event("aws.sagemaker", "SageMaker Endpoint State Change", endpoint.arn, detail)


def _read_retained(request: Parameters) -> frozenset[str]:
    """Return the variant properties that an update keeps (the words of the refusals are our own)."""
    retains = request.get("RetainAllVariantProperties", False)
    excluded = request.get("ExcludeRetainedVariantProperties", ())
    kinds = {entry["VariantPropertyType"] for entry in excluded}
    if excluded and not retains:
        raise validation_error("ExcludeRetainedVariantProperties requires RetainAllVariantProperties to be true.")
    if unsupported := kinds - RETAINABLE:
        raise validation_error(f"VariantPropertyType {', '.join(sorted(unsupported))} is not currently supported.")
    return RETAINABLE - kinds if retains else frozenset()
