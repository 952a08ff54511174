"""Time that can run faster than the wall clock."""

import threading
import time


class ScaledClock:
    """A clock on which `scale` seconds pass for each real one.

    Alarms and cooldowns are read on it, so that a scaling policy that needs an hour on AWS can be watched in a
    minute. Timeouts of processes and requests stay on the wall clock: those run no faster.

    Parameters
    ----------
    scale
        Seconds of this clock for each real second; 60 makes an AWS minute last a second.

    Raises
    ------
    ValueError
        The scale is not a positive number.
    """

    def __init__(self, scale: float = 1.0) -> None:
        if not 0 < scale < float("inf"):
            raise ValueError(f"a clock's scale must be a positive number, not {scale}")
        self.scale = scale
        self._start = time.monotonic()

    def now(self) -> float:
        """Return the seconds of this clock since it was made."""
        return (time.monotonic() - self._start) * self.scale

    def wait(self, until: float, stop: threading.Event) -> bool:
        """Sleep until this clock shows `until`; return False at once when `stop` is set.

        Parameters
        ----------
        until
            Seconds of this clock, as `now` returns them.
        stop
            Ends the sleep from another thread.
        """
        return not stop.wait(max(0.0, (until - self.now()) / self.scale))
