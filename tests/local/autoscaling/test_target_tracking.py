import math

import pytest

from local.autoscaling.target_tracking import Policy, TargetTracking

MINUTE = 60.0


def tracking(*points: float, **policy: object) -> TargetTracking:
    made = TargetTracking(Policy(target=100, **policy))  # type: ignore[arg-type]
    for point in points:
        made.observe(point)
    return made


def capacity(made: TargetTracking, current: int, *, now: float = 1e6, **others: object) -> int | None:
    bounds = {"minimum": 1, "maximum": 10, **others}
    decision = made.decide(now=now, current=current, **bounds)  # type: ignore[arg-type]
    return None if decision is None else decision.capacity


def test_three_points_above_the_target_scale_out() -> None:
    assert capacity(tracking(150, 150), 1) is None
    assert capacity(tracking(150, 150, 150), 1) == 2


@pytest.mark.parametrize("points", [(150, 99, 150), (150, 150, 100), (100, 150, 150)])
def test_one_point_not_above_the_target_prevents_a_scale_out(points: tuple[float, ...]) -> None:
    assert capacity(tracking(*points), 1) is None


@pytest.mark.parametrize(("point", "current", "wanted"), [(101, 1, 2), (250, 2, 5), (330, 3, 10), (200, 4, 8)])
def test_scale_out_is_proportional_and_rounds_up(point: float, current: int, wanted: int) -> None:
    assert capacity(tracking(point, point, point), current) == wanted


def test_scale_out_follows_the_latest_point() -> None:
    assert capacity(tracking(900, 900, 150), 2) == 3


def test_scale_out_stops_at_the_maximum() -> None:
    assert capacity(tracking(900, 900, 900), 1, maximum=3) == 3
    assert capacity(tracking(900, 900, 900), 3, maximum=3) is None


def test_fifteen_points_below_nine_tenths_of_the_target_scale_in() -> None:
    assert capacity(tracking(*[40] * 14), 4) is None
    assert capacity(tracking(*[40] * 15), 4) == 2


def test_a_point_at_nine_tenths_of_the_target_prevents_a_scale_in() -> None:
    assert capacity(tracking(90, *[40] * 14), 4) is None
    assert capacity(tracking(89, *[40] * 14), 10) == 9


def test_only_the_last_fifteen_points_count() -> None:
    assert capacity(tracking(500, *[40] * 15), 4) == 2


def test_no_traffic_scales_in_to_the_minimum() -> None:
    assert capacity(tracking(*[0] * 15), 4, minimum=2) == 2
    assert capacity(tracking(*[0] * 15), 2, minimum=2) is None


def test_disable_scale_in_leaves_only_scale_out() -> None:
    assert capacity(tracking(*[0] * 15, disable_scale_in=True), 4) is None
    assert capacity(tracking(*[200] * 3, disable_scale_in=True), 4) == 8


def test_nothing_changes_while_the_endpoint_is_updating() -> None:
    assert capacity(tracking(*[0] * 15), 4, updating=True) is None
    assert capacity(tracking(*[200] * 3), 4, updating=True) is None


def test_a_second_scale_out_waits_for_the_cooldown() -> None:
    made = tracking(200, 200, 200, scale_out_cooldown=180)
    assert capacity(made, 2, now=1000) == 4
    made.observe(120)
    assert capacity(made, 4, now=1000 + MINUTE) is None
    made.observe(120)
    assert capacity(made, 4, now=1000 + 3 * MINUTE) == 5


def test_a_larger_scale_out_is_not_held_back_and_counts_what_was_added() -> None:
    made = tracking(150, 150, 150, scale_out_cooldown=600)
    assert capacity(made, 2, now=1000) == 3
    made.observe(200)
    assert capacity(made, 3, now=1000 + MINUTE) == 5


def test_scale_in_waits_for_its_cooldown() -> None:
    made = tracking(*[60] * 15, scale_in_cooldown=300, scale_out_cooldown=0)
    assert capacity(made, 10, now=1000) == 6
    assert capacity(made, 6, now=1000 + 299) is None
    assert capacity(made, 6, now=1000 + 300) == 4


def test_scale_in_waits_for_the_cooldown_of_a_scale_out() -> None:
    made = tracking(200, 200, 200, scale_out_cooldown=3600)
    assert capacity(made, 2, now=1000) == 4
    for _ in range(15):
        made.observe(10)
    assert capacity(made, 4, now=1000 + 15 * MINUTE) is None
    assert capacity(made, 4, now=1000 + 3600) == 1


def test_a_scale_in_does_not_hold_back_a_scale_out() -> None:
    made = tracking(*[40] * 15, scale_in_cooldown=3600)
    assert capacity(made, 4, now=1000) == 2
    for _ in range(3):
        made.observe(300)
    assert capacity(made, 2, now=1000 + 3 * MINUTE) == 6


def test_a_capacity_below_the_minimum_is_raised_by_the_next_scale_out() -> None:
    assert capacity(tracking(120, 120, 120), 1, minimum=4) == 4
    assert capacity(tracking(*[0] * 15), 1, minimum=4) is None


def test_a_capacity_above_the_maximum_is_lowered_by_the_next_scale_in_only() -> None:
    assert capacity(tracking(*[80] * 15), 8, maximum=3) == 3
    assert capacity(tracking(300, 300, 300), 8, maximum=3) is None


def test_steady_load_settles_where_every_instance_is_at_or_below_the_target() -> None:
    made, current, load = tracking(), 1, 730.0
    for minute in range(120):
        made.observe(load / current)
        current = capacity(made, current, now=minute * MINUTE) or current
    assert current == math.ceil(load / 100)
