"""Starting and stopping the gateway as a background process with everything that it starts."""

import contextlib
import http.client
import importlib.util
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from local.core.errors import LocalError
from local.core.names import ACCOUNT, REGION
from local.core.ports import free_port
from local.host.state import Running, State

DEFAULT_PORT = 4566
START_SECONDS = 60.0
STOP_SECONDS = 5.0
PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
"""What the gateway, and the Lambdas that it starts, inherit from the user's environment."""


def start(
    state: State, *, port: int | None, time_scale: float, training_python: Path, say: Callable[[str], None]
) -> Running:
    """Start the gateway unless it is up, and wait until it answers.

    Parameters
    ----------
    port
        None for the default, or any free one when that is taken.
    training_python
        Interpreter that training jobs run under, with AWS's training toolkit; it need not exist until there is one.
    say
        Takes lines for the user.

    Raises
    ------
    LocalError
        The port is taken, or the gateway did not start.
    """
    if state.holder() is not None:
        running = _wait_until_ready(state, lambda: state.holder() is None)
        say(f"the embedded AWS is already up at {running.url} (time scale {running.time_scale:g})")
        return running
    state.directory.mkdir(parents=True, exist_ok=True)
    state.clear(keep_log=True)
    state.temporary.mkdir()
    listening = _choose_port(port, say)
    command = [sys.executable, "-m", "local.host.gateway", "--state", str(state.directory)]
    command += ["--port", str(listening), "--time-scale", str(time_scale), "--roots", str(_roots())]
    command += ["--training-python", str(training_python.absolute())]
    say("starting the embedded AWS")
    with state.log.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            command,
            cwd=Path(__file__).resolve().parents[2],
            env=_environment(state, listening),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = _wait_until_ready(state, lambda: process.poll() is not None and state.holder() is None)
    say(f"the embedded AWS is up at {running.url}")
    return running


def stop(state: State) -> bool:
    """Stop the gateway with everything that it started, and remove its state; return whether it was up.

    Raises
    ------
    LocalError
        Something could not be stopped.
    """
    pid = state.holder()
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        if not _wait_for(lambda: not group_alive(pid), STOP_SECONDS):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            if not _wait_for(lambda: not group_alive(pid), STOP_SECONDS):
                raise LocalError(
                    f"the embedded AWS did not stop; end it with `kill -9 -- -{pid}` (its log is {state.log})"
                )
    state.clear()
    return pid is not None


def _environment(state: State, port: int) -> dict[str, str]:
    """Return the gateway's environment: nothing of the user's AWS settings, and ministack's own."""
    inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return inherited | {
        "AUTH": "true",
        "USE_SSL": "1",
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LAMBDA_WARM_TTL_SECONDS": "86400",  # environments of provisioned concurrency stay
        "NO_PROXY": no_proxy(),
        "no_proxy": no_proxy(),
        "TMPDIR": str(state.temporary),
        **{name: str(state.ca) for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")},
        "NODE_EXTRA_CA_CERTS": str(state.ca),
        "PYTHONUNBUFFERED": "1",
    }


def no_proxy() -> str:
    """Return the hosts that are reached without a proxy: the user's, and this machine."""
    hosts = (os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or "").split(",")
    return ",".join(dict.fromkeys([*filter(None, hosts), "127.0.0.1", "localhost"]))


def _roots() -> Path:
    """Return the certificate authorities that this machine trusts, else those that come with botocore."""
    botocore = importlib.util.find_spec("botocore")
    system = ssl.get_default_verify_paths().cafile
    bundled = Path(botocore.origin).with_name("cacert.pem") if botocore and botocore.origin else None
    candidates = [Path(system) if system else None, bundled]
    return next(path for path in candidates if path is not None and path.exists())


def _choose_port(port: int | None, say: Callable[[str], None]) -> int:
    if _is_free(port or DEFAULT_PORT):
        return port or DEFAULT_PORT
    if port is not None:
        raise LocalError(f"port {port} is taken by another program; choose another with --port")
    free = free_port()
    say(f"port {DEFAULT_PORT} is taken by another program; using {free}")
    return free


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _wait_until_ready(state: State, ended: Callable[[], bool]) -> Running:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and not ended():
        running = state.running()
        if running is not None and _answers(running):
            return running
        time.sleep(0.1)
    lines = state.log.read_text(errors="replace").strip().splitlines() if state.log.exists() else []
    raise LocalError(f"the embedded AWS did not start: {lines[-1] if lines else 'no output'} (log: {state.log})")


def _answers(running: Running) -> bool:
    """Return whether the gateway, known by its own certificate, answers at its address."""
    try:
        trusted = ssl.create_default_context(cafile=running.ca)
        client = http.client.HTTPSConnection(urlsplit(running.url).netloc, timeout=5, context=trusted)
        with contextlib.closing(client):
            client.request("GET", "/_ministack/health")
            return client.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False


def group_alive(group: int) -> bool:
    """Return whether a process of the group runs; one that has ended and waits to be reaped does not count."""
    if not Path("/proc/self/stat").exists():
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):  # the latter is macOS's word for zombies alone
            return False
        return True
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            status, _, member_of = stat.read_text().rpartition(")")[2].split()[:3]
            if int(member_of) == group and status not in "ZX":
                return True
    return False


def _wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
