"""The command line: up, down, env, status; what is left when things end badly."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.host.daemon import group_alive
from local.host.state import State
from tests.embedded import Aws, alive, environment_of, eventually, free_port, run_local
from tests.local.harness import artifact, ask
from tests.local.templates import endpoint_resources


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "state"
    yield directory
    run_local("down", "--state", directory)


def serve_something(aws: Aws) -> int:
    """Deploy an endpoint and return its instance's process id."""
    aws.s3.create_bucket(Bucket="artifacts")
    aws.s3.put_object(Bucket="artifacts", Key="one.tar.gz", Body=artifact("one"))
    assert aws.deploy("one", {"Resources": endpoint_resources("one", "one")}) == "CREATE_COMPLETE"
    return int(ask(aws, "one")["pid"])


@pytest.mark.parametrize("error", [ProcessLookupError, PermissionError])
def test_without_proc_a_group_that_takes_no_signal_has_ended(
    monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    def killpg(*_: int) -> None:
        raise error

    monkeypatch.setattr(Path, "exists", lambda _: False)  # macOS has no /proc
    assert group_alive(os.getpgrp())
    monkeypatch.setattr(os, "killpg", killpg)
    assert not group_alive(os.getpgrp())


def test_up_is_idempotent_and_down_leaves_nothing(state: Path) -> None:
    port = free_port()
    assert run_local("up", "--state", state, "--port", str(port)).returncode == 0
    gateway = State(state).holder()
    assert gateway is not None
    again = run_local("up", "--state", state)
    assert "already up at https://127.0.0.1:" in again.stdout
    assert State(state).holder() == gateway
    aws = Aws(environment_of(state))
    pid = serve_something(aws)
    status = run_local("status", "--state", state).stdout
    assert "endpoint    one   InService" in status
    assert "s3://artifacts/one.tar.gz" in status
    assert "1 of 1 wanted" in status
    assert alive(pid)
    assert run_local("down", "--state", state).returncode == 0
    assert not group_alive(gateway)
    assert not alive(pid)
    assert not state.exists()
    assert "was not up" in run_local("down", "--state", state).stdout


def test_nothing_outlives_a_gateway_that_is_killed(state: Path) -> None:
    assert run_local("up", "--state", state, "--port", str(free_port())).returncode == 0
    gateway = State(state).holder()
    assert gateway is not None
    pid = serve_something(Aws(environment_of(state)))
    os.kill(gateway, signal.SIGKILL)
    eventually(lambda: not alive(pid))
    eventually(lambda: not group_alive(gateway))
    assert run_local("env", "--state", state).returncode == 1
    assert run_local("up", "--state", state, "--port", str(free_port())).returncode == 0
    assert State(state).holder() not in (None, gateway)


def test_env_prints_an_error_and_no_variables_when_nothing_is_up(state: Path) -> None:
    for command in ("env", "status"):
        done = run_local(command, "--state", state)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "kennel: the embedded AWS is not up; start it with `./kennel local up`\n"


def test_env_can_be_evaluated_by_a_shell(state: Path) -> None:
    assert run_local("up", "--state", state, "--port", str(free_port())).returncode == 0
    script = 'eval "$(cat)"; echo "$AWS_ENDPOINT_URL $NO_PROXY ${AWS_PROFILE-none}"; test -r "$AWS_CA_BUNDLE"'
    lines = run_local("env", "--state", state).stdout
    user = {**os.environ, "AWS_PROFILE": "production", "NO_PROXY": "internal.example"}
    shell = subprocess.run(
        ["/bin/sh", "-ec", script], input=lines, env=user, capture_output=True, text=True, check=True
    )
    assert shell.stdout.startswith("https://127.0.0.1:")
    assert shell.stdout.endswith(" none\n")
    assert "127.0.0.1" in shell.stdout.split()[1]


def test_a_port_that_is_taken_is_refused_when_it_was_asked_for(state: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = run_local("up", "--state", state, "--port", str(port))
    assert done.returncode == 1
    assert f"port {port} is taken by another program" in done.stderr


def test_stale_state_of_a_crashed_gateway_is_not_taken_for_a_running_one(state: Path) -> None:
    state.mkdir()
    (state / "lock").write_text(str(os.getpid()))
    (state / "running.json").write_text("{}")
    assert State(state).holder() is None
    assert State(state).running() is None
    assert run_local("down", "--state", state).returncode == 0
    assert not state.exists()


def test_down_removes_only_what_the_gateway_wrote(state: Path) -> None:
    state.mkdir()
    (state / "notes.txt").write_text("mine")
    assert run_local("down", "--state", state).returncode == 0
    assert [path.name for path in state.iterdir()] == ["notes.txt"]


def test_the_command_line_names_its_commands() -> None:
    text = run_local("--help").stdout
    assert all(command in text for command in ("up", "down", "env", "status"))
