"""A program with everything that it starts, as the gateway sees it: started, told to stop, killed, waited for."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

INIT = Path(__file__).with_name("init.py")
KILL_SECONDS = 10.0


class ContainerProcess:
    """A program below an init process of its own, in a session of its own.

    Parameters
    ----------
    command, environment, directory
        What to start, with nothing but this environment, and where.
    log
        File that takes what is printed.
    is_machine
        SIGTERM goes to all processes, as when a machine shuts down, not to the program alone.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        log: Path,
        *,
        is_machine: bool = False,
    ) -> None:
        with log.open("ab") as output:
            self._init = subprocess.Popen(  # noqa: S603 - what the user launches
                [sys.executable, str(INIT), "all" if is_machine else "program", *command],
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def status(self) -> int | None:
        """The program's exit status, None while it runs; 128 and a signal's number when a signal ended it."""
        return self._init.poll()

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._init.terminate()

    def kill(self) -> None:
        """Kill the program and everything that it started, and wait until they are gone."""
        if self._init.stdin is not None:
            with contextlib.suppress(OSError):
                self._init.stdin.close()
        self._init.wait(KILL_SECONDS)


def inherited_environment() -> dict[str, str]:
    """Return the little that a program takes over from the gateway's environment: where programs and packages are."""
    names = ("PATH", "LANG", "TZ", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy")
    return {name: os.environ[name] for name in names if name in os.environ}
