"""One endpoint instance: a process of the serving code that the model artifact carries."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import urllib3

from local.core.account import Account
from local.core.errors import InstanceError, ServiceError
from local.core.names import REGION
from local.core.ports import free_port
from local.sagemaker.endpoint.artifact import install_artifact

SERVER = Path("code", "server.py")
"""What is started, inside the artifact, whatever container image the model names."""

DRAIN_SECONDS = 60.0
"""An instance that leaves may finish its requests; none may take longer than SageMaker's own limit."""

STOP_SECONDS = 5.0
PING_INTERVAL = 0.1
CRASH_SECONDS = 0.5


@dataclass(frozen=True)
class InstanceSpec:
    """What every instance of a production variant is started from.

    Parameters
    ----------
    model
        ``CreateModel``'s parameters.
    download_timeout, startup_timeout
        Seconds of real time: ``ModelDataDownloadTimeoutInSeconds``,
        ``ContainerStartupHealthCheckTimeoutInSeconds``.
    """

    endpoint: str
    variant: str
    model: Mapping[str, Any]
    download_timeout: float
    startup_timeout: float


class LogSink(Protocol):
    """Takes what instances print."""

    def follow(self, instance: "Instance") -> None:
        """Take the lines of an instance's log from now on."""

    def finish(self, instance: "Instance") -> None:
        """Take its last lines; the log is about to be removed."""


class ServerEndedError(Exception):
    """The model's server ended while it had the request."""


class InstanceGoneError(Exception):
    """The instance takes no requests: it is being stopped, or its process has ended. Another may be asked."""


class Instance:
    """A model server on a port of its own, with a copy of the artifact of its own.

    Parameters
    ----------
    spec
        What to start.
    account
        Gives S3 access under the model's execution role.
    root
        Directory for the instances' files.
    logs
        Takes what it prints.
    """

    def __init__(self, spec: InstanceSpec, account: Account, root: Path, logs: LogSink) -> None:
        self.spec = spec
        self.id = f"i-{uuid.uuid4().hex[:17]}"
        self.directory = root / self.id
        self.log = self.directory / "container.log"
        self.log_group = f"/aws/sagemaker/Endpoints/{spec.endpoint}"
        self.log_stream = f"{spec.variant}/{self.id}"
        self.log_role = str(spec.model.get("ExecutionRoleArn", ""))
        self.in_flight = 0
        self._account = account
        self._logs = logs
        self._closed = False
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._pool: urllib3.HTTPConnectionPool

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process's id, None before the start."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Download the artifact, start its server, and wait until it is healthy.

        Raises
        ------
        InstanceError
            Any of that failed; nothing is left behind.
        """
        try:
            self._launch()
            self._wait_until_healthy()
        except BaseException:
            self.stop(drain=0)
            raise

    def _launch(self) -> None:
        try:
            credentials = self._account.assume(self.spec.model["ExecutionRoleArn"], "sagemaker", "SageMaker")
        except ServiceError as error:
            raise InstanceError(str(error)) from error
        container = self.spec.model["PrimaryContainer"]
        model_directory = self.directory / "model"
        model_directory.mkdir(parents=True)
        if url := container.get("ModelDataUrl"):
            s3 = self._account.client("s3", credentials)
            install_artifact(s3, url, model_directory, self.spec.download_timeout)
        if not (model_directory / SERVER).is_file():
            raise InstanceError(
                f"The primary container for production variant {self.spec.variant} cannot be started: the model "
                f"artifact does not contain {SERVER.as_posix()}, which the embedded AWS runs."
            )
        port = free_port()
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(self.directory),
            "AWS_REGION": REGION,
            "PYTHONUNBUFFERED": "1",
            **container.get("Environment", {}),
            "SAGEMAKER_BIND_TO_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "SM_MODEL_DIR": str(model_directory),
        }
        if not self.spec.model.get("EnableNetworkIsolation"):
            environment |= credentials.environment()
            environment |= {"AWS_ENDPOINT_URL": self._account.url, "AWS_CA_BUNDLE": self._account.ca}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the artifact's code is what the user deploys
                [sys.executable, str(SERVER)],
                cwd=model_directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._logs.follow(self)
        self._pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=64, retries=False)

    def _wait_until_healthy(self) -> None:
        """Ping until the server answers 200; a process that has ended is not waited for."""
        deadline = time.monotonic() + self.spec.startup_timeout
        while not self._healthy():
            if not self.alive or time.monotonic() > deadline:
                raise InstanceError(
                    f"The primary container for production variant {self.spec.variant} did not pass the ping health "
                    f"check. Please check CloudWatch logs for this endpoint. {self._last_words()}"
                )
            time.sleep(PING_INTERVAL)

    def _healthy(self) -> bool:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            return self._pool.request("GET", "/ping", timeout=2.0).status == 200 and self.alive
        return False

    def _last_words(self) -> str:
        status = None if self._process is None else self._process.poll()
        ended = "The server is still starting." if status is None else f"The server ended with exit status {status}."
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), None)
        return f"{ended} Its last line: {last}" if last else ended

    def invoke(self, body: bytes, headers: Mapping[str, str], timeout: float) -> urllib3.BaseHTTPResponse:
        """Send a request to the server over a kept connection.

        Raises
        ------
        InstanceGoneError
            The request has not reached the server.
        ServerEndedError
            The server ended while it had the request.
        urllib3.exceptions.TimeoutError
            No answer within `timeout` seconds.
        """
        with self._lease():
            try:
                return self._post(body, headers, timeout)
            except urllib3.exceptions.NewConnectionError as error:
                raise InstanceGoneError(self.id) from error
            except urllib3.exceptions.ProtocolError as error:
                if self._ends_within(CRASH_SECONDS):
                    raise ServerEndedError(self.id) from error
            # The server lives: it closed a kept connection, as servers do, just when the request was sent on it.
            return self._post(body, headers, timeout)

    def _post(self, body: bytes, headers: Mapping[str, str], timeout: float) -> urllib3.BaseHTTPResponse:
        limits = urllib3.Timeout(connect=5.0, read=timeout)
        return self._pool.request("POST", "/invocations", body=body, headers=headers, timeout=limits)

    def _ends_within(self, seconds: float) -> bool:
        """Return whether the process has ended or does so presently: a crash closes its connections first."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._process is not None:
                self._process.wait(seconds)
        return not self.alive

    @contextlib.contextmanager
    def _lease(self) -> Iterator[None]:
        with self._changed:
            if self._closed or not self.alive:
                raise InstanceGoneError(self.id)
            self.in_flight += 1
        try:
            yield
        finally:
            with self._changed:
                self.in_flight -= 1
                self._changed.notify_all()

    def stop(self, drain: float = DRAIN_SECONDS) -> None:
        """Take no more requests, let those in flight finish for `drain` seconds, end the process, remove its files."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: self.in_flight == 0 or not self.alive, timeout=drain)
        if self._process is not None and self.alive:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._logs.finish(self)
        shutil.rmtree(self.directory, ignore_errors=True)
