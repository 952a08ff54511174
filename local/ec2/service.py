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
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode
from xml.sax.saxutils import escape

from ministack.services import ec2

from local.core.account import Account
from local.core.caller import Caller
from local.core.errors import ServiceError
from local.core.json_service import Response
from local.ec2 import image, network, spot, tags
from local.ec2.launch_template import merge_template
from local.ec2.machine import STATES, Machine
from local.ec2.permissions import check_pass_role, check_tagging, role_of_profile

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


@dataclass(frozen=True)
class _Request:
    """A request of the EC2 query protocol; `parameters` are those in its body."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    query: dict[str, Any]
    parameters: dict[str, str]


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

        self._operations: dict[str, Callable[[_Request], Awaitable[Response]]] = {
            "RunInstances": self._run_instances,
            "DescribeInstances": self._describe_instances,
            "GetConsoleOutput": self._get_console_output,
            "DescribeSpotInstanceRequests": self._describe_spot_requests,
            "DescribeNetworkInterfaces": self._release_and_describe,
            "DescribeVolumes": self._release_and_describe,
            "CreateSecurityGroup": self._create_security_group,
            **dict.fromkeys(ORDERS, self._order),
        }

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        """Answer a request of the EC2 query protocol (ministack's handler signature)."""
        parameters = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        request = _Request(method, path, headers, body, query, parameters)
        operation = self._operations.get(parameters.get("Action", ""), self._forward)
        try:
            return await operation(request)
        except ServiceError as error:
            return _refusal(error)

    async def _forward(self, request: _Request, parameters: dict[str, str] | None = None) -> Response:
        """Let ministack answer a request, with other parameters if some are given."""
        body = request.body if parameters is None else urlencode(parameters).encode()
        return await self._handle(request.method, request.path, request.headers, body, request.query)

    async def _create_security_group(self, request: _Request) -> Response:
        return await self._forward(
            request, {**request.parameters, "VpcId": network.find_vpc(request.parameters.get("VpcId"))}
        )

    async def _describe_instances(self, request: _Request) -> Response:
        status, headers, answer = await self._forward(request)
        if status == 200:
            answer = INSTANCE.sub(self._add_details, answer.decode()).encode()
        return status, headers, answer

    async def _release_and_describe(self, request: _Request) -> Response:
        self._release_terminated()
        return await self._forward(request)

    async def _order(self, request: _Request) -> Response:
        """Stop or terminate instances."""
        status, headers, answer = await self._forward(request)
        machines = self._machines_of(request.parameters)
        if status != 200 or not machines:
            return status, headers, answer
        now, at_last = ORDERS[request.parameters["Action"]]
        for machine in machines:
            self._enter(machine.instance, now)
            machine.end(at_last)
        return status, headers, _with_state(answer, now)

    async def _run_instances(self, request: _Request) -> Response:
        if earlier := self._earlier_answer(request.parameters):
            return earlier
        template, _, error = ec2._resolve_launch_template_data(_structure(request.parameters, "LaunchTemplate"))
        if error:
            return error  # type: ignore[no-any-return]
        caller = Caller(request.headers, request.query)
        parameters = network.choose_network(image.resolve_image(merge_template(request.parameters, template), caller))
        is_spot = spot.is_spot(parameters)
        tagged = _check_permissions(caller, parameters, is_spot=is_spot)
        status, headers, answer = await self._forward(request, parameters)
        if status != 200:
            return status, headers, answer
        for instance in re.findall(r"<instanceId>(i-[0-9a-f]+)</instanceId>", answer.decode()):
            self._boot(instance, parameters)
            self._tag(instance, tagged, is_spot=is_spot)
        response = status, headers, _with_state(answer, "pending")
        if token := request.parameters.get("ClientToken"):
            self._answers[token] = request.parameters, response
        return response

    def _earlier_answer(self, parameters: dict[str, str]) -> Response | None:
        """Return the answer to an earlier request with the same client token, None if there was none.

        Raises
        ------
        ServiceError
            That request was another one.
        """
        if (token := parameters.get("ClientToken")) not in self._answers:
            return None
        request, answer = self._answers[token]
        if request != parameters:
            words = "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."
            raise ServiceError("IdempotentParameterMismatch", words)
        return answer

    def _tag(self, instance: str, tagged: dict[str, tags.Tags], *, is_spot: bool) -> None:
        mappings = ec2._instances[instance]["BlockDeviceMappings"]
        tags.put_tags(tagged, "volume", *(mapping["Ebs"]["VolumeId"] for mapping in mappings))
        tags.put_tags(tagged, "network-interface", network.attach_interface(instance))
        if is_spot:
            machine = self._machines[instance]
            request = self._spot_requests[instance] = spot.SpotRequest(instance, lambda: machine.is_over)
            tags.put_tags(tagged, "spot-instances-request", request.id)

    async def _get_console_output(self, request: _Request) -> Response:
        instance = request.parameters.get("InstanceId", "")
        if instance not in self._machines:
            return await self._forward(request)
        output = base64.b64encode(self._machines[instance].console()).decode()
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        inner = f"<instanceId>{instance}</instanceId><timestamp>{now}</timestamp><output>{output}</output>"
        answer: Response = ec2._xml(200, "GetConsoleOutputResponse", inner)
        return answer

    async def _describe_spot_requests(self, request: _Request) -> Response:
        """Answer with all requests, or those that are named; filters are refused."""
        if ec2._parse_filters(request.parameters):
            raise ServiceError(
                "InvalidParameterValue",
                "The embedded AWS does not simulate filters of spot requests; name their ids.",
            )
        ids = ec2._parse_member_list(request.parameters, "SpotInstanceRequestId")
        spot_requests = [
            spot_request for spot_request in self._spot_requests.values() if spot_request.id in ids or not ids
        ]
        items = "".join(spot_request.describe() for spot_request in spot_requests)
        inner = f"<spotInstanceRequestSet>{items}</spotInstanceRequestSet>"
        answer: Response = ec2._xml(200, "DescribeSpotInstanceRequestsResponse", inner)
        return answer

    def _release_terminated(self) -> None:
        """Remove what terminated instances leave no longer; they end in threads that see no account."""
        for instance, machine in self._machines.items():
            if machine.is_over and machine.is_terminated:
                network.release_resources(instance)

    def _boot(self, instance: str, parameters: dict[str, str]) -> None:
        record = ec2._instances[instance]
        profile = (record.get("IamInstanceProfile") or {}).get("Arn")
        machine = Machine(
            instance,
            _decode(parameters.get("UserData", "")),
            role_of_profile(profile) if profile else None,
            parameters.get("InstanceInitiatedShutdownBehavior", "stop"),
            self._directory / instance,
            self._account,
            self._python,
            lambda state: _set_state(record, state),
        )
        self._machines[instance] = machine
        _set_state(record, "pending")
        machine.begin()

    def _machines_of(self, parameters: dict[str, str]) -> list[Machine]:
        ids = [value for name, value in parameters.items() if re.fullmatch(r"InstanceId\.\d+", name)]
        machines = [self._machines[instance] for instance in ids if instance in self._machines]
        return [machine for machine in machines if not machine.is_over]

    def _add_details(self, described: re.Match[str]) -> str:
        """Add the spot request, and why the instance ended."""
        request, machine = self._spot_requests.get(described[1]), self._machines.get(described[1])
        more = request.instance_elements if request else ""
        if machine is not None and machine.reason is not None:
            words = REASONS[machine.reason]
            more += f"<stateReason><code>{machine.reason}</code><message>{words}</message></stateReason>"
        return described[0] + more

    def _enter(self, instance: str, state: str) -> None:
        _set_state(ec2._instances[instance], state)


def _check_permissions(caller: Caller, parameters: dict[str, str], *, is_spot: bool) -> dict[str, tags.Tags]:
    """Refuse a caller who lacks what RunInstances needs; return the tags that it sets, by the type of resource."""
    profile = _structure(parameters, "IamInstanceProfile")
    check_pass_role(caller, profile.get("Name", ""), profile.get("Arn", ""))
    tagged = tags.read_tags(parameters, spot=is_spot)
    for resource_type, own in tagged.items():
        check_tagging(caller, resource_type, own)
    if is_spot:
        spot.ensure_role(caller)
    return tagged


def _refusal(error: ServiceError) -> Response:
    answer: Response = ec2._error(error.code, escape(str(error)), error.status)
    return answer


def _structure(parameters: dict[str, str], name: str) -> dict[str, str]:
    return {key.removeprefix(f"{name}."): value for key, value in parameters.items() if key.startswith(f"{name}.")}


def _decode(user_data: str) -> bytes:
    try:
        return base64.b64decode(user_data, validate=True)
    except binascii.Error:
        return user_data.encode()


def _with_state(answer: bytes, state: str) -> bytes:
    """Put a state in place of the one that an answer says instances are in now; what they were before stays."""
    new = rf"\1<code>{STATES[state]}</code><name>{state}</name>"
    return STATE.sub(new, answer.decode()).encode()


def _set_state(record: dict[str, Any], state: str) -> None:
    record["State"] = {"Code": STATES[state], "Name": state}
    if state == "terminated":
        record["_terminated_at"] = time.time() + KEPT_SECONDS - MINISTACK_SECONDS
