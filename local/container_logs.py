"""Ships what instances print to CloudWatch Logs, with the rights of their model's execution role."""

import contextlib
import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.account import Account
from local.errors import ServiceError
from local.instance import Instance

log = logging.getLogger(__name__)

SHIP_SECONDS = 1.0
BATCH_BYTES = 256 * 1024
"""What is read at once; with CloudWatch's 26 bytes for each event it stays below PutLogEvents' limit of 1 MB."""


@dataclass
class _Stream:
    """How far an instance's log has been shipped, and the client that ships it once there is something."""

    offset: int = 0
    client: Any = None


class ContainerLogs:
    """Follows the log files of instances until they stop.

    Group ``/aws/sagemaker/Endpoints/ENDPOINT``, stream ``VARIANT/INSTANCE`` (SageMaker guide, "Log groups and
    streams that Amazon SageMaker AI sends to CloudWatch Logs").
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._shipping = threading.Lock()
        self._streams: dict[Instance, _Stream] = {}

    def follow(self, instance: Instance) -> None:
        """Ship the lines of an instance from now on."""
        with self._shipping:
            self._streams[instance] = _Stream()

    def finish(self, instance: Instance) -> None:
        """Ship the last lines of an instance that has ended."""
        with self._shipping:
            self._ship(instance)
            self._streams.pop(instance, None)

    def ship_forever(self, stop: threading.Event) -> None:
        """Ship once a second until `stop` is set."""
        while not stop.wait(SHIP_SECONDS):
            for instance in list(self._streams):
                with self._shipping:
                    self._ship(instance)

    def _ship(self, instance: Instance) -> None:
        """Ship the whole lines that are new; give an instance up whose role may not write logs."""
        stream = self._streams.get(instance)
        if stream is None:
            return
        try:
            while lines := self._read(instance, stream):
                self._put(instance, stream, lines)
        except (ClientError, BotoCoreError, ServiceError, OSError) as error:
            log.warning("the log of %s stays in %s: %s", instance.id, instance.log, error)
            del self._streams[instance]

    def _read(self, instance: Instance, stream: _Stream) -> list[str]:
        with instance.log.open("rb") as file:
            file.seek(stream.offset)
            new = file.read(BATCH_BYTES)
        whole = new[: new.rfind(b"\n") + 1] if len(new) < BATCH_BYTES else new
        stream.offset += len(whole)
        return [line for line in whole.decode(errors="replace").splitlines() if line]

    def _put(self, instance: Instance, stream: _Stream, lines: list[str]) -> None:
        names = {
            "logGroupName": f"/aws/sagemaker/Endpoints/{instance.spec.endpoint}",
            "logStreamName": f"{instance.spec.variant}/{instance.id}",
        }
        if stream.client is None:
            stream.client = self._open(instance, names)
        now = int(time.time() * 1000)
        stream.client.put_log_events(**names, logEvents=[{"timestamp": now, "message": line} for line in lines])

    def _open(self, instance: Instance, names: dict[str, str]) -> Any:
        """Make the stream, and its group where there is none, as the instance's role."""
        role = self._account.assume(instance.spec.model["ExecutionRoleArn"], "sagemaker", "SageMaker")
        client = self._account.client("logs", role)
        with contextlib.suppress(client.exceptions.ResourceAlreadyExistsException):
            client.create_log_group(logGroupName=names["logGroupName"])
        client.create_log_stream(**names)
        return client
