"""What runs below an init process ends with it, whatever it started."""

import subprocess
import sys
from pathlib import Path

import pytest

from local.container.process import ContainerProcess, inherited_environment
from tests.embedded import alive, eventually

SESSION = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"], start_new_session=True)
print(child.pid, flush=True)
{then}
"""
"""A program that starts another in a session of its own, as torchrun does with its workers."""


def start(directory: Path, program: str) -> ContainerProcess:
    return ContainerProcess([sys.executable, "-c", program], inherited_environment(), directory, directory / "log")


def printed(directory: Path) -> str:
    return str(eventually(lambda: (directory / "log").read_text()))


def test_a_program_s_status_is_its_own(tmp_path: Path) -> None:
    container = start(tmp_path, "raise SystemExit(7)")
    assert eventually(lambda: container.status) == 7


@pytest.mark.parametrize("then", ["", "time.sleep(100)"])
def test_nothing_outlives_a_program_that_ends_or_is_killed(tmp_path: Path, then: str) -> None:
    container = start(tmp_path, SESSION.format(then=then))
    child = int(printed(tmp_path))
    if then:
        assert alive(child)
        container.kill()
    eventually(lambda: container.status is not None)
    assert not alive(child)


def test_nothing_outlives_the_process_that_holds_the_pipe(tmp_path: Path) -> None:
    gateway = (
        "import os, sys, pathlib\n"
        "from local.container.process import ContainerProcess, inherited_environment\n"
        f"directory = pathlib.Path({str(tmp_path)!r})\n"
        f"program = {SESSION.format(then='time.sleep(100)')!r}\n"
        "environment, log = inherited_environment(), directory / 'log'\n"
        "held = ContainerProcess([sys.executable, '-c', program], environment, directory, log)\n"
        "while not (directory / 'log').read_text(): pass\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", gateway], check=False, cwd=Path(__file__).parents[3])
    child = int(printed(tmp_path))
    eventually(lambda: not alive(child))


def test_sigterm_reaches_the_program_and_not_what_it_started(tmp_path: Path) -> None:
    program = """
import os, signal, sys, time
if child := os.fork():
    print(child, flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0 if os.waitpid(child, os.WNOHANG) == (0, 0) else 1))
time.sleep(100)
"""
    container = start(tmp_path, program)
    printed(tmp_path)
    container.terminate()
    assert eventually(lambda: container.status is not None)
    assert container.status == 0
