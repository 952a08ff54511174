"""The CDK's command line, as ``./kennel cdk`` runs it."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from operate.account import Account
from operate.environment import ROOT, Environment
from operate.errors import OperateError

ASSEMBLY = "cdk.out"
"""Where the stacks are synthesised, as ``make synth`` does."""


def synthesise(environment: Environment, context: Mapping[str, str | None]) -> None:
    """Synthesise the environment's stacks; a value that is None is left out of the context.

    Parameters
    ----------
    context
        Values for the CDK's ``-c``, by their names.

    Raises
    ------
    OperateError
        A setting or the model cannot be deployed; the CDK's output above says why.
    """
    words = [
        word
        for name, value in {"environment": environment.name, **context}.items()
        if value is not None
        for word in ("-c", f"{name}={value}")
    ]
    if _run(["cdk", "synth", "--quiet", *words, "--output", ASSEMBLY]) != 0:
        raise OperateError("the stacks were not synthesised, so nothing was deployed; see the error above")


def show_cost() -> None:
    """Print what the synthesised stacks cost."""
    _run(["cost", ASSEMBLY])


def deploy(account: Account, stacks: Sequence[str], *, yes: bool) -> bool:
    """Deploy synthesised stacks; return whether the CDK reports success.

    Parameters
    ----------
    account
        The account and region that the caller's credentials were checked for.
    stacks
        The stacks' names, which are deployed alone; none means all.
    yes
        Whether changes of permissions need no yes.
    """
    which = [*stacks, "--exclusively"] if stacks else ["--all"]
    approval = ["--require-approval", "never"] if yes else []
    region = {"AWS_REGION": account.region, "AWS_DEFAULT_REGION": account.region}
    return _run(["cdk", "deploy", *which, "--app", ASSEMBLY, *approval], region) == 0


def _run(words: Sequence[str], variables: Mapping[str, str] | None = None) -> int:
    command = [str(Path(ROOT, "kennel")), *words]
    try:
        variables = {**os.environ, **(variables or {})}
        return subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode  # noqa: S603 (our launcher)
    except OSError as error:
        raise OperateError(f"{command[0]}: cannot be run: {error.strerror}") from None
