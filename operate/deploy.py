"""Deploy an environment, and say at the end which model serves."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from operate import cdk
from operate.account import Account
from operate.artifact import Address, context_of, found_manifest
from operate.console import say
from operate.environment import Environment
from operate.errors import OperateError
from operate.serving import live, verdict

NO_MODEL = "none"


def deploy(account: Account, environment: Environment, *, model: str | None, manifest: Path | None, yes: bool) -> None:
    """Deploy all stacks.

    Parameters
    ----------
    account, environment
        What is deployed, and where.
    model
        The address of an artifact in S3, ``none`` for the stacks that train one, or None for the one that the manifest
        names.
    manifest
        The model's manifest; by default the one beside the artifact in S3, or ``build/model.json``.
    yes
        Whether changes of permissions need no yes.
    """
    if model is None or not model.startswith("s3://"):
        context = {"model": model, "manifest": None if manifest is None else str(manifest.resolve())}
        roll_out(account, environment, context, yes=yes)
    else:
        deploy_address(account, environment, Address.parse(model), manifest, yes=yes)


def rollback(account: Account, environment: Environment, *, model: str, manifest: Path | None, yes: bool) -> None:
    """Deploy the endpoint's stack, and no other, with an earlier artifact.

    Parameters
    ----------
    account, environment
        What is rolled back, and where.
    model
        The address of the artifact in S3.
    manifest
        Its manifest on disk; None for the one beside the artifact.
    yes
        Whether changes of permissions need no yes.
    """
    deploy_address(
        account, environment, Address.parse(model), manifest, stacks=[environment.stack("Endpoint")], yes=yes
    )


def deploy_address(
    account: Account,
    environment: Environment,
    address: Address,
    manifest: Path | None,
    *,
    stacks: Sequence[str] = (),
    yes: bool,
) -> None:
    """Deploy an artifact that is in S3 with its manifest, which lies beside it unless it is given.

    Parameters
    ----------
    account, environment
        What is deployed, and where.
    address
        The artifact.
    manifest
        Its manifest on disk; None for the one beside the artifact.
    stacks
        The stacks' names, which are deployed alone; none means all.
    yes
        Whether changes of permissions need no yes.
    """
    proved = found_manifest(account, address, manifest)
    with tempfile.TemporaryDirectory() as folder:
        context = context_of(account, address, Path(folder), proved)
        roll_out(account, environment, context, stacks=stacks, yes=yes)


def roll_out(
    account: Account,
    environment: Environment,
    context: Mapping[str, str | None],
    *,
    stacks: Sequence[str] = (),
    yes: bool,
) -> None:
    """Synthesise, deploy, and compare the live configuration with the stack's.

    Parameters
    ----------
    account, environment
        What is deployed, and where.
    context
        Values for the CDK's ``-c``, by their names; None leaves one out.
    stacks
        The stacks' names, which are deployed alone; none means all.
    yes
        Whether changes of permissions need no yes.

    Raises
    ------
    OperateError
        The stacks cannot be synthesised or deployed, or SageMaker serves another model than the stack declares.
    """
    before = live(account, environment)
    served = None if before is None else before.artifact(environment)
    cdk.synthesise(environment, {**context, "live": served})
    if not stacks:
        cdk.show_cost()
    succeeded = cdk.deploy(account, stacks, yes=yes)
    if not succeeded:
        now = live(account, environment)
        serving = f"{environment.endpoint} serves {now}" if now else f"there is no endpoint {environment.endpoint}"
        raise OperateError(f"the deployment failed; {serving}. See the error above")
    if context.get("model") == NO_MODEL:
        say(f"Deployed only the stacks of {environment.name} that train a model.")
        return
    say(verdict(account, environment))
