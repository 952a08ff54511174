"""One deadline for many blocking steps."""

from __future__ import annotations

import time


class Deadline:
    """A point in time that every step of a piece of work shares.

    Parameters
    ----------
    seconds
        Time from now.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds left, more than zero.

        Raises
        ------
        TimeoutError
            When none are left.
        """
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the deadline has passed")
        return seconds
