"""Ships what instances print to CloudWatch Logs, with the rights of their model's execution role."""

import contextlib
import logging
import threading
import time
from typing import Any

from botocore.exceptions import ClientError

from local.account import Account
from local.errors import ServiceError
from local.instance import Instance

log = logging.getLogger(__name__)

SHIP_SECONDS = 1.0
BATCH_BYTES = 256 * 1024
LINES_PER_CALL = 1000


class ContainerLogs:
    """Follows the log files of instances until they are removed.

    Group ``/aws/sagemaker/Endpoints/ENDPOINT``, stream ``VARIANT/INSTANCE`` (SageMaker guide, "Log groups and
    streams that Amazon SageMaker AI sends to CloudWatch Logs").
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._lock = threading.Lock()
        self._offsets: dict[Instance, int] = {}

    def follow(self, instance: Instance) -> None:
        """Ship the lines of an instance from now on."""
        with self._lock:
            self._offsets[instance] = 0

    def ship_forever(self, stop: threading.Event) -> None:
        """Ship until `stop` is set."""
        while not stop.wait(SHIP_SECONDS):
            for instance, offset in list(self._offsets.items()):
                try:
                    self._offsets[instance] = offset + self._ship(instance, offset)
                except (ClientError, ServiceError, OSError) as error:
                    if instance.directory.exists():
                        log.warning("logs of %s stay in %s: %s", instance.id, instance.log, error)
                    with self._lock:
                        del self._offsets[instance]

    def _ship(self, instance: Instance, offset: int) -> int:
        """Ship the whole lines after an offset and return their length in bytes."""
        if not instance.log.exists() and instance.pid is None:
            return 0
        with instance.log.open("rb") as file:
            file.seek(offset)
            new = file.read(BATCH_BYTES)
        whole = new[: new.rfind(b"\n") + 1]
        lines = [line for line in whole.decode(errors="replace").splitlines() if line]
        if lines:
            self._put(instance, lines)
        return len(whole)

    def _put(self, instance: Instance, lines: list[str]) -> None:
        role = instance.spec.model["ExecutionRoleArn"]
        logs: Any = self._account.client("logs", self._account.assume(role, "sagemaker", "SageMaker"))
        names = {"logGroupName": f"/aws/sagemaker/Endpoints/{instance.spec.endpoint}"}
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(**names)
        names["logStreamName"] = f"{instance.spec.variant}/{instance.id}"
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_stream(**names)
        now = int(time.time() * 1000)
        for start in range(0, len(lines), LINES_PER_CALL):
            part = lines[start : start + LINES_PER_CALL]
            logs.put_log_events(**names, logEvents=[{"timestamp": now, "message": line} for line in part])
