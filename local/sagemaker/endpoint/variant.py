"""A production variant, and the new ones of an update that is under way."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local.sagemaker.endpoint.fleet import Fleet
from local.sagemaker.endpoint.traffic_shifting import Stage


@dataclass
class Variant:
    """A production variant and its fleet.

    Parameters
    ----------
    config
        Name of the endpoint configuration that it comes from.
    role, capture
        The model's execution role, and the ``DataCaptureConfig`` of that configuration.
    """

    name: str
    config: str
    instance_type: str
    image: str
    weight: float
    desired: int
    fleet: Fleet
    role: str = ""
    capture: Mapping[str, Any] | None = None

    def describe(self) -> dict[str, Any]:
        """Return the ``ProductionVariantSummary``; of an update's variant, the count is what takes traffic."""
        image = {"SpecifiedImage": self.image, "ResolvedImage": self.image} if self.image else {}
        return {
            "VariantName": self.name,
            "DeployedImages": [image] if image else [],
            "CurrentWeight": self.weight,
            "DesiredWeight": self.weight,
            "CurrentInstanceCount": len(self.fleet.serving),
            "DesiredInstanceCount": self.desired,
        }


@dataclass
class PendingDeployment:
    """The deployment under way: its variants, what share of the traffic they take, what is happening to them.

    Statuses and messages: SageMaker guide, "Events that Amazon SageMaker AI sends to Amazon EventBridge", endpoint
    deployment state change.
    """

    config: str
    variants: dict[str, Variant] = field(default_factory=dict)
    share: float = 0.0
    started: float = field(default_factory=time.time)
    _status: str = "Creating"
    _since: float = field(default_factory=time.time)
    _messages: Mapping[str, str] = field(default_factory=dict)

    def activate(self, stage: Stage) -> None:
        """Give the active part of the new fleets its share of the traffic."""
        for name, count in stage.active.items():
            self.variants[name].fleet.active = count
        self.share = sum(stage.active.values()) / sum(variant.desired for variant in self.variants.values())
        self._status, self._since = "Baking", time.time()
        self._messages = {
            name: f"Baking for {stage.seconds:g} seconds ({stage.setting}) with traffic enabled on {stage.capacity} "
            f"capacity of {count} instance(s)."
            for name, count in stage.active.items()
        }

    def describe(self) -> dict[str, Any]:
        """Return the ``PendingDeploymentSummary``."""
        return {
            "EndpointConfigName": self.config,
            "StartTime": self.started,
            "ProductionVariants": [
                {
                    **variant.describe(),
                    "InstanceType": variant.instance_type,
                    "VariantStatus": [
                        {
                            "Status": self._status,
                            "StatusMessage": self._messages.get(name, f"Launching {variant.desired} instance(s)."),
                            "StartTime": self._since,
                        }
                    ],
                }
                for name, variant in self.variants.items()
            ],
        }
