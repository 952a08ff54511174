"""Target tracking as Application Auto Scaling documents it: metric points and a clock in, a new capacity out.

No I/O and no clock of its own. Sources: Application Auto Scaling guide, "How target tracking scaling works" and
"Define cooldown periods"; SageMaker guide, "Automatic scaling prerequisites". Where AWS publishes no number, the
docstring says what is chosen.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

POINT_SECONDS = 60
HIGH_POINTS = 3
LOW_POINTS = 15
LOW_RATIO = 0.9
"""The alarms that AWS makes for a policy: one-minute points, 3 of 3 above the target scale out, 15 of 15 below 90 %
of it scale in (seen in the alarms of PutScalingPolicy; the guide gives no numbers)."""


@dataclass(frozen=True)
class Policy:
    """A ``TargetTrackingScalingPolicyConfiguration`` on a metric per instance; cooldowns in seconds."""

    target: float
    scale_out_cooldown: float = 300
    scale_in_cooldown: float = 300
    disable_scale_in: bool = False


@dataclass(frozen=True)
class Decision:
    """A new capacity, and the alarm behind it."""

    capacity: int
    alarm: str


def high_alarm(points: Sequence[float], target: float) -> bool:
    """Return whether the alarm that scales out is in ALARM.

    Parameters
    ----------
    points
        The metric minute by minute, the oldest first.
    target
        The policy's TargetValue, in the metric's unit.
    """
    return len(points) >= HIGH_POINTS and all(point > target for point in points[-HIGH_POINTS:])


def low_alarm(points: Sequence[float], target: float) -> bool:
    """Return whether the alarm that scales in is in ALARM; parameters as above."""
    return len(points) >= LOW_POINTS and all(point < LOW_RATIO * target for point in points[-LOW_POINTS:])


@dataclass
class TargetTracking:
    """One policy's memory: its metric's last points and its last scaling activity."""

    policy: Policy
    points: deque[float] = field(default_factory=lambda: deque(maxlen=LOW_POINTS))
    _last_out: float = -math.inf
    _last_in: float = -math.inf
    _last_increment: int = 0

    @property
    def high(self) -> bool:
        """Whether the alarm that scales out is in ALARM."""
        return high_alarm(list(self.points), self.policy.target)

    @property
    def low(self) -> bool:
        """Whether the alarm that scales in is in ALARM."""
        return low_alarm(list(self.points), self.policy.target)

    def observe(self, point: float) -> None:
        """Add the metric of the minute that has just ended, invocations per instance; no traffic counts as 0."""
        self.points.append(point)

    def decide(
        self, *, now: float, current: int, minimum: int, maximum: int, updating: bool = False
    ) -> Decision | None:
        """Return the capacity to set, None for no change. Call it once for each observed point.

        Parameters
        ----------
        now
            Seconds on the clock that cooldowns are read on.
        current
            Instances that are desired now.
        minimum, maximum
            The scalable target's bounds. A capacity outside them stays until an alarm calls for a change.
        updating
            The endpoint is being changed, so that it accepts no new capacity.
        """
        if updating:
            return None
        if self.high:
            return self._scale_out(now, current, minimum, maximum)
        if self.low and not self.policy.disable_scale_in:
            return self._scale_in(now, current, minimum, maximum)
        return None

    def _scale_out(self, now: float, current: int, minimum: int, maximum: int) -> Decision | None:
        """Grow in proportion to the last point, rounding up.

        During the cooldown of the last scale-out, what that added counts towards a larger one; an equal or smaller
        one waits. A scale-in's cooldown does not hold a scale-out back, and ends with it.
        """
        increment = math.ceil(current * self.points[-1] / self.policy.target) - current
        cooling = now - self._last_out < self.policy.scale_out_cooldown
        added = increment - self._last_increment if cooling else increment
        capacity = min(max(current + added, minimum), maximum)
        if capacity <= current:
            return None
        self._last_out, self._last_in, self._last_increment = now, -math.inf, increment
        return Decision(capacity, "AlarmHigh")

    def _scale_in(self, now: float, current: int, minimum: int, maximum: int) -> Decision | None:
        """Shrink to what the busiest of the alarm's points needs, rounding up.

        AWS says only that it scales in conservatively; taking the busiest point is this module's reading. Either
        cooldown holds a scale-in back.
        """
        if now - self._last_in < self.policy.scale_in_cooldown:
            return None
        if now - self._last_out < self.policy.scale_out_cooldown:
            return None
        needed = math.ceil(current * max(self.points) / self.policy.target)
        capacity = min(max(needed, minimum), maximum)
        if capacity >= current:
            return None
        self._last_in = now
        return Decision(capacity, "AlarmLow")
