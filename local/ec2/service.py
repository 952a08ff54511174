"""EC2 instances: ministack's records of them, brought to life.

ministack records what RunInstances names itself. Here the launch template is read too, the caller must be allowed to
pass the profile's role, the user data runs, and the states follow it.
"""

import base64
import binascii
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

from ministack.services import ec2, iam

from local.core.account import Account
from local.core.json_service import Response
from local.core.names import ACCOUNT
from local.core.pass_role import may_not_pass
from local.ec2.machine import STATES, Machine

Handler = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[Response]]

KEPT_SECONDS = 3600.0
"""How long a terminated instance can be described (EC2 guide, "Terminate Amazon EC2 instances"); ministack's is 60."""

MINISTACK_SECONDS = 60.0
STATE = re.compile(r"(<(?:currentState|instanceState)>\s*)<code>\d+</code>\s*<name>[a-z-]+</name>")
INSTANCE = re.compile(r"<instanceId>(i-[0-9a-f]+)</instanceId>.*?</instanceState>", re.DOTALL)
REASONS = {
    "Client.UserInitiatedShutdown": "Client.UserInitiatedShutdown: User initiated shutdown",
    "Client.InstanceInitiatedShutdown": "Client.InstanceInitiatedShutdown: Instance initiated shutdown",
}
"""Why an instance ended (API reference, StateReason)."""

ORDERS = {"TerminateInstances": ("shutting-down", "terminated"), "StopInstances": ("stopping", "stopped")}
"""What an order makes of an instance: its state at once, and in the end."""

MEMBERS = ("ImageId", "InstanceType", "KeyName", "UserData", "InstanceInitiatedShutdownBehavior")
"""Members of a launch template that a request overrides one by one, those that matter here."""


class Ec2Instances:
    """ministack's EC2, with instances that run.

    Parameters
    ----------
    account
        Where their roles are assumed.
    directory
        For their files.
    python
        What ``python3`` is in an instance.
    handle
        ministack's handler of EC2.
    """

    def __init__(self, account: Account, directory: Path, python: Path, handle: Handler) -> None:
        self._account = account
        self._directory = directory
        self._python = python
        self._handle = handle
        self._machines: dict[str, Machine] = {}
        self._answers: dict[str, Response] = {}

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        """Answer a request of the EC2 query protocol (ministack's handler signature)."""
        p = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        action = p.get("Action", "")
        if action == "GetConsoleOutput" and p.get("InstanceId") in self._machines:
            return self._console(p["InstanceId"])
        if action == "RunInstances":
            if known := self._answers.get(p.get("ClientToken", "")):
                return known
            template, _, error = ec2._resolve_launch_template_data(_structure(p, "LaunchTemplate"))
            if error:
                return error  # type: ignore[no-any-return]
            p = with_template(p, template)
            if denied := _may_not_pass(p, headers, query):
                return denied
            body = urlencode(p).encode()
        status, answer_headers, answer = await self._handle(method, path, headers, body, query)
        if status != 200:
            return status, answer_headers, answer
        if action == "RunInstances":
            for instance in re.findall(r"<instanceId>(i-[0-9a-f]+)</instanceId>", answer.decode()):
                self._boot(instance, p)
            answer = _with_state(answer, "pending")
            if token := p.get("ClientToken"):
                self._answers[token] = status, answer_headers, answer
        if action == "DescribeInstances":
            answer = INSTANCE.sub(self._with_reason, answer.decode()).encode()
        if action in ORDERS and (machines := self._machines_of(p)):
            now, at_last = ORDERS[action]
            for machine in machines:
                self._enter(machine.instance, now)
                machine.end(at_last)
            answer = _with_state(answer, now)
        return status, answer_headers, answer

    def _boot(self, instance: str, p: dict[str, str]) -> None:
        record = ec2._instances[instance]
        profile = (record.get("IamInstanceProfile") or {}).get("Arn")
        machine = Machine(
            instance,
            _decoded(p.get("UserData", "")),
            _role_of(profile) if profile else None,
            p.get("InstanceInitiatedShutdownBehavior", "stop"),
            self._directory / instance,
            self._account,
            self._python,
            lambda state: _set_state(record, state),
        )
        self._machines[instance] = machine
        _set_state(record, "pending")
        machine.begin()

    def _machines_of(self, p: dict[str, str]) -> list[Machine]:
        named = [value for name, value in p.items() if re.fullmatch(r"InstanceId\.\d+", name)]
        known = [self._machines[instance] for instance in named if instance in self._machines]
        return [machine for machine in known if not machine.is_over]

    def _with_reason(self, described: re.Match[str]) -> str:
        machine = self._machines.get(described[1])
        if machine is None or machine.reason is None:
            return described[0]
        words = REASONS[machine.reason]
        return f"{described[0]}<stateReason><code>{machine.reason}</code><message>{words}</message></stateReason>"

    def _enter(self, instance: str, state: str) -> None:
        _set_state(ec2._instances[instance], state)

    def _console(self, instance: str) -> Response:
        output = base64.b64encode(self._machines[instance].console()).decode()
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        inner = f"<instanceId>{instance}</instanceId><timestamp>{now}</timestamp><output>{output}</output>"
        answer: Response = ec2._xml(200, "GetConsoleOutputResponse", inner)
        return answer


