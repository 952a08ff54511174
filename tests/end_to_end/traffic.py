"""Steady requests from several threads while something else happens."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self


class Traffic:
    """Call ``send`` at ``rate`` a second until the block ends; keep every answer and every exception."""

    def __init__(self, send: Callable[[], Any], rate: float, workers: int = 4) -> None:
        self.send, self.pause = send, workers / rate
        self.answers: list[Any] = []
        self.failures: list[Exception] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(workers)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self.answers.append(self.send())
            except Exception as error:
                self.failures.append(error)
            self._stop.wait(max(0.0, self.pause - (time.monotonic() - began)))
