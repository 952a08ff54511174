"""An embedded AWS as the tests drive it: its command line, clients of it, and steady traffic."""

import itertools
import json
import os
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

ROOT = Path(__file__).resolve().parents[1]
KENNEL = ROOT / "kennel"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_local(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line of the embedded AWS as a user does."""
    command = [str(KENNEL), "local", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def environment_of(state: Path) -> dict[str, str]:
    """Return the variables that ``env`` exports, read the way a shell does."""
    lines = run_local("env", "--state", state).stdout.splitlines()
    words = [shlex.split(line) for line in lines]
    return dict(word[1].split("=", 1) for word in words if word[0] == "export")


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

    def delete_default_vpc(self) -> None:
        """Take the default VPC away, as many organisations do; ``create_default_vpc`` brings one back."""
        ec2 = self.ec2
        (vpc,) = [each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"] if each["IsDefault"]]
        for subnet in ec2.describe_subnets()["Subnets"]:
            if subnet["VpcId"] == vpc:
                ec2.delete_subnet(SubnetId=subnet["SubnetId"])
        for gateway in ec2.describe_internet_gateways()["InternetGateways"]:
            if vpc in [each["VpcId"] for each in gateway["Attachments"]]:
                ec2.detach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=vpc)
                ec2.delete_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"])
        ec2.delete_vpc(VpcId=vpc)

    def ask_url(
        self,
        function_url: str,
        body: bytes,
        content_type: str,
        *,
        signed: bool = True,
        caller: tuple[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """POST to a function URL, which the embedded AWS answers at an address of its own; return status and body.

        `caller` is an access key and its secret; without it the root user signs.
        """
        identifier = function_url.removeprefix("https://").split(".")[0]
        url = f"{self.environment['AWS_ENDPOINT_URL']}/_aws/lambda-url/{identifier}/"
        request = AWSRequest("POST", url, data=body, headers={"Content-Type": content_type})
        if signed:
            root = self.environment["AWS_ACCESS_KEY_ID"], self.environment["AWS_SECRET_ACCESS_KEY"]
            keys = Credentials(*(caller or root))
            SigV4Auth(keys, "lambda", self.environment["AWS_REGION"]).add_auth(request)
        pool = urllib3.PoolManager(ca_certs=self.environment["AWS_CA_BUNDLE"])
        answer = pool.request("POST", url, body=body, headers=dict(request.headers), retries=False)
        return answer.status, answer.data

    def user(self, *statements: dict[str, Any]) -> tuple[str, str]:
        """Return the access key of a new user whose policy allows these statements, and its secret."""
        name = f"user-{os.urandom(4).hex()}"
        self.iam.create_user(UserName=name)
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **s} for s in statements]}
        self.iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(document))
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def reasons(self, stack: str) -> str:
        """Return why resources of a stack failed in its last creation or update."""
        events = self.cloudformation.describe_stack_events(StackName=stack)["StackEvents"]  # the newest first

        def begins(event: dict[str, Any]) -> bool:
            of_the_stack = event["ResourceType"] == "AWS::CloudFormation::Stack"
            return of_the_stack and event["ResourceStatus"] in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")

        last = itertools.takewhile(lambda event: not begins(event), events)
        return "\n".join(event.get("ResourceStatusReason", "") for event in last)


class Traffic:
    """Steady requests while something else happens; every answer and every failure is kept.

    Parameters
    ----------
    send
        Makes one request and returns its answer.
    pause
        Seconds between two requests of one client.
    clients
        How many ask at the same time.
    """

    def __init__(self, send: Callable[[], Any], pause: float = 0.02, clients: int = 2) -> None:
        self.answers: list[Any] = []
        self.failures: list[str] = []
        self._send, self._pause = send, pause
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> "Traffic":
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
                self.answers.append(self._send())
            except Exception as error:
                self.failures.append(repr(error))
