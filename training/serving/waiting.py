"""Photos that wait for a worker: a bounded number of them, within a bounded memory, first come, first served."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from .photo_file import MAX_MEMORY
from .serving_errors import RequestError

WAITING_BYTES = 128 * 1024 * 1024
"""Of bodies that arrive, wait or are worked on: five of the largest, and thirty of a phone's photos."""

DECODING_BYTES = 5 * MAX_MEMORY // 2
"""Of photos that are worked on, as estimated. With the bodies, the allocator's slack and the server itself, that is
below 1 GB, however many workers there are: three of the largest photos at once, in four workers, took 1.06 GB."""

REQUEST_SECONDS = 60
"""InvokeEndpoint's limit for an answer:
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html."""


def overloaded(reason: str) -> RequestError:
    """Return the error for a photo that other photos leave no room or no time for."""
    return RequestError(503, "Overloaded", f"{reason}; send it again later.")


class Turn:
    """One photo's place in the line.

    Parameters
    ----------
    memory
        Estimate of the bytes that the photo takes while it is worked on.
    """

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.comes = asyncio.Event()
        self.started = 0.0


class Held:
    """The bytes of one request's body that the server holds."""

    def __init__(self, line: "Line") -> None:
        self._line = line
        self._bytes = 0

    def set(self, size: int) -> None:
        """Say how many bytes are held now.

        Raises
        ------
        RequestError
            503 if there is no room for more.
        """
        total = self._line.bytes + size - self._bytes
        if size > self._bytes and total > WAITING_BYTES:
            raise overloaded(f"The photo has no room: bodies of other requests fill {WAITING_BYTES / 2**20:.0f} MiB")
        self._line.bytes, self._bytes = total, size


class Line:
    """The line in front of the workers; all of it belongs to one event loop.

    Parameters
    ----------
    workers
        Photos that are worked on at once.
    most
        Photos that may wait.
    """

    def __init__(self, workers: int, most: int) -> None:
        self.bytes = 0
        self._workers, self._most = workers, most
        self._waiting: deque[Turn] = deque()
        self._working: set[Turn] = set()

    @contextmanager
    def hold(self) -> Iterator[Held]:
        """Count the bytes of a request's body until the request is answered."""
        held = Held(self)
        try:
            yield held
        finally:
            held.set(0)

    def check(self) -> None:
        """Raise 503, a RequestError, if no more photos may wait."""
        if len(self._waiting) >= self._most:
            raise overloaded(f"The photo has no room: {self._most} photos are waiting, the most that may")

    def join(self, memory: int) -> Turn:
        """Stand at the end of the line; the turn comes when a worker and ``memory`` bytes are free.

        Raises
        ------
        RequestError
            503 if the line is full.
        """
        self.check()
        turn = Turn(memory)
        self._waiting.append(turn)
        self._advance()
        return turn

    def leave(self, turn: Turn) -> None:
        """Give up a place in the line, or the worker."""
        if turn in self._working:
            self._working.remove(turn)
        elif turn in self._waiting:
            self._waiting.remove(turn)
        self._advance()

    def is_stuck(self) -> bool:
        """Return whether every worker has been with its photo for longer than a request may take."""
        late = time.monotonic() - REQUEST_SECONDS
        return len(self._working) >= self._workers and all(turn.started < late for turn in self._working)

    def _advance(self) -> None:
        while self._waiting and len(self._working) < self._workers:
            turn = self._waiting[0]
            if turn.memory + sum(each.memory for each in self._working) > DECODING_BYTES:
                return
            self._waiting.popleft()
            self._working.add(turn)
            turn.started = time.monotonic()
            turn.comes.set()
