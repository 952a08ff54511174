"""``[endpoint.scaling]``: how many instances, and what decides it."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from stacks.settings.section import Section

# Target tracking reads one-minute metrics, so a shorter cooldown never binds.
Cooldown = Annotated[int, Field(ge=60, le=3600)]

CRON_FIELD = re.compile(r"[0-9A-Z*?,/#-]+")


class ScheduledAction(Section):
    """New bounds at a time: ``cron`` has the six fields of AWS (minutes hours days months weekdays years)."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9]{0,62}$")
    cron: str
    time_zone: str = Field(default="Etc/UTC", pattern=r"^[A-Za-z_]+(/[A-Za-z0-9_+-]+){0,2}$")
    # Both are needed: an action that sets one of them leaves the other as the action before it did.
    minimum_instances: int = Field(ge=1)
    maximum_instances: int = Field(ge=1)

    @field_validator("cron")
    @classmethod
    def _has_six_fields(cls, value: str) -> str:
        fields = value.split()
        if len(fields) != 6 or not all(map(CRON_FIELD.fullmatch, fields)):
            raise ValueError('use six fields: minutes hours days months weekdays years, as in "0 8 ? * MON-FRI *"')
        if (fields[2] == "?") == (fields[4] == "?"):
            raise ValueError("put ? in one of the days (third field) and the weekdays (fifth field), not in both")
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

    minimum_instances: int = Field(ge=1)
    maximum_instances: int = Field(ge=1)
    metric: Literal["invocations", "concurrency"] = "invocations"
    invocations_per_instance: float = Field(gt=0)
    concurrent_requests_per_instance: float | None = Field(default=None, gt=0)
    scale_out_cooldown_seconds: Cooldown
    scale_in_cooldown_seconds: Cooldown
    schedule: list[ScheduledAction] = Field(default=[])

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
        if len(set(names)) < len(names):
            raise ValueError(f"schedule: {', '.join(names)} has a name twice: give each action one of its own")
        return self


def _require_range(minimum: int, maximum: int) -> None:
    if minimum > maximum:
        raise ValueError(
            f"minimum_instances = {minimum} is above maximum_instances = {maximum}: lower the one or raise the other"
        )
