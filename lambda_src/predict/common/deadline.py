"""One deadline for many blocking steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

_Result = TypeVar("_Result")


class Deadline:
    """A point in time that every step of a piece of work shares.

    Parameters
    ----------
    seconds
        Time from now.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def within(self, seconds: float) -> Deadline:
        """Return the deadline of a part that may take ``seconds`` from now: no later than this one."""
        return Deadline(min(seconds, self._end - time.monotonic()))

    def allows(self, seconds: float) -> bool:
        """Tell whether work of ``seconds`` ends in time."""
        return self._end - time.monotonic() > seconds

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

    def run(self, work: Callable[[], _Result]) -> _Result:
        """Return the result of ``work``, which runs in a thread and has no timeout that covers all of it.

        Name look-ups have no timeout at all, and that of a socket starts afresh with each byte. At the deadline, the
        thread is left behind: it ends with its own timeouts, while the function answers.

        Raises
        ------
        TimeoutError
            When the deadline passes first.
        """
        outcome: Future[_Result] = Future()

        def run() -> None:
            try:
                outcome.set_result(work())
            except BaseException as error:
                outcome.set_exception(error)

        seconds = self.remaining()
        Thread(target=run, daemon=True).start()
        return outcome.result(timeout=seconds)
