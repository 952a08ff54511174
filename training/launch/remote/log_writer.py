"""What an instance prints, to CloudWatch's logs as it comes."""

import contextlib
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_logs.type_defs import InputLogEventTypeDef

SECONDS = 2.0
MAX_EVENTS, MAX_CHARACTERS = 1000, 8000
"""Of one PutLogEvents, whose batch may have 1 MB (API reference)."""


class LogWriter:
    """A stream of a log group; used as a context, which sends the last lines when it is left.

    A log that cannot be written does not end the training: the lines are printed too, for the console's output.
    """

    def __init__(self, logs: "CloudWatchLogsClient", group: str, stream: str) -> None:
        self._logs, self._group, self._stream = logs, group, stream
        self._lines: list[InputLogEventTypeDef] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "LogWriter":
        with contextlib.suppress(ClientError, BotoCoreError):
            self._logs.create_log_stream(logGroupName=self._group, logStreamName=self._stream)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        self._send()

    def write(self, line: str) -> None:
        """Take one line."""
        print(line, flush=True)  # noqa: T201
        if line.strip():  # CloudWatch takes no empty message
            with self._lock:
                self._lines.append({"timestamp": int(time.time() * 1000), "message": line[:MAX_CHARACTERS]})

    def _run(self) -> None:
        while not self._ended.wait(SECONDS):
            self._send()

    def _send(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
        for start in range(0, len(lines), MAX_EVENTS):
            with contextlib.suppress(ClientError, BotoCoreError):
                self._logs.put_log_events(
                    logGroupName=self._group,
                    logStreamName=self._stream,
                    logEvents=lines[start : start + MAX_EVENTS],
                )
