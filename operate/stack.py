"""CloudFormation stacks: which are there, their end, and small edits of the template that is deployed.

These work on what is deployed and need neither a model artifact nor a synthesis, so that a fresh clone is enough.
"""

import copy
import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from operate.account import Account, if_there, message_of
from operate.console import say
from operate.environment import NOUNS, Environment
from operate.errors import OperateError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

POLL_SECONDS = 2.0
LARGEST_TEMPLATE = 51_200
"""Bytes of a template in a request. Source: CloudFormation API reference, UpdateStack, TemplateBody."""

SCALING = "AWS::ApplicationAutoScaling::"

Resources = dict[str, Any]


def describe(account: Account, stack: str) -> "StackTypeDef | None":
    """Return a stack by its name or id; None if there is none."""
    with if_there("ValidationError"):
        (found,) = account.cloudformation.describe_stacks(StackName=stack)["Stacks"]
        return None if found["StackStatus"] == "DELETE_COMPLETE" else found
    return None


def present(account: Account, environment: Environment) -> "list[StackTypeDef]":
    """Return the environment's stacks, in an order in which they can be deleted."""
    found = [describe(account, environment.stack(noun)) for noun in NOUNS]
    return [stack for stack in found if stack is not None]


def refuse_protected(account: Account, environment: Environment, *, production: bool, verb: str) -> None:
    """Refuse what takes an environment with termination protection out of service, unless the caller insists.

    Parameters
    ----------
    account, environment
        What would be taken out of service.
    production
        Whether the caller insists.
    verb
        What is refused, such as "destroying it", for the error message.

    Raises
    ------
    OperateError
        The settings or the deployed stacks protect the environment, and `production` is false.
    """
    if production:
        return
    deployed = [
        stack["StackName"] for stack in present(account, environment) if stack.get("EnableTerminationProtection")
    ]
    if environment.protected or deployed:
        where = environment.file if environment.protected else f"stack {deployed[0]}"
        raise OperateError(
            f"{environment.name} has termination protection ({where}), so {verb} is refused; allow it with "
            "--production (make: PRODUCTION=yes)"
        )


def delete(account: Account, stacks: "Sequence[StackTypeDef]") -> None:
    """Delete stacks at the same time, and wait until they are gone; termination protection is lifted before.

    Raises
    ------
    OperateError
        CloudFormation could not delete one.
    """
    for stack in stacks:
        say(f"Deleting    {stack['StackName']}")
        if stack.get("EnableTerminationProtection"):
            account.cloudformation.update_termination_protection(
                StackName=stack["StackName"], EnableTerminationProtection=False
            )
        account.cloudformation.delete_stack(StackName=stack["StackId"])
    for stack in stacks:
        left = settled(account, stack["StackId"])
        if left is not None:
            raise OperateError(
                f"{stack['StackName']} is {left['StackStatus']}: {_reasons(account, stack['StackId'])}; fix the cause "
                "and run the command again"
            )


def settled(account: Account, stack: str) -> "StackTypeDef | None":
    """Wait until nothing happens to a stack; return it, or None if it is gone.

    Parameters
    ----------
    stack
        Its name; or its id, which CloudFormation knows after a deletion too.
    """
    while (found := describe(account, stack)) is not None and found["StackStatus"].endswith("_IN_PROGRESS"):
        time.sleep(POLL_SECONDS)
    return found


def template_of(account: Account, stack: str) -> Resources:
    """Return the template that is deployed."""
    body: Any = account.cloudformation.get_template(StackName=stack, TemplateStage="Original")["TemplateBody"]
    return dict(json.loads(body) if isinstance(body, str) else body)


def edit(account: Account, stack: str, change: Callable[[Resources], None]) -> bool:
    """Update a stack to the template that it has, with something changed; return whether there was a change.

    The next deployment by the CDK brings back what the settings say.

    Parameters
    ----------
    account, stack
        A stack of the account.
    change
        Changes the template's resources in place.

    Raises
    ------
    OperateError
        CloudFormation could not make the change, and undid it.
    """
    before = template_of(account, stack)
    template = copy.deepcopy(before)
    resources: Resources = template["Resources"]
    change(resources)
    gone = before["Resources"].keys() - resources.keys()
    for resource in resources.values():
        _forget(resource, gone)
    if template == before:
        return False
    body = json.dumps(template, separators=(",", ":"))
    if len(body.encode()) > LARGEST_TEMPLATE:
        raise OperateError(
            f"{stack}: its template is larger than {LARGEST_TEMPLATE:,} bytes, the limit of an edit; turn off scaling, "
            "provisioned concurrency and minutes_without_traffic in the settings, deploy, and run the command again"
        )
    say(f"Updating    {stack}")
    account.cloudformation.update_stack(
        StackName=stack,
        TemplateBody=body,
        Parameters=[{"ParameterKey": name, "UsePreviousValue": True} for name in template.get("Parameters", {})],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
    )
    after = settled(account, stack)
    if after is None or after["StackStatus"] != "UPDATE_COMPLETE":
        status = "gone" if after is None else after["StackStatus"]
        raise OperateError(f"{stack} is {status}: {_reasons(account, stack)}; fix the cause and run the command again")
    return True


def without_scaling(resources: Resources) -> None:
    """Remove what scales from a template's resources.

    Parameters
    ----------
    resources
        The template's resources by their logical ids; changed in place.
    """
    for name in [name for name, resource in resources.items() if str(resource["Type"]).startswith(SCALING)]:
        del resources[name]


def _forget(resource: Any, gone: "set[str]") -> None:
    """Take the names of removed resources out of what a resource waits for."""
    waits: Any = resource.get("DependsOn", [])
    left = [name for name in ([waits] if isinstance(waits, str) else waits) if name not in gone]
    if waits and not left:
        del resource["DependsOn"]
    elif left != waits and not isinstance(waits, str):
        resource["DependsOn"] = left


def _reasons(account: Account, stack: str) -> str:
    """Return why resources of a stack failed, the first cause first."""
    try:
        events = account.cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    except ClientError as error:
        return message_of(error)
    failed = [
        f"{event.get('LogicalResourceId')}: {event['ResourceStatusReason']}"
        for event in reversed(events)
        if event.get("ResourceStatus", "").endswith("_FAILED") and event.get("ResourceStatusReason")
    ]
    return "; ".join(dict.fromkeys(failed)) or "see the stack's events for the reason"
