"""The start path of AWS's Ray Serve container, followed by the first process of namespaces of its own.

    unshare --net --pid --fork --kill-child --mount-proc PYTHON ray_container.py FOLDER

Does what ``scripts/docker/ray/sagemaker_entrypoint.sh`` and ``sagemaker_serve.py`` do in
https://github.com/aws/deep-learning-containers, but for their fixed sleeps: installs ``code/requirements.txt``, starts
Ray and Serve, runs ``config.yaml``, and passes requests on as the adapter on port 8080 does. FOLDER holds the unpacked
artifact in ``model``, which appears as /opt/ml/model, and ``requests.json``: a list of [path of a body, headers].
Prints what it saw as one JSON object. Whatever it started ends with it, because it is the first process.
"""

import base64
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

SERVE = "http://127.0.0.1:8000"
MODEL = Path("/opt/ml/model")
PATIENCE = 150
FAILURE = "Exception importing application 'classifier'"


def raise_loopback() -> None:
    """Do what ``ip link set lo up`` does, where there is no iproute2: netdevice(7)."""
    set_flags, up = 0x8914, 0x1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh14x", b"lo", up))


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def mount_model(model: Path, scratch: Path) -> None:
    """Let ``model`` appear as /opt/ml/model, in this namespace alone, beside what /opt has."""
    scratch.mkdir()
    mount("-t", "tmpfs", "tmpfs", str(scratch))
    for entry in Path("/opt").iterdir():
        if entry.is_dir() and entry.name != "ml":
            (scratch / entry.name).mkdir()
            mount("--rbind", str(entry), str(scratch / entry.name))
    (scratch / "ml/model").mkdir(parents=True)
    mount("--rbind", str(scratch), "/opt")
    mount("--bind", str(model), str(MODEL))


def network() -> str:
    """Return what happens to a packet that wants to leave."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError as error:
            return os.strerror(error.errno or 0)
    return "reachable"


def exchange(path: str, body: bytes | None, headers: dict[str, str], timeout: float) -> tuple[int, str, bytes]:
    """Return status, content type and body of one request to Serve; status 0 if it is not there."""
    request = urllib.request.Request(f"{SERVE}{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers["Content-Type"], answer.read()
    except OSError as error:
        return 0, "", str(error).encode()


def ping() -> int:
    """Answer /ping as the adapter does: from Serve's health check."""
    return 200 if exchange("/-/healthz", None, {}, 5)[0] == 200 else 503


def invocations(body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """Answer /invocations as the adapter does: only these headers go on, and only these things come back."""
    passed = {name: value for name, value in headers.items() if name.lower().startswith("x-amzn-sagemaker-")}
    passed["Content-Type"] = headers.get("Content-Type", "application/json")
    passed["Accept"] = headers.get("Accept", "application/json")
    status, kind, answer = exchange("/", body, passed, 60)
    return {"status": status, "type": kind, "body": base64.b64encode(answer).decode()}


class Container:
    """The container's commands and their environment."""

    def __init__(self, folder: Path) -> None:
        packages = folder / "packages"  # the container's own site-packages, where the test must leave no trace
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.log = (folder / "log").open("w")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PIP_")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PIP_PREFIX": str(packages),
            "PYTHONPATH": f"{MODEL}:{MODEL}/code:{packages}/lib/{version}/site-packages",
            "RAY_TMPDIR": str(folder),
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def run(self, *command: str) -> None:
        """Run a command to its end, which must be a good one."""
        done = subprocess.run(
            command, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.log.write(done.stdout)
        self.log.flush()
        if done.returncode:
            sys.exit(f"{' '.join(command)} exits with {done.returncode}:\n{done.stdout}")

    def start(self) -> None:
        """Bring the application as far as ``serve run``, which stays."""
        self.run("pip", "install", "-r", f"{MODEL}/code/requirements.txt")
        self.run("ray", "start", "--head", "--port=6379", "--include-dashboard=False", "--num-gpus=0")
        self.run("serve", "start", "--http-host=0.0.0.0", "--http-port=8000")
        command = ["serve", "run", f"{MODEL}/config.yaml"]
        subprocess.Popen(command, env=self.environment, stdout=self.log, stderr=subprocess.STDOUT)


def main() -> None:
    """Start the container, wait until it is healthy or has failed, and send the requests."""
    folder = Path(sys.argv[1])
    os.chdir("/")  # Python looks in the current folder first, which must not be one with a deployment.py
    raise_loopback()
    mount_model(folder / "model", folder / "opt")
    began = time.monotonic()
    container = Container(folder)
    container.start()
    pings = [ping()]
    failed = False
    while 200 not in pings and not failed and time.monotonic() - began < PATIENCE:
        time.sleep(0.1)
        pings.append(ping())
        failed = FAILURE in (folder / "log").read_text()
    seconds = time.monotonic() - began
    requests = json.loads((folder / "requests.json").read_text()) if 200 in pings else []
    answers = [invocations(Path(body).read_bytes(), headers) for body, headers in requests]
    for _ in range(100):
        time.sleep(0.1)
        pings.append(ping())
    seen = {"network": network(), "pings": pings, "failed": failed, "seconds": seconds, "answers": answers}
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
