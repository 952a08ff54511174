"""A live endpoint: its variants, and the long operations that change them one at a time."""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.core.errors import DeploymentError, InstanceError, ServiceError, validation_error
from local.core.names import arn
from local.sagemaker.endpoint.blue_green import BlueGreen
from local.sagemaker.endpoint.configurations import Deployment
from local.sagemaker.endpoint.instance import InstanceSpec
from local.sagemaker.endpoint.launcher import FleetLauncher
from local.sagemaker.endpoint.variant import PendingDeployment, Variant

log = logging.getLogger(__name__)

DOWNLOAD_SECONDS = 3600.0
"""ModelDataDownloadTimeoutInSeconds where a variant sets none: AWS documents no default; this is its upper bound."""

STARTUP_SECONDS = 240.0
"""ContainerStartupHealthCheckTimeoutInSeconds where a variant sets none (SageMaker guide, "Use your own inference
code with hosting services": four minutes)."""

REASON_LENGTH = 1024
"""Longest FailureReason that DescribeEndpoint returns (API reference)."""


@dataclass
class Endpoint:
    """An endpoint and its state.

    Parameters
    ----------
    launcher
        Makes the variants' fleets.
    updates
        Carries out deployment policies.
    notify
        Told each status before it can be seen.
    deployment_config
        The deployment policy of the last update.
    capture
        The ``DataCaptureConfig`` in effect.
    """

    name: str
    launcher: FleetLauncher
    updates: BlueGreen
    notify: Callable[["Endpoint", str], None] = lambda endpoint, status: None
    status: str = "Creating"
    config_name: str = ""
    failure: str | None = None
    deployment_config: Mapping[str, Any] | None = None
    capture: Mapping[str, Any] | None = None
    variants: dict[str, Variant] = field(default_factory=dict)
    pending: PendingDeployment | None = None
    created: float = field(default_factory=time.time)
    modified: float = field(default_factory=time.time)

    @property
    def arn(self) -> str:
        """The endpoint's ARN."""
        return arn("sagemaker", f"endpoint/{self.name}")

    def describe(self) -> dict[str, Any]:
        """Return ``DescribeEndpoint``'s answer."""
        answer = {
            "EndpointName": self.name,
            "EndpointArn": self.arn,
            "EndpointConfigName": self.config_name,
            "EndpointStatus": self.status,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "ProductionVariants": [variant.describe() for variant in self.variants.values()],
        }
        if self.failure:
            answer["FailureReason"] = self.failure[:REASON_LENGTH]
        if pending := self.pending:
            answer["PendingDeploymentSummary"] = pending.describe()
        if capture := self.capture:
            answer["DataCaptureConfig"] = {
                "EnableCapture": capture.get("EnableCapture", False),
                "CaptureStatus": "Started" if capture.get("EnableCapture") else "Stopped",
                "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
                "DestinationS3Uri": capture["DestinationS3Uri"],
                "KmsKeyId": capture.get("KmsKeyId", ""),
            }
        if self.deployment_config:
            answer["LastDeploymentConfig"] = dict(self.deployment_config)
        return answer

    def require_idle(self) -> None:
        """Refuse a change while another is under way.

        Raises
        ------
        ServiceError
            The endpoint is being created, updated or deleted.
        """
        if self.status in ("Creating", "Updating", "Deleting"):
            raise validation_error(f'Cannot update in-progress endpoint "{self.arn}".')

    def choose_variant(self, name: str | None) -> Variant:
        """Choose the variant of a request: the one it targets, else by weight; in an update, old or new by share.

        Raises
        ------
        ServiceError
            There is no such variant.
        """
        pending = self.pending
        shifted = pending is not None and random.random() < pending.share  # noqa: S311 - routing needs no secret
        variants = pending.variants if pending and shifted else self.variants
        if name is None:
            weights = [variant.weight or 1e-9 for variant in variants.values()]
            return random.choices(list(variants.values()), weights)[0]  # noqa: S311
        targets = {**self.variants, **variants}
        if name not in targets:
            raise ServiceError("ValidationError", f"Variant {name} not found for endpoint {self.name}.")
        return targets[name]

    def count_serving(self, name: str) -> int:
        """Return how many instances serve a variant, in an update those of both fleets."""
        pending = self.pending
        groups = [self.variants, pending.variants] if pending else [self.variants]
        return sum(len(variants[name].fleet.serving) for variants in groups if name in variants)

    def begin(
        self, status: str, change: Callable[[], None], fails_silently: Callable[[], bool] = lambda: False
    ) -> None:
        """Set a status, make a change in the background, and set the status that it leads to.

        Parameters
        ----------
        status
            ``Creating``, ``Updating`` or ``Deleting``.
        change
            Makes the change; an InstanceError or a DeploymentError becomes the FailureReason.
        fails_silently
            Tells whether a failure leaves no FailureReason.
        """

        def run() -> None:
            try:
                change()
            except (InstanceError, DeploymentError) as error:
                self.failure = None if fails_silently() else str(error)
                log.warning("endpoint %s: %s", self.name, error)
            except Exception:
                self.failure = "The embedded AWS failed; see the traceback in its log."
                log.exception("endpoint %s", self.name)
            finally:
                self.modified = time.time()
                self._enter("InService" if self.variants else "Failed")

        self.failure = None
        self._enter(status)
        threading.Thread(target=run, name=f"endpoint-{self.name}", daemon=True).start()

    def _enter(self, status: str) -> None:
        self.notify(self, status)
        self.status = status

    def deploy(self, deployment: Deployment, retained: frozenset[str]) -> None:
        """Roll to a configuration: the new fleets become healthy, take over as the policy says, and the old ones drain.

        The whole new fleet is provisioned before any of it takes traffic (SageMaker guide, "Use canary traffic
        shifting"). An endpoint's creation has nothing to shift from.

        Parameters
        ----------
        deployment
            The configuration with its models.
        retained
            Variant properties that an existing variant keeps (``DesiredInstanceCount``, ``DesiredWeight``).

        Raises
        ------
        InstanceError, DeploymentError
            A new instance did not become healthy, or an alarm or the policy's time-out took the update back; the old
            fleets go on serving.
        """
        started = time.monotonic()
        if self.variants:
            self.updates.start(self.deployment_config or {})
        new = PendingDeployment(deployment.name)
        try:
            for config in deployment.config["ProductionVariants"]:
                variant = self._make_variant(config, deployment, retained)
                variant.fleet.active = 0
                new.variants[variant.name] = variant
            self.pending = new
            for variant in new.variants.values():
                variant.fleet.resize(variant.desired)
            if self.variants:
                counts = {variant.name: variant.desired for variant in new.variants.values()}
                self.updates.shift(self.deployment_config or {}, counts, new.activate, started)
        except BaseException:
            self.pending = None
            for variant in new.variants.values():
                variant.fleet.stop()
            raise
        for variant in new.variants.values():
            variant.fleet.active = None
        old, self.variants, self.config_name = self.variants, new.variants, deployment.name
        self.capture = deployment.config.get("DataCaptureConfig")
        self.pending = None
        for variant in old.values():
            variant.fleet.stop()

    def counts(self, deployment: Deployment, retained: frozenset[str]) -> dict[str, int]:
        """Return the instances that each variant of a configuration would get."""
        configs = deployment.config["ProductionVariants"]
        return {config["VariantName"]: self._desired(config, retained) for config in configs}

    def _desired(self, config: Mapping[str, Any], retained: frozenset[str]) -> int:
        old = self.variants.get(config["VariantName"])
        return old.desired if old and "DesiredInstanceCount" in retained else int(config["InitialInstanceCount"])

    def _make_variant(self, config: Mapping[str, Any], deployment: Deployment, retained: frozenset[str]) -> Variant:
        model = deployment.models[config["ModelName"]]
        spec = InstanceSpec(
            endpoint=self.name,
            variant=config["VariantName"],
            model=model,
            download_timeout=config.get("ModelDataDownloadTimeoutInSeconds", DOWNLOAD_SECONDS),
            startup_timeout=config.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_SECONDS),
        )
        variant = Variant(
            name=config["VariantName"],
            config=deployment.name,
            instance_type=config["InstanceType"],
            image=model["PrimaryContainer"].get("Image", ""),
            weight=config.get("InitialVariantWeight", 1.0),
            desired=self._desired(config, retained),
            fleet=self.launcher.make_fleet(deployment, config, spec),
            role=model["ExecutionRoleArn"],
            capture=deployment.config.get("DataCaptureConfig"),
        )
        if (old := self.variants.get(variant.name)) and "DesiredWeight" in retained:
            variant.weight = old.weight
        return variant

    def resize(self, counts: Mapping[str, int]) -> None:
        """Bring variants to their new instance counts.

        Raises
        ------
        InstanceError
            An instance did not start; the variant's desired count falls back to what runs.
        """
        for name, count in counts.items():
            variant = self.variants[name]
            variant.desired = count
            try:
                variant.fleet.resize(count)
            except InstanceError:
                variant.desired = len(variant.fleet.instances)
                raise

    def heal(self) -> None:
        """Replace crashed instances of every variant, in an update those of the new fleets too.

        Raises
        ------
        InstanceError
            A replacement did not start.
        """
        pending = self.pending
        new = pending.variants.values() if pending else ()
        for variant in (*self.variants.values(), *new):
            variant.fleet.heal()

    def stop(self) -> None:
        """Drain and stop every instance."""
        for variant in self.variants.values():
            variant.fleet.stop()