def with_template(p: dict[str, str], template: dict[str, Any]) -> dict[str, str]:
    """Return RunInstances' parameters with what they leave to the launch template; one count, as AWS fulfils it."""
    merged = {**p, "MinCount": p.get("MaxCount", "1")}
    for member in MEMBERS:
        if template.get(member):
            merged.setdefault(member, str(template[member]))
    groups = template.get("SecurityGroupIds", ())
    if not any(name.startswith("SecurityGroupId.") for name in p):
        merged |= {f"SecurityGroupId.{number}": group for number, group in enumerate(groups, start=1)}
    if not any(name.startswith("IamInstanceProfile.") for name in p):
        merged |= {f"IamInstanceProfile.{key}": value for key, value in template.get("IamInstanceProfile", {}).items()}
    if not any(name.startswith("TagSpecification.") for name in p):
        for number, specification in enumerate(template.get("TagSpecifications", ()), start=1):
            merged[f"TagSpecification.{number}.ResourceType"] = specification["ResourceType"]
            for index, tag in enumerate(specification["Tags"], start=1):
                merged[f"TagSpecification.{number}.Tag.{index}.Key"] = tag["Key"]
                merged[f"TagSpecification.{number}.Tag.{index}.Value"] = tag["Value"]
    return merged


def _structure(p: dict[str, str], name: str) -> dict[str, str]:
    return {key.removeprefix(f"{name}."): value for key, value in p.items() if key.startswith(f"{name}.")}


def _decoded(user_data: str) -> bytes:
    try:
        return base64.b64decode(user_data, validate=True)
    except binascii.Error:
        return user_data.encode()


def _role_of(profile_arn: str) -> str | None:
    """Return the ARN of the role in an instance profile, None where there is no such profile or role."""
    profile = iam._lookup_instance_profile(arn=profile_arn)
    for role in (profile or {}).get("Roles", ()):
        name = role["RoleName"] if isinstance(role, dict) else role
        if found := iam._roles.get_scoped(ACCOUNT, None, name):
            return str(found["Arn"])
    return None


def _may_not_pass(p: dict[str, str], headers: dict[str, str], query: dict[str, Any]) -> Response | None:
    """Refuse a caller who may not pass the instance profile's role to EC2."""
    named = _structure(p, "IamInstanceProfile")
    profile = iam._lookup_instance_profile(name=named.get("Name", ""), arn=named.get("Arn", "")) if named else None
    role = _role_of(profile["Arn"]) if profile else None
    if role is None:
        return None
    if (message := may_not_pass(role, "ec2.amazonaws.com", headers, query)) is None:
        return None
    words = f"You are not authorized to perform this operation. {message}"
    answer: Response = ec2._error("UnauthorizedOperation", words, 403)
    return answer


def _with_state(answer: bytes, state: str) -> bytes:
    """Put a state in place of the one that an answer says instances are in now; what they were before stays."""
    new = rf"\1<code>{STATES[state]}</code><name>{state}</name>"
    return STATE.sub(new, answer.decode()).encode()


def _set_state(record: dict[str, Any], state: str) -> None:
    record["State"] = {"Code": STATES[state], "Name": state}
    if state == "terminated":
        record["_terminated_at"] = time.time() + KEPT_SECONDS - MINISTACK_SECONDS
