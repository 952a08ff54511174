import threading
import time

import pytest

from local.core.clock import ScaledClock


def test_a_scaled_clock_runs_faster_than_the_wall() -> None:
    clock, started = ScaledClock(1000), time.monotonic()
    time.sleep(0.02)
    assert 20 <= clock.now() <= (time.monotonic() - started + 0.001) * 1000


def test_waiting_ends_at_the_clock_s_time() -> None:
    clock = ScaledClock(1000)
    assert clock.wait(30, threading.Event())
    assert clock.now() >= 30


def test_waiting_ends_when_it_is_told_to_stop() -> None:
    stop = threading.Event()
    stop.set()
    assert not ScaledClock().wait(1e6, stop)


@pytest.mark.parametrize("scale", [0, -1, float("inf"), float("nan")])
def test_a_scale_that_is_no_speed_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        ScaledClock(scale)
