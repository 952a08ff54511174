"""What stands for an EC2 instance: its user data as a process of this machine, until it shuts itself down."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from local.container.process import ContainerProcess, inherited_environment
from local.core.account import Account
from local.core.errors import ServiceError

SHUTDOWN_SECONDS = 90.0
"""Between SIGTERM and SIGKILL when an instance goes down (systemd-system.conf(5), DefaultTimeoutStopSec)."""

WATCH_SECONDS = 0.1
CONSOLE_BYTES = 64 * 1024
"""What GetConsoleOutput returns, the latest (API reference)."""

SHUTDOWN = """#!/bin/sh
# Stands for shutdown, poweroff and halt: marks this instance as ended.
: > "{marker}"
"""
METADATA = """#!/bin/sh
# Stands for Amazon Linux's ec2-metadata, as far as the instance's id.
echo "instance-id: {instance}"
"""

STATES = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}
"""Codes of the instance states (API reference, InstanceState)."""


class Machine:
    """An instance with a directory of its own.

    Parameters
    ----------
    instance
        Its id.
    user_data
        A script with an interpreter line; anything else is not run.
    role
        ARN of the role in its profile, None without one.
    when_shut_down
        ``terminate`` or ``stop``, InstanceInitiatedShutdownBehavior.
    directory
        For its files.
    account
        Its address, certificate authorities and roles.
    python
        What ``python3`` is in the instance: the training environment's, as the image activates one.
    enter
        Takes each state that the instance enters.

    Attributes
    ----------
    is_over
        Whether it has shut down.
    reason
        Why it shuts down, StateReason's code; None before.
    """

    def __init__(
        self,
        instance: str,
        user_data: bytes,
        role: str | None,
        when_shut_down: str,
        directory: Path,
        account: Account,
        python: Path,
        enter: Callable[[str], None],
    ) -> None:
        self.instance = instance
        self._user_data = user_data
        self._role = role
        self._end = {"terminate": "terminated", "stop": "stopped"}[when_shut_down]
        self._directory = directory
        self._log = directory / "console.log"
        self._marker = directory / "shutdown"
        self._account, self._python = account, python
        self._enter = enter
        self._ordered = threading.Event()
        self.is_over = False
        self.reason: str | None = None

    def begin(self) -> None:
        """Boot in the background."""
        threading.Thread(target=self._run, name=f"instance {self.instance}", daemon=True).start()

    def end(self, state: str) -> None:
        """Shut down in the background, to be ``terminated`` or ``stopped``."""
        self._end = state
        self._ordered.set()

    def console(self) -> bytes:
        """Return the latest of what it printed."""
        return self._log.read_bytes()[-CONSOLE_BYTES:] if self._log.exists() else b""

    def _run(self) -> None:
        self._directory.mkdir(parents=True)
        process = self._boot()
        self._enter("running")
        while not self._ordered.wait(WATCH_SECONDS) and not self._marker.exists():
            pass
        self.reason = f"Client.{'User' if self._ordered.is_set() else 'Instance'}InitiatedShutdown"
        self._enter("shutting-down" if self._end == "terminated" else "stopping")
        if process:
            self._shut_down(process)
        if self._end == "terminated":
            shutil.rmtree(self._home, ignore_errors=True)
        self.is_over = True
        self._enter(self._end)

    @property
    def is_terminated(self) -> bool:
        """Whether what it ends as is ``terminated``, and not ``stopped``."""
        return self._end == "terminated"

    @property
    def _home(self) -> Path:
        return self._directory / "home"

    def _boot(self) -> ContainerProcess | None:
        """Start the user data as cloud-init does, though not as root and not everywhere on this machine."""
        if not self._user_data.startswith(b"#!"):
            note = "The embedded AWS runs user data that begins with #! only." if self._user_data else "No user data."
            self._log.write_text(f"{note}\n")
            return None
        self._home.mkdir()
        script = self._directory / "user-data"
        script.write_bytes(self._user_data)
        script.chmod(0o700)
        try:
            environment = self._environment()
        except ServiceError as error:
            self._log.write_text(f"No credentials: {error}\n")
            return None
        return ContainerProcess([str(script)], environment, self._home, self._log, is_machine=True)

    def _environment(self) -> dict[str, str]:
        programs = self._directory / "bin"
        programs.mkdir()
        stand_ins = dict.fromkeys(("shutdown", "poweroff", "halt"), SHUTDOWN.format(marker=self._marker))
        for name, text in {**stand_ins, "ec2-metadata": METADATA.format(instance=self.instance)}.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        system = inherited_environment()
        environment = system | {
            "LANG": "C.UTF-8",
            "PATH": f"{programs}:{self._python.parent}:{system.get('PATH', os.defpath)}",
            "HOME": str(self._home),
            "TMPDIR": str(self._home),
            "AWS_EC2_METADATA_DISABLED": "true",  # there is none; credentials are in the environment
            "AWS_ENDPOINT_URL": self._account.url,
            "AWS_CA_BUNDLE": self._account.ca,
        }
        if self._role:
            environment |= self._account.assume(self._role, "ec2", self.instance).environment()
        return environment

    def _shut_down(self, process: ContainerProcess) -> None:
        process.terminate()
        waited = threading.Event()
        for _ in range(int(SHUTDOWN_SECONDS / WATCH_SECONDS)):
            if process.status is not None:
                break
            waited.wait(WATCH_SECONDS)
        process.kill()
