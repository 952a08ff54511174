"""SIGTERM: at once where nothing is lost by it, and after a checkpoint while a model learns."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from training.errors import Stopped

MESSAGE = "stopped by SIGTERM; nothing was written"


class Stop:
    """Whether somebody asked for the end."""

    def __init__(self) -> None:
        self.requested = False
        self._waits = False

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within ``later``, raise ``Stopped`` all the same, also for a signal that came before."""
        waits, self._waits = self._waits, False
        try:
            if self.requested:
                raise Stopped(MESSAGE)
            yield
        finally:
            self._waits = waits

    @contextmanager
    def later(self) -> Iterator[None]:
        """Only take note of SIGTERM: a step of the optimizer is not to be cut in two."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False

    def now(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        self.requested = True
        if not self._waits:
            raise Stopped(MESSAGE)


@contextmanager
def stopping() -> Iterator[Stop]:
    """Turn SIGTERM into ``Stopped``, in whatever place it comes.

    Only the main thread may set a signal's handler: elsewhere (a trial of a search) SIGTERM stays what it was.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, stop.now)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
