"""``[endpoint.scaling]``: how many instances, and what decides it."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from stacks.settings.instances import MOST_INSTANCES
from stacks.settings.section import Section, repeated

# Target tracking reads one-minute metrics, so a shorter cooldown never binds.
Cooldown = Annotated[int, Field(ge=60, le=3600)]

CRON = {
    "minutes": (0, 59, ()),
    "hours": (0, 23, ()),
    "days": (1, 31, ("L", "W", "LW")),
    "months": (1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")),
    "weekdays": (1, 7, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "L")),
    "years": (1970, 2199, ()),
}
"""Bounds and words of each field (Application Auto Scaling guide, "Schedule recurring scaling actions using cron")."""

# What lies outside no instance reaches, or every one does; AWS takes 8.5e-109 to 1.2e108 (Application Auto Scaling API
# reference, TargetTrackingScalingPolicyConfiguration).
Tracked = Annotated[float, Field(ge=0.01, le=1_000_000)]

MOST_ACTIONS = 200
"""Scheduled actions of one scalable target (Application Auto Scaling guide, "Quotas")."""


class ScheduledAction(Section):
    """New bounds at a time: ``cron`` has the six fields of AWS (minutes hours days months weekdays years)."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9]{0,62}$")
    # "cron(...)" has 1600 characters at most (Application Auto Scaling API reference, PutScheduledAction).
    cron: str = Field(max_length=1594)
    time_zone: str = Field(default="Etc/UTC", max_length=64, pattern=r"^[A-Za-z_]+(/[A-Za-z0-9_+-]+){0,2}$")
    # Both are needed: an action that sets one of them leaves the other as the action before it did.
    minimum_instances: int = Field(ge=1, le=MOST_INSTANCES)
    maximum_instances: int = Field(ge=1, le=MOST_INSTANCES)

    @field_validator("cron")
    @classmethod
    def _has_six_fields(cls, value: str) -> str:
        fields = value.split()
        if len(fields) != len(CRON):
            raise ValueError(f'use six fields, {" ".join(CRON)}, as in "0 8 ? * MON-FRI *"')
        for (name, (low, high, words)), field in zip(CRON.items(), fields, strict=True):
            wild = ("*", "?") if name in ("days", "weekdays") else ("*",)
            for part in re.split(r"[,/#-]", field):
                if part not in (*wild, *words) and not (part.isascii() and part.isdigit() and low <= int(part) <= high):
                    allowed = ", ".join((*wild, *words))
                    raise ValueError(f"the field {name} has {part!r}: use {low} to {high}, or {allowed}")
        if (fields[2] == "?") == (fields[4] == "?"):
            raise ValueError("put ? in either days (the third field) or weekdays (the fifth), and a value in the other")
        return value

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        _require_range(self.minimum_instances, self.maximum_instances)
        return self


class ScalingSettings(Section):
    """Target tracking on one metric, for each variant; cooldowns in seconds.

    ``metric = "invocations"`` tracks invocations per instance and minute, ``"concurrency"`` the requests that an
    instance has in hand, every ten seconds.
    """

    # Off, what is running keeps its count. An instance type changes, and a variant goes or gets another name, only
    # while nothing scales it (SageMaker guide, "Update endpoints that use auto scaling").
    enabled: bool = True
    minimum_instances: int = Field(ge=1, le=MOST_INSTANCES)
    maximum_instances: int = Field(ge=1, le=MOST_INSTANCES)
    metric: Literal["invocations", "concurrency"] = "invocations"
    invocations_per_instance: Tracked
    concurrent_requests_per_instance: Tracked | None = None
    scale_out_cooldown_seconds: Cooldown
    scale_in_cooldown_seconds: Cooldown
    schedule: list[ScheduledAction] = Field(default=[], max_length=MOST_ACTIONS)

    @property
    def smallest_fleet(self) -> int:
        """The fewest instances that a variant can have at any time of the schedule."""
        return min([self.minimum_instances, *(action.minimum_instances for action in self.schedule)])

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        _require_range(self.minimum_instances, self.maximum_instances)
        return self

    @model_validator(mode="after")
    def _tracks_something(self) -> Self:
        if self.metric == "concurrency" and self.concurrent_requests_per_instance is None:
            raise ValueError('metric = "concurrency" needs concurrent_requests_per_instance: set it to 1 or more')
        return self

    @model_validator(mode="after")
    def _actions_have_names_of_their_own(self) -> Self:
        names = [action.name for action in self.schedule]
        if (name := repeated(names)) is not None:
            raise ValueError(f'schedule: the name "{name}" is used twice: give each action a unique name')
        return self


def _require_range(minimum: int, maximum: int) -> None:
    if minimum > maximum:
        raise ValueError(
            f"minimum_instances = {minimum} is above maximum_instances = {maximum}: lower minimum_instances or raise "
            "maximum_instances"
        )
