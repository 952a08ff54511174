"""SIGTERM and Ctrl-C: at once where nothing is lost by it, and after a checkpoint while a model learns."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from training.common.errors import Stopped

NAMES = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}


class Stop:
    """Whether somebody asked for the end.

    Parameters
    ----------
    kept
        What is left of the work if it ends now; in words for the user.
    """

    def __init__(self) -> None:
        self.requested = False
        self.kept = "nothing was written"
        self._by, self._waits = signal.SIGTERM, False

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within ``later``, raise ``Stopped`` all the same, also for a signal that came before."""
        waits, self._waits = self._waits, False
        try:
            if self.requested:
                raise self.end()
            yield
        finally:
            self._waits = waits

    @contextmanager
    def later(self) -> Iterator[None]:
        """Only take note of a signal: a step of the optimizer is not to be cut in two. It counts at the end of this."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False
        if self.requested:
            raise self.end()

    def end(self, place: str = "") -> Stopped:
        """Return what says that this is the end, and what is kept."""
        return Stopped(f"stopped by {NAMES[self._by]}{place}; {self.kept}", 128 + self._by)

    def now(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        again, self.requested, self._by = self.requested, True, signal.Signals(number)
        if not self._waits or (again and number == signal.SIGINT):  # somebody at the keyboard who will not wait
            raise self.end()


@contextmanager
def stopping() -> Iterator[Stop]:
    """Turn SIGTERM and Ctrl-C into ``Stopped``, in whatever place they come.

    Only the main thread may set a signal's handler: elsewhere (a trial of a search) they stay what they were. An
    ignored signal stays ignored: a shell starts background commands with SIGINT ignored, so that Ctrl-C ends only what
    is in the foreground. SIGTERM ends the others.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in NAMES}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop.now)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
