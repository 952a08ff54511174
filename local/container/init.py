"""The first process of what stands for a container or a machine: its program ends with it, and nothing outlives it.

``python container_init.py program|all PROGRAM ARGUMENT...``, with the standard library alone. Standard input is a pipe
whose other end the gateway holds: when it closes, because the gateway kills the container or has itself ended,
everything inside is killed. SIGTERM goes on to the program alone, as ``docker stop`` sends it, or to all processes, as
a machine that shuts down does.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
"""Linux, prctl(2): orphans become children of this process, so that a process in a session of its own is found too."""

SIGNAL_STATUS = 128
"""What a shell adds to the number of the signal that ended a program."""


def main() -> None:
    """Run the program, then end whatever it left behind, and exit with its status."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    addressee, *command = sys.argv[1:]
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - the user's own program
    signal.signal(
        signal.SIGTERM,
        lambda *_: _signal_all(signal.SIGTERM) if addressee == "all" else program.send_signal(signal.SIGTERM),
    )
    threading.Thread(target=_end_with_the_pipe, daemon=True).start()
    status = program.wait()
    _kill_all()
    sys.exit(status if status >= 0 else SIGNAL_STATUS - status)


def _end_with_the_pipe() -> None:
    os.read(0, 1)
    _kill_all()
    os._exit(SIGNAL_STATUS + signal.SIGKILL)


def _kill_all() -> None:
    """Kill all descendants, again and again, until a look finds none: they may fork meanwhile."""
    while _signal_all(signal.SIGKILL):
        pass


def _signal_all(number: int) -> bool:
    """Send a signal to all descendants, and return whether there was one."""
    descendants = _descendants(os.getpid())
    for process in descendants:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
    return bool(descendants)


def _descendants(ancestor: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for process, parent in _processes():
        children.setdefault(parent, []).append(process)
    descendants: list[int] = []
    search = [ancestor]
    while search:
        search += (new := children.get(search.pop(), []))
        descendants += new
    return descendants


def _processes() -> list[tuple[int, int]]:
    """Return the running processes, each with its parent; zombies do not run."""
    if not Path("/proc/self/stat").exists():
        return _processes_by_ps()
    processes = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            status, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if status not in "ZX":
                processes.append((int(stat.parent.name), int(parent)))
    return processes


def _processes_by_ps() -> list[tuple[int, int]]:
    with subprocess.Popen(["ps", "-axo", "pid=,ppid=,stat="], stdout=subprocess.PIPE, text=True) as ps:  # noqa: S607
        listing = ps.communicate()[0]
    rows = [line.split() for line in listing.splitlines()]
    return [(int(pid), int(parent)) for pid, parent, status in rows if "Z" not in status and int(pid) != ps.pid]


if __name__ == "__main__":
    main()
