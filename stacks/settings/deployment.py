"""``[endpoint.deployment]`` and ``[endpoint.guardrails]``: how an update reaches the traffic, and what stops it."""

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from stacks.settings.section import Section

Shift = Literal["ALL_AT_ONCE", "CANARY", "LINEAR"]

ALARM_PERIOD_SECONDS = 60
"""SageMaker publishes its metrics once a minute (SageMaker guide, "Amazon SageMaker AI metrics")."""
ALARM_PERIODS, ALARM_BREACHES = 3, 2
"""Two bad minutes of three: one slow minute while caches fill does not roll back, a bad model does in the bake time."""


class DeploymentSettings(Section):
    """A blue/green update (SageMaker guide, "Deployment guardrails"); times in seconds.

    ``traffic = "auto"`` is a canary where every variant always has two instances, and all at once where one is
    enough, because a step moves at most half of a fleet.
    """

    traffic: Literal["auto", "canary", "linear", "all_at_once"]
    # CanarySize and LinearStepSize: SageMaker API reference, TrafficRoutingConfig.
    step_percentage: int = Field(ge=10, le=50)
    # Each step, and the old fleet after the last one; less than the alarms look back, and none of them could fire.
    bake_seconds: int = Field(ge=ALARM_PERIODS * ALARM_PERIOD_SECONDS, le=3600)
    maximum_duration_seconds: int = Field(ge=600, le=28800)

    def shift(self, smallest_fleet: int) -> Shift:
        """Return how the traffic moves between fleets that have at least so many instances.

        Parameters
        ----------
        smallest_fleet
            Instances that every variant has at least.
        """
        match self.traffic:
            case "canary":
                return "CANARY"
            case "linear":
                return "LINEAR"
            case "auto" if smallest_fleet >= 2:
                return "CANARY"
            case _:
                return "ALL_AT_ONCE"

    def require_fit(self, smallest_fleet: int, start_seconds: int) -> None:
        """Refuse a policy that a fleet is too small for, or that cannot end in its time.

        Parameters
        ----------
        smallest_fleet
            Instances that every variant has at least.
        start_seconds
            The sum of the endpoint's two timeouts: what a new instance may take until it serves.

        Raises
        ------
        ValueError
            The message says what to set.
        """
        shift = self.shift(smallest_fleet)
        if shift != "ALL_AT_ONCE" and self.step_percentage * smallest_fleet < 100:
            raise ValueError(
                f"deployment.traffic = {self.traffic!r} moves {self.step_percentage} % of the instances at a time, "
                f"which is less than one instance of {smallest_fleet}: " + self._way_out(smallest_fleet)
            )
        steps = {"ALL_AT_ONCE": 0, "CANARY": 1, "LINEAR": math.ceil(100 / self.step_percentage) - 1}[shift]
        needed = start_seconds + (steps + 1) * self.bake_seconds
        if self.maximum_duration_seconds < needed:
            raise ValueError(
                f"deployment.maximum_duration_seconds = {self.maximum_duration_seconds} is less than "
                f"download_timeout_seconds + startup_timeout_seconds + {steps + 1} x deployment.bake_seconds: set it "
                f"to {needed} or more"
            )

    def _way_out(self, smallest_fleet: int) -> str:
        if smallest_fleet == 1:
            return 'set scaling.minimum_instances to 2 or more, or traffic to "all_at_once"'
        return f"set deployment.step_percentage to {math.ceil(100 / smallest_fleet)} or more"


class GuardrailSettings(Section):
    """The limits of a new fleet, as percentages of its invocations; above one, SageMaker rolls the update back."""

    server_error_percentage: float = Field(gt=0, lt=100)
    # Counts refused photos (4XX) and time-outs too, so it lies well above what users' bad photos alone can cause.
    model_error_percentage: float = Field(gt=0, lt=100)
    # An invocation is given up after 60 s (SageMaker Runtime API reference, InvokeEndpoint).
    latency_p99_milliseconds: int = Field(ge=1, lt=60_000)

    @model_validator(mode="after")
    def _errors_contain_server_errors(self) -> Self:
        if self.model_error_percentage < self.server_error_percentage:
            raise ValueError(
                f"model_error_percentage = {self.model_error_percentage} is below server_error_percentage = "
                f"{self.server_error_percentage}, but model errors include all server errors: raise "
                "model_error_percentage"
            )
        return self
