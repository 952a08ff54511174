"""The stages of an update, and how they are walked through, on a clock of the test's own."""

import math
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from local.core.errors import DeploymentError, ServiceError
from local.sagemaker.endpoint.blue_green import BlueGreen
from local.sagemaker.endpoint.traffic_shifting import PolicyError, Stage, plan_stages

ONE = "AllTraffic"


def policy(kind: str, size: int = 0, unit: str = "CAPACITY_PERCENT", wait: int = 60, end: int = 120) -> dict[str, Any]:
    routing: dict[str, Any] = {"Type": kind, "WaitIntervalInSeconds": wait}
    if size:
        routing["CanarySize" if kind == "CANARY" else "LinearStepSize"] = {"Type": unit, "Value": size}
    return {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": end}


@pytest.mark.parametrize(
    ("declared", "instances", "expected"),
    [
        ({}, 2, [(2, "full", 0)]),
        (policy("ALL_AT_ONCE"), 3, [(3, "full", 120)]),
        (policy("CANARY", 50), 2, [(1, "canary", 60), (2, "full", 120)]),
        (policy("CANARY", 30), 10, [(3, "canary", 60), (10, "full", 120)]),
        (policy("CANARY", 50), 3, [(1, "canary", 60), (3, "full", 120)]),
        (policy("CANARY", 10), 2, [(1, "canary", 60), (2, "full", 120)]),
        (policy("CANARY", 2, "INSTANCE_COUNT"), 4, [(2, "canary", 60), (4, "full", 120)]),
        (policy("LINEAR", 50), 2, [(1, "linear", 60), (2, "full", 120)]),
        (policy("LINEAR", 33), 3, [(1, "linear", 60), (2, "linear", 60), (3, "full", 120)]),
        (policy("LINEAR", 40), 5, [(2, "linear", 60), (4, "linear", 60), (5, "full", 120)]),
        (policy("LINEAR", 1, "INSTANCE_COUNT"), 4, [(n, "linear", 60) for n in (1, 2, 3)] + [(4, "full", 120)]),
    ],
)
def test_a_policy_becomes_stages(declared: dict[str, Any], instances: int, expected: list[Any]) -> None:
    found = [(stage.active[ONE], stage.capacity, stage.seconds) for stage in plan_stages(declared, {ONE: instances})]
    assert found == expected


def test_only_the_last_bake_is_the_wait_for_termination() -> None:
    settings = [stage.setting for stage in plan_stages(policy("LINEAR", 33), {ONE: 3})]
    assert settings == ["WaitIntervalInSeconds", "WaitIntervalInSeconds", "TerminationWaitInSeconds"]


def test_of_two_variants_the_one_with_fewer_steps_waits_for_the_other() -> None:
    active = [stage.active for stage in plan_stages(policy("LINEAR", 1, "INSTANCE_COUNT"), {"a": 2, "b": 4})]
    assert active == [{"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 2, "b": 3}, {"a": 2, "b": 4}]


@pytest.mark.parametrize(
    ("declared", "instances", "message"),
    [
        (policy("CANARY"), 2, "CanarySize is required"),
        (policy("LINEAR"), 2, "LinearStepSize is required"),
        (policy("CANARY", 51), 10, "at most 50%"),
        (policy("CANARY", 50), 1, r"at most 50% of the variant's 1 instance\(s\)"),
        (policy("LINEAR", 50), 1, r"10-50% of the variant's 1 instance\(s\)"),
        (policy("CANARY", 1, "INSTANCE_COUNT"), 1, r"at most 50% of the variant's 1 instance\(s\)"),
        (policy("CANARY", 2, "INSTANCE_COUNT"), 3, "at most 50%"),
        (policy("LINEAR", 9), 20, "10-50%"),
        (policy("LINEAR", 1, "INSTANCE_COUNT"), 11, "10-50%"),
    ],
)
def test_a_step_that_does_not_fit_the_fleet_is_refused(declared: dict[str, Any], instances: int, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        plan_stages(declared, {ONE: instances})


class HandClock:
    """A clock that waiting moves on."""

    scale = 1.0

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def wait(self, until: float, stop: threading.Event) -> bool:
        self.time = max(until, math.nextafter(self.time, math.inf))
        return True


class HandAlarms:
    """Alarms that ring from a moment on."""

    def __init__(self, clock: HandClock, rings_at: float = math.inf) -> None:
        self.clock, self.rings_at = clock, rings_at
        self.watched_now: Sequence[str] = ()

    def require(self, names: Collection[str], roles: Collection[str]) -> None:
        pass

    @contextmanager
    def watched(self, names: Collection[str]) -> Iterator[None]:
        self.watched_now = list(names)
        yield
        self.watched_now = ()

    def ringing(self, names: Collection[str]) -> list[str]:
        assert self.watched_now == list(names)
        return list(names) if self.clock.time >= self.rings_at else []


ALARMS = {"Alarms": [{"AlarmName": "bad"}]}
CANARY = {"BlueGreenUpdatePolicy": policy("CANARY", 50), "AutoRollbackConfiguration": ALARMS}


def shift(config: dict[str, Any], rings_at: float = math.inf, provisioning: float = 0) -> tuple[list[Any], str]:
    """Walk through an update of two instances; return (time, active instances) by stage with its end, and its error."""
    clock, seen = HandClock(), list[Any]()

    def activate(stage: Stage) -> None:
        seen.append((round(clock.time), stage.active[ONE]))

    failure = ""
    try:
        updates = BlueGreen(clock, HandAlarms(clock, rings_at))
        updates.shift(config, {ONE: 2}, activate, time.monotonic() - provisioning)
    except DeploymentError as error:
        failure = str(error)
    return [*seen, round(clock.time)], failure


def test_a_quiet_canary_is_baked_then_all_of_the_traffic() -> None:
    assert shift(CANARY) == ([(0, 1), (60, 2), 180], "")


def test_without_a_policy_all_of_the_traffic_is_shifted_at_once() -> None:
    assert shift({}) == ([(0, 2), 0], "")


@pytest.mark.parametrize(
    ("rings_at", "expected"),
    [
        (0, [0]),  # before any traffic is shifted
        (30, [(0, 1), 30]),
        (60, [(0, 1), 60]),  # as the canary's bake ends: the rest stays with the old fleet
        (170, [(0, 1), (60, 2), 170]),
        (180, [(0, 1), (60, 2), 180]),  # as the last bake ends
    ],
)
def test_an_alarm_ends_the_update_whenever_it_rings(rings_at: float, expected: list[Any]) -> None:
    stages_seen, failure = shift(CANARY, rings_at)
    assert stages_seen == expected
    assert failure == "Deployment rolled back: CloudWatch alarm(s) in state ALARM: bad."


def test_an_alarm_that_the_policy_does_not_name_ends_nothing() -> None:
    assert shift({"BlueGreenUpdatePolicy": policy("CANARY", 50)}, rings_at=0) == ([(0, 1), (60, 2), 180], "")


@pytest.mark.parametrize(("limit", "provisioning", "end"), [(100, 0, 100), (1000, 900, 100), (100, 200, 0)])
def test_an_update_that_takes_too_long_is_taken_back(limit: float, provisioning: float, end: float) -> None:
    declared = {**policy("CANARY", 50), "MaximumExecutionTimeoutInSeconds": limit}
    stages_seen, failure = shift({"BlueGreenUpdatePolicy": declared}, provisioning=provisioning)
    assert stages_seen[-1] == end
    assert "MaximumExecutionTimeoutInSeconds" in failure


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"RollingUpdatePolicy": {}}, "does not simulate RollingUpdatePolicy"),
        ({"BlueGreenUpdatePolicy": policy("CANARY", 51)}, "at most 50%"),
    ],
)
def test_a_policy_that_cannot_be_carried_out_is_refused(config: dict[str, Any], message: str) -> None:
    clock = HandClock()
    with pytest.raises(ServiceError, match=message):
        BlueGreen(clock, HandAlarms(clock)).check(config, {ONE: 1}, [])
