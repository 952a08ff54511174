"""Carries out a blue/green update: shifts the traffic stage by stage and watches the alarms in between.

Source: SageMaker guide, "Blue/Green Deployments" and "Auto-Rollback Configuration and Monitoring".
"""

import math
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from local.core.errors import DeploymentError, validation_error
from local.sagemaker.endpoint.traffic_shifting import PolicyError, Stage, plan_stages

POLL_SECONDS = 0.2
"""Real seconds between two looks at the alarms."""


class Clock(Protocol):
    """The deployment's time; `scale` of its seconds pass in a real one."""

    scale: float

    def now(self) -> float:
        """Return its seconds."""

    def wait(self, until: float, stop: threading.Event) -> bool:
        """Sleep until it shows `until`."""


class Alarms(Protocol):
    """CloudWatch's alarms, as a deployment sees them."""

    def require(self, names: Collection[str], roles: Collection[str]) -> None:
        """Refuse alarms that do not exist or that one of the roles may not read."""

    def watched(self, names: Collection[str]) -> AbstractContextManager[None]:
        """Have the alarms evaluated on the deployment's clock for the time of the context."""

    def ringing(self, names: Collection[str]) -> list[str]:
        """Return those in state ALARM."""


class BlueGreen:
    """Deployment policies, carried out on one clock.

    Parameters
    ----------
    clock
        Waits and the execution timeout pass on it. Instances start in real time, and that time counts as it is.
    alarms
        What the policies' auto-rollback watches.
    """

    def __init__(self, clock: Clock, alarms: Alarms) -> None:
        self._clock = clock
        self._alarms = alarms
        self._never = threading.Event()

    def check(self, config: Mapping[str, Any], counts: Mapping[str, int], roles: Collection[str]) -> None:
        """Refuse a deployment configuration that cannot be carried out.

        Parameters
        ----------
        config
            A ``DeploymentConfig``.
        counts
            Instances of each variant's new fleet.
        roles
            Execution roles of the models, which must be allowed to read the alarms.

        Raises
        ------
        ServiceError
            A step does not fit the fleet, an alarm is missing or may not be read, or the policy is a rolling one.
        """
        if "RollingUpdatePolicy" in config:
            raise validation_error("The embedded AWS does not simulate RollingUpdatePolicy.")
        try:
            plan_stages(config.get("BlueGreenUpdatePolicy", {}), counts)
        except PolicyError as error:
            raise validation_error(str(error)) from error
        if names := _alarm_names(config):
            self._alarms.require(names, roles)

    def start(self, config: Mapping[str, Any]) -> None:
        """Refuse to begin a deployment while one of its alarms is in ALARM: AWS does not document when it first looks.

        Raises
        ------
        DeploymentError
            An alarm rings.
        """
        self._look(_alarm_names(config), math.inf)

    def shift(
        self,
        config: Mapping[str, Any],
        counts: Mapping[str, int],
        activate: Callable[[Stage], None],
        started: float,
    ) -> None:
        """Shift the traffic to healthy new fleets.

        An alarm that rings by then ends the deployment before any traffic is shifted.

        Parameters
        ----------
        activate
            Brings a stage about.
        started
            When the deployment began, on the real clock (`time.monotonic`).

        Raises
        ------
        DeploymentError
            An alarm rang, or ``MaximumExecutionTimeoutInSeconds`` was over: the traffic has to go back.
        """
        policy, names = config.get("BlueGreenUpdatePolicy", {}), _alarm_names(config)
        limit = policy.get("MaximumExecutionTimeoutInSeconds", math.inf)
        deadline = self._clock.now() + limit - (time.monotonic() - started)
        with self._alarms.watched(names):
            for stage in plan_stages(policy, counts):
                self._look(names, deadline)
                activate(stage)
                end = self._clock.now() + stage.seconds
                while (now := self._clock.now()) < end:
                    self._look(names, deadline)
                    self._clock.wait(min(end, deadline, now + POLL_SECONDS * self._clock.scale), self._never)
            self._look(names, deadline)

    def _look(self, names: Collection[str], deadline: float) -> None:
        if names and (ringing := self._alarms.ringing(names)):
            raise DeploymentError(
                f"Deployment rolled back: CloudWatch alarm(s) in state ALARM: {', '.join(sorted(ringing))}."
            )
        if self._clock.now() >= deadline:
            raise DeploymentError(
                "Deployment rolled back: it was not complete within MaximumExecutionTimeoutInSeconds."
            )


def _alarm_names(config: Mapping[str, Any]) -> list[str]:
    return [alarm["AlarmName"] for alarm in config.get("AutoRollbackConfiguration", {}).get("Alarms", ())]
