"""EC2 instances: ministack's records of them, brought to life.

ministack records what RunInstances names itself. Here the launch template is read too, the caller must be allowed to
pass the profile's role and to tag, subnet and security groups must belong together, the user data runs, and the states
follow it.
"""

import base64
import binascii
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode
from xml.sax.saxutils import escape

from ministack.services import ec2, iam

from local.core.account import Account
from local.core.errors import ServiceError
from local.core.json_service import Response
from local.core.names import ACCOUNT
from local.core.pass_role import may_not_pass
from local.ec2 import image, network, spot, tags
from local.ec2.machine import STATES, Machine
from local.ec2.permissions import Caller

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
        self._answers: dict[str, tuple[dict[str, str], Response]] = {}
        self._spot_requests: dict[str, spot.SpotRequest] = {}

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        """Answer a request of the EC2 query protocol (ministack's handler signature)."""
        p = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        action = p.get("Action", "")
        if action == "GetConsoleOutput" and p.get("InstanceId") in self._machines:
            return self._console(p["InstanceId"])
        if action == "DescribeSpotInstanceRequests":
            return self._describe_spot_requests(p)
        if action in ("DescribeNetworkInterfaces", "DescribeVolumes"):
            self._release()
        try:
            if action == "RunInstances":
                return await self._run(method, path, headers, p, query)
            if action == "CreateSecurityGroup":
                body = urlencode({**p, "VpcId": network.vpc_of(p.get("VpcId"))}).encode()
        except ServiceError as error:
            return _refusal(error)
        status, answer_headers, answer = await self._handle(method, path, headers, body, query)
        if status != 200:
            return status, answer_headers, answer
        if action == "DescribeInstances":
            answer = INSTANCE.sub(self._with_more, answer.decode()).encode()
        if action in ORDERS and (machines := self._machines_of(p)):
            now, at_last = ORDERS[action]
            for machine in machines:
                self._enter(machine.instance, now)
                machine.end(at_last)
            answer = _with_state(answer, now)
        return status, answer_headers, answer

    async def _run(
        self, method: str, path: str, headers: dict[str, str], asked: dict[str, str], query: dict[str, Any]
    ) -> Response:
        if token := asked.get("ClientToken"):
            before, known = self._answers.get(token, (asked, None))
            if before != asked:
                words = (
                    "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."
                )
                raise ServiceError("IdempotentParameterMismatch", words)
            if known:
                return known
        template, _, error = ec2._resolve_launch_template_data(_structure(asked, "LaunchTemplate"))
        if error:
            return error  # type: ignore[no-any-return]
        caller = Caller(headers, query)
        p = network.placed(image.resolved(with_template(asked, template), caller))
        if denied := _may_not_pass(p, headers, query):
            return denied
        tagged = tags.read(p, spot=spot.is_asked(p))
        for kind, listed in tagged.items():
            caller.check_tagging(kind, listed)
        if spot.is_asked(p):
            spot.ensure_role(caller)
        status, answer_headers, answer = await self._handle(method, path, headers, urlencode(p).encode(), query)
        if status != 200:
            return status, answer_headers, answer
        for instance in re.findall(r"<instanceId>(i-[0-9a-f]+)</instanceId>", answer.decode()):
            self._boot(instance, p)
            self._tag(instance, tagged, spot.is_asked(p))
        answer = _with_state(answer, "pending")
        if token:
            self._answers[token] = asked, (status, answer_headers, answer)
        return status, answer_headers, answer

    def _tag(self, instance: str, tagged: dict[str, tags.Tags], is_spot: bool) -> None:
        mappings = ec2._instances[instance]["BlockDeviceMappings"]
        tags.put(tagged, "volume", *(mapping["Ebs"]["VolumeId"] for mapping in mappings))
        tags.put(tagged, "network-interface", network.attach_interface(instance))
        if is_spot:
            machine = self._machines[instance]
            request = self._spot_requests[instance] = spot.SpotRequest(instance, lambda: machine.is_over)
            tags.put(tagged, "spot-instances-request", request.id)

    def _describe_spot_requests(self, p: dict[str, str]) -> Response:
        """Answer with all requests, or those that are named; filters are refused."""
        if ec2._parse_filters(p):
            return _refusal(ServiceError("InvalidParameterValue", "The embedded AWS filters no spot requests."))
        named = ec2._parse_member_list(p, "SpotInstanceRequestId")
        found = [each for each in self._spot_requests.values() if not named or each.id in named]
        items = "".join(each.described() for each in found)
        inner = f"<spotInstanceRequestSet>{items}</spotInstanceRequestSet>"
        answer: Response = ec2._xml(200, "DescribeSpotInstanceRequestsResponse", inner)
        return answer

    def _release(self) -> None:
        """Remove what terminated instances leave no longer; they end in threads that see no account."""
        for instance, machine in self._machines.items():
            if machine.is_over and machine.is_terminated:
                network.release(instance)

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

    def _with_more(self, described: re.Match[str]) -> str:
        """Add the spot request, and why the instance ended."""
        request, machine = self._spot_requests.get(described[1]), self._machines.get(described[1])
        more = request.of_instance if request else ""
        if machine is not None and machine.reason is not None:
            words = REASONS[machine.reason]
            more += f"<stateReason><code>{machine.reason}</code><message>{words}</message></stateReason>"
        return described[0] + more

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
    if not any(name.startswith("InstanceMarketOptions.") for name in p) and "InstanceMarketOptions" in template:
        merged["InstanceMarketOptions.MarketType"] = template["InstanceMarketOptions"].get("MarketType", "")
    if not any(name.startswith("IamInstanceProfile.") for name in p):
        merged |= {f"IamInstanceProfile.{key}": value for key, value in template.get("IamInstanceProfile", {}).items()}
    if not any(name.startswith("TagSpecification.") for name in p):
        for number, specification in enumerate(template.get("TagSpecifications", ()), start=1):
            merged[f"TagSpecification.{number}.ResourceType"] = specification["ResourceType"]
            for index, tag in enumerate(specification["Tags"], start=1):
                merged[f"TagSpecification.{number}.Tag.{index}.Key"] = tag["Key"]
                merged[f"TagSpecification.{number}.Tag.{index}.Value"] = tag["Value"]
    return merged


def _refusal(error: ServiceError) -> Response:
    answer: Response = ec2._error(error.code, escape(str(error)), error.status)
    return answer


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
