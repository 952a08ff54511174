"""What the tests of the embedded AWS share: its command line, clients of it, and a stand-in for the serving code."""

import io
import json
import shlex
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-local" / "bin" / "python"
MINUTE = 0.5
"""Real seconds of an autoscaling minute."""

SERVER = """
import http.server, json, os, sys, time

name = open("name").read()
if name == "broken":
    sys.exit("this model cannot be loaded")
if name == "silent":
    print("still thinking", flush=True)
    time.sleep(60)
print("serving", name, flush=True)

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, **headers):
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", "Content-Length": len(body), **headers}.items():
            self.send_header(key, str(value))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, b"")

    def do_POST(self):
        wish = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        time.sleep(wish.get("sleep", 0))
        if wish.get("exit"):
            os._exit(3)
        answer = {"model": name, "pid": os.getpid(), "headers": dict(self.headers), "environment": dict(os.environ)}
        attributes = {"X-Amzn-SageMaker-Custom-Attributes": "seen=1"}
        self.close_connection = wish.get("hang_up", False)
        self.answer(wish.get("status", 200), json.dumps(answer).encode(), **attributes)

address = os.environ["BIND_HOST"], int(os.environ["SAGEMAKER_BIND_TO_PORT"])
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""


def artifact(name: str) -> bytes:
    """Return a model.tar.gz whose server answers with its name; ``broken`` and ``silent`` never become healthy."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in {"name": name, "code/server.py": SERVER}.items():
            member = tarfile.TarInfo(path)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_local(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line of the embedded AWS as a user does."""
    command = [str(PYTHON), "-m", "local", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def eventually(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """Wait until a condition holds and return its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.1)
    return value


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@dataclass
class Aws:
    """An embedded AWS and clients of it."""

    environment: dict[str, str]
    clients: dict[str, Any] = field(default_factory=dict)

    def make(self, service: str, access_key: str = "", secret_key: str = "", token: str | None = None) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name=self.environment["AWS_REGION"],
            verify=self.environment["AWS_CA_BUNDLE"],
            aws_access_key_id=access_key or self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=secret_key or self.environment["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=token,
            config=Config(retries={"total_max_attempts": 1}),  # a retry would hide a failure
        )

    def __getattr__(self, service: str) -> Any:
        name = service.replace("_", "-")
        if name not in self.clients:
            self.clients[name] = self.make(name)
        return self.clients[name]

    def invoke(self, endpoint: str, **wish: Any) -> dict[str, Any]:
        """Ask a stand-in model; `wish` says how it is to behave."""
        answer = self.sagemaker_runtime.invoke_endpoint(EndpointName=endpoint, Body=json.dumps(wish))
        body: dict[str, Any] = json.load(answer["Body"])
        return body

    def deploy(self, stack: str, template: dict[str, Any]) -> str:
        """Create or update a stack and return the status it ends with."""
        known = [s["StackName"] for s in self.cloudformation.describe_stacks()["Stacks"]]
        change = self.cloudformation.update_stack if stack in known else self.cloudformation.create_stack
        change(StackName=stack, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])
        return self.settled(stack)

    def settled(self, stack: str) -> str:
        def status() -> str | None:
            stacks = self.cloudformation.describe_stacks(StackName=stack)["Stacks"]
            current = str(stacks[0]["StackStatus"])
            return None if current.endswith("IN_PROGRESS") else current

        return str(eventually(status, 60))

    def reasons(self, stack: str) -> str:
        """Return why resources of a stack failed."""
        events = self.cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
        return "\n".join(event.get("ResourceStatusReason", "") for event in events)


class Requests:
    """Steady requests to an endpoint, their answers and failures counted."""

    def __init__(self, aws: Aws, endpoint: str, pause: float = 0.02) -> None:
        self.models: list[str] = []
        self.pids: list[int] = []
        self.failures: list[str] = []
        self._aws, self._endpoint, self._pause = aws, endpoint, pause
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(2)]

    def __enter__(self) -> "Requests":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            try:
                answer = self._aws.invoke(self._endpoint)
                self.models.append(answer["model"])
                self.pids.append(answer["pid"])
            except Exception as error:
                self.failures.append(repr(error))


def environment_of(state: Path) -> dict[str, str]:
    """Return the variables that ``env`` exports, read the way a shell does."""
    lines = run_local("env", "--state", state).stdout.splitlines()
    words = [shlex.split(line) for line in lines]
    return dict(word[1].split("=", 1) for word in words if word[0] == "export")
