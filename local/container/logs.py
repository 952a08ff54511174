"""Ships what containers print to CloudWatch Logs, with the rights of their execution role."""

import contextlib
import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from local.core.account import Account
from local.core.aws_errors import CALL_FAILED_AS_ROLE

log = logging.getLogger(__name__)

SHIP_SECONDS = 1.0
BATCH_BYTES = 256 * 1024
"""What is read at once; with CloudWatch's 26 bytes for each event it stays below PutLogEvents' limit of 1 MB."""


class LogSource(Protocol):
    """Something that prints into a file."""

    @property
    def log(self) -> Path:
        """The file."""

    @property
    def log_group(self) -> str:
        """Where its lines go (SageMaker guide, "Log groups and streams that ... sends to CloudWatch Logs")."""

    @property
    def log_stream(self) -> str:
        """The stream in that group, of its own."""

    @property
    def log_role(self) -> str:
        """ARN of the role that writes there."""


class LogTail:
    """Reads a growing file by whole lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def read(self) -> list[str]:
        """Return the next lines that are there and not empty; none when there are no new ones."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._offset)
            new = file.read(BATCH_BYTES)
        whole = new[: new.rfind(b"\n") + 1] if len(new) < BATCH_BYTES else new
        self._offset += len(whole)
        return [line for line in whole.decode(errors="replace").splitlines() if line]


@dataclass
class _Stream:
    """How far a log has been shipped, and the client that ships it once there is something."""

    tail: LogTail
    client: Any = None


class ContainerLogs:
    """Follows the log files of containers until they stop."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._shipping = threading.Lock()
        self._streams: dict[LogSource, _Stream] = {}

    def follow(self, source: LogSource) -> None:
        """Ship the lines of a log from now on."""
        with self._shipping:
            self._streams[source] = _Stream(LogTail(source.log))

    def finish(self, source: LogSource) -> None:
        """Ship the last lines of a log whose container has ended."""
        with self._shipping:
            self._ship(source)
            self._streams.pop(source, None)

    def ship_forever(self, stop: threading.Event) -> None:
        """Ship once a second until `stop` is set."""
        while not stop.wait(SHIP_SECONDS):
            for source in list(self._streams):
                with self._shipping:
                    self._ship(source)

    def _ship(self, source: LogSource) -> None:
        """Ship the whole lines that are new; give a log up whose role may not write it."""
        stream = self._streams.get(source)
        if stream is None:
            return
        try:
            while lines := stream.tail.read():
                self._put(source, stream, lines)
        except (*CALL_FAILED_AS_ROLE, OSError) as error:
            log.warning("the log %s was not shipped and stays in %s: %s", source.log_stream, source.log, error)
            del self._streams[source]

    def _put(self, source: LogSource, stream: _Stream, lines: list[str]) -> None:
        names = {"logGroupName": source.log_group, "logStreamName": source.log_stream}
        if stream.client is None:
            stream.client = self._open(source, names)
        now = int(time.time() * 1000)
        stream.client.put_log_events(**names, logEvents=[{"timestamp": now, "message": line} for line in lines])

    def _open(self, source: LogSource, names: dict[str, str]) -> Any:
        """Make the stream, and its group where there is none, as the container's role."""
        role = self._account.assume(source.log_role, "sagemaker", "SageMaker")
        client = self._account.client("logs", role)
        with contextlib.suppress(client.exceptions.ResourceAlreadyExistsException):
            client.create_log_group(logGroupName=names["logGroupName"])
        client.create_log_stream(**names)
        return client
