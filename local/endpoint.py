"""A live endpoint: its variants, and the long operations that change them one at a time."""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.errors import InstanceError, ServiceError, validation_error
from local.fleet import Fleet
from local.instance import InstanceSpec
from local.names import arn

log = logging.getLogger(__name__)

DOWNLOAD_SECONDS = 3600.0
"""ModelDataDownloadTimeoutInSeconds where a variant sets none: AWS documents no default; this is its upper bound."""

STARTUP_SECONDS = 240.0
"""ContainerStartupHealthCheckTimeoutInSeconds where a variant sets none (SageMaker guide, "Use your own inference
code with hosting services": four minutes)."""

REASON_LENGTH = 1024
"""Longest FailureReason that DescribeEndpoint returns (API reference)."""


@dataclass
class Variant:
    """A production variant that serves."""

    name: str
    instance_type: str
    image: str
    weight: float
    desired: int
    fleet: Fleet

    def describe(self) -> dict[str, Any]:
        """Return the ``ProductionVariantSummary``."""
        image = {"SpecifiedImage": self.image, "ResolvedImage": self.image} if self.image else {}
        return {
            "VariantName": self.name,
            "DeployedImages": [image] if image else [],
            "CurrentWeight": self.weight,
            "DesiredWeight": self.weight,
            "CurrentInstanceCount": len(self.fleet.instances),
            "DesiredInstanceCount": self.desired,
        }


@dataclass(frozen=True)
class Deployment:
    """An endpoint configuration with the models that it names, as they were when it was deployed.

    SageMaker keeps instances running and replaceable after the model or the configuration has been deleted.
    """

    config: Mapping[str, Any]
    models: Mapping[str, Mapping[str, Any]]

    @property
    def name(self) -> str:
        """The configuration's name."""
        return str(self.config["EndpointConfigName"])


@dataclass
class Endpoint:
    """An endpoint and its state.

    Parameters
    ----------
    make_fleet
        Makes the fleet of a variant from its configuration and what its instances start from.
    """

    name: str
    make_fleet: Callable[[Mapping[str, Any], InstanceSpec], Fleet]
    status: str = "Creating"
    config_name: str = ""
    failure: str | None = None
    deployment_config: Mapping[str, Any] | None = None
    variants: dict[str, Variant] = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    modified: float = field(default_factory=time.time)
    settled: threading.Event = field(default_factory=threading.Event)

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

    def choose(self, name: str | None) -> Variant:
        """Choose the variant of a request: the one it targets, else by weight.

        Raises
        ------
        ServiceError
            There is no such variant.
        """
        variants = list(self.variants.values())
        if name is None:
            return random.choices(variants, [variant.weight or 1e-9 for variant in variants])[0]  # noqa: S311
        if name not in self.variants:
            raise ServiceError("ValidationError", f"Variant {name} not found for endpoint {self.name}.")
        return self.variants[name]

    def begin(self, status: str, change: Callable[[], None]) -> None:
        """Set a status and make a change in the background; `settled` is set when it is over."""

        def run() -> None:
            try:
                change()
            except InstanceError as error:
                self.failure = str(error)
                log.warning("endpoint %s: %s", self.name, error)
            except Exception:
                self.failure = "The embedded AWS failed; its log has the traceback."
                log.exception("endpoint %s", self.name)
            finally:
                self.status = "InService" if self.variants else "Failed"
                self.modified = time.time()
                self.settled.set()

        self.settled.clear()
        self.status, self.failure = status, None
        threading.Thread(target=run, name=f"endpoint-{self.name}", daemon=True).start()

    def deploy(self, deployment: Deployment, retained: frozenset[str]) -> None:
        """Roll to a configuration: the new fleets become healthy, take over, and the old ones drain.

        Parameters
        ----------
        retained
            Variant properties that an existing variant keeps (``DesiredInstanceCount``, ``DesiredWeight``).

        Raises
        ------
        InstanceError
            A new instance did not become healthy; the old fleets go on serving.
        """
        new: dict[str, Variant] = {}
        try:
            for config in deployment.config["ProductionVariants"]:
                variant = self._make_variant(config, deployment, retained)
                new[variant.name] = variant
                variant.fleet.resize(variant.desired)
        except BaseException:
            for variant in new.values():
                variant.fleet.stop()
            raise
        old, self.variants, self.config_name = self.variants, new, deployment.name
        for variant in old.values():
            variant.fleet.stop()

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
            instance_type=config["InstanceType"],
            image=model["PrimaryContainer"].get("Image", ""),
            weight=config.get("InitialVariantWeight", 1.0),
            desired=config["InitialInstanceCount"],
            fleet=self.make_fleet(config, spec),
        )
        if old := self.variants.get(variant.name):
            variant.desired = old.desired if "DesiredInstanceCount" in retained else variant.desired
            variant.weight = old.weight if "DesiredWeight" in retained else variant.weight
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
        """Replace crashed instances of every variant.

        Raises
        ------
        InstanceError
            A replacement did not start.
        """
        for variant in list(self.variants.values()):
            variant.fleet.heal()

    def stop(self) -> None:
        """Drain and stop every instance."""
        for variant in self.variants.values():
            variant.fleet.stop()
