"""Give variants of a scaling endpoint another instance type or name, or remove one.

SageMaker refuses that while a variant is registered with Application Auto Scaling (SageMaker guide, "Update endpoints
that use auto scaling"), and CloudFormation removes what scales only after it has updated the endpoint. So there are two
deployments: one that removes the scaling, and one with the settings. AWS alone
shows which of the two is done.
"""

from pathlib import Path

from operate import stack as stacks
from operate.account import Account
from operate.artifact import Address
from operate.console import confirm, say
from operate.deploy import deploy_address
from operate.environment import Environment
from operate.errors import OperateError
from operate.serving import Live, live


def change_instance_type(account: Account, environment: Environment, *, manifest: Path | None, yes: bool) -> None:
    """Change the variants' instance types and names to those of the settings, with the model that serves.

    After an interruption, running it again resumes.

    Parameters
    ----------
    account, environment
        What changes, and where.
    manifest
        The manifest of the artifact that serves; None for the one beside the artifact.
    yes
        Whether neither the question nor changes of permissions need a yes.

    Raises
    ------
    OperateError
        There is no endpoint with instances, or a deployment failed.
    """
    now = live(account, environment)
    if now is None:
        raise OperateError(
            f"there is no endpoint {environment.endpoint} in {account}: `make deploy ENVIRONMENT={environment.name}` "
            "creates it with the instance type of the settings"
        )
    served = now.artifact(environment)
    if served is None:
        raise OperateError(f"the artifact that {environment.endpoint} serves is unknown: deploy the environment first")
    stack = environment.stack("Endpoint")
    before, after = _types(environment, now), environment.instance_types
    scaling = _scales(account, stack)
    if before == after and scaling == environment.scales:
        say(f"{environment.endpoint} already has the variants of {environment.file}: {_shown(after)}.")
        return
    address = Address.parse(served)
    say(f"{environment.endpoint}: {_shown(before)} -> {_shown(after)}")
    if before != after and scaling:
        confirm(
            "The endpoint keeps its instances and does not scale until the new fleet serves. Continue?",
            yes=yes,
        )
        say("1 of 2: remove the scaling")
        stacks.edit(account, stack, stacks.without_scaling)
    else:
        say("1 of 2: the scaling is already removed")
    say("2 of 2: deploy the settings")
    try:
        deploy_address(account, environment, address, manifest, stacks=[stack], yes=yes)
    except OperateError as error:
        raise OperateError(
            f"{error}. The endpoint does not scale now: run the command again, or undo the change in "
            f"{environment.file} and run it again"
        ) from None


def _scales(account: Account, stack: str) -> bool:
    declared = stacks.template_of(account, stack)["Resources"]
    return any(str(resource["Type"]).startswith(stacks.SCALING) for resource in declared.values())


def _types(environment: Environment, now: Live) -> dict[str, str]:
    types = {served.variant: served.instance_type for served in now.served}
    if None in types.values() or not environment.instance_types:
        raise OperateError(
            f"{environment.endpoint} or {environment.file} is serverless, and SageMaker cannot change an endpoint from "
            "or to serverless: destroy the environment and deploy it again"
        )
    return {name: kind for name, kind in types.items() if kind is not None}


def _shown(types: dict[str, str]) -> str:
    return ", ".join(f"{name} on {kind}" for name, kind in types.items())
