"""The stages of a blue/green update: which part of the new fleet takes traffic, and for how long it is watched.

Pure: a deployment policy and instance counts in, stages out. Source: SageMaker guide, "Blue/Green Deployments" (all
at once, canary and linear traffic shifting); API reference, TrafficRoutingConfig and CapacitySize.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

LARGEST_STEP_PERCENT = 50
SMALLEST_LINEAR_STEP_PERCENT = 10
"""Bounds of CanarySize and LinearStepSize, of a variant's instances (API reference, TrafficRoutingConfig)."""


class PolicyError(ValueError):
    """A policy does not fit the fleet; the message says which member, and its bound."""


@dataclass(frozen=True)
class Stage:
    """One shift of traffic and the bake that follows it.

    Parameters
    ----------
    active
        By variant, how many instances of its new fleet take traffic.
    capacity
        What AWS calls that part of the fleet.
    seconds
        How long the alarms are watched before the next stage.
    setting
        The member of the policy that says so.
    """

    active: Mapping[str, int]
    capacity: Literal["canary", "linear", "full"]
    seconds: float
    setting: Literal["WaitIntervalInSeconds", "TerminationWaitInSeconds"]


def plan_stages(policy: Mapping[str, Any], counts: Mapping[str, int]) -> list[Stage]:
    """Return the stages of an update.

    Between two shifts of traffic lies ``WaitIntervalInSeconds``; after the last, until the old fleet is terminated,
    ``TerminationWaitInSeconds``. A step is a number of instances: a percentage is rounded down, to 1 at
    least (AWS does not document the rounding). It is at most half of the fleet; one instance cannot be divided.

    Parameters
    ----------
    policy
        A ``BlueGreenUpdatePolicy``; empty is all at once.
    counts
        Instances of each variant's new fleet.

    Raises
    ------
    PolicyError
        A step is missing or out of its bounds.
    """
    routing = policy.get("TrafficRoutingConfiguration", {})
    wait = float(routing.get("WaitIntervalInSeconds", 0))
    kind = routing.get("Type", "ALL_AT_ONCE")
    ladders = {name: _ladder(kind, routing, count) for name, count in counts.items()}
    last = max(map(len, ladders.values())) - 1
    shifts = [{name: ladder[min(i, len(ladder) - 1)] for name, ladder in ladders.items()} for i in range(last + 1)]
    partial: Literal["canary", "linear"] = "canary" if kind == "CANARY" else "linear"
    return [
        *(Stage(active, partial, wait, "WaitIntervalInSeconds") for active in shifts[:last]),
        Stage(shifts[last], "full", float(policy.get("TerminationWaitInSeconds", 0)), "TerminationWaitInSeconds"),
    ]


def _ladder(kind: str, routing: Mapping[str, Any], count: int) -> list[int]:
    """Return how many of a variant's instances are active, stage by stage, the last time all of them."""
    match kind:
        case "CANARY":
            return [_step("CanarySize", routing, count), count]
        case "LINEAR":
            return [*range(step := _step("LinearStepSize", routing, count), count, step), count]
        case _:
            return [count]


def _step(member: str, routing: Mapping[str, Any], count: int) -> int:
    size = routing.get(member)
    if size is None:
        raise PolicyError(f"{member} is required for traffic routing of type {routing['Type']}.")
    percent = size["Type"] == "CAPACITY_PERCENT"
    step = max(1, count * size["Value"] // 100) if percent else int(size["Value"])
    smallest = SMALLEST_LINEAR_STEP_PERCENT if member == "LinearStepSize" else 0
    share = size["Value"] if percent else 100 * step / count
    if not smallest <= share <= LARGEST_STEP_PERCENT or 100 * step / count > LARGEST_STEP_PERCENT:
        bounds = f"{smallest}-{LARGEST_STEP_PERCENT}%" if smallest else f"at most {LARGEST_STEP_PERCENT}%"
        raise PolicyError(
            f"{member} of {size['Value']} ({size['Type']}) must be {bounds} of the variant's {count} instance(s)."
        )
    return step
