"""``./kennel deploy`` and the other commands that change an environment on AWS."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from operate.account import Account, connect, explained
from operate.console import say
from operate.deploy import deploy, rollback
from operate.destroy import destroy
from operate.environment import Environment, load_environment
from operate.errors import OperateError
from operate.instance_type import change_instance_type
from operate.sleeping import sleep, wake
from operate.version import VERSION

Command = Callable[[Account, Environment, argparse.Namespace], None]

COMMANDS: dict[str, tuple[str, tuple[str, ...], Command]] = {
    "deploy": (
        "deploy all stacks, and say which model serves",
        ("model", "manifest", "yes"),
        lambda account, environment, options: deploy(
            account, environment, model=options.model, manifest=options.manifest, yes=options.yes
        ),
    ),
    "rollback": (
        "deploy an earlier artifact",
        ("model", "manifest", "yes"),
        lambda account, environment, options: rollback(
            account, environment, model=options.model, manifest=options.manifest, yes=options.yes
        ),
    ),
    "sleep": (
        "remove what is billed by the hour; keep the bucket, the names and the model",
        ("manifest", "production", "yes"),
        lambda account, environment, options: sleep(
            account, environment, manifest=options.manifest, production=options.production, yes=options.yes
        ),
    ),
    "wake": (
        "restore what sleep removed",
        ("production", "yes"),
        lambda account, environment, options: wake(
            account, environment, production=options.production, yes=options.yes
        ),
    ),
    "change-instance-type": (
        "change an autoscaled endpoint to the instance type of the settings",
        ("manifest", "yes"),
        lambda account, environment, options: change_instance_type(
            account, environment, manifest=options.manifest, yes=options.yes
        ),
    ),
    "destroy": (
        "delete all stacks, and the models and configurations that updates retained",
        ("production", "yes"),
        lambda account, environment, options: destroy(
            account, environment, production=options.production, yes=options.yes
        ),
    ),
}
"""What each command does, its options besides ``--environment``, and its function."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./kennel", description="Change an environment on AWS.")
    parser.add_argument("--version", action="version", version=f"kennel {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (text, options, _) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.add_argument(
            "--environment", required=True, metavar="NAME", help="a file in settings/, without its .toml"
        )
        if "model" in options:
            command.add_argument(
                "--model",
                required=name == "rollback",
                metavar="s3://BUCKET/KEY.tar.gz",
                help="the artifact in S3, with its manifest beside it"
                + ("" if name == "rollback" else "; or none, which deploys only the stacks that train a model"),
            )
        if "manifest" in options:
            command.add_argument(
                "--manifest",
                type=Path,
                metavar="FILE",
                help="the model's manifest, if the artifact has none beside it",
            )
        if "production" in options:
            command.add_argument(
                "--production", action="store_true", help="allow this for an environment with termination protection"
            )
        command.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit status (1: the command was refused or failed)."""
    options = _parser().parse_args(arguments)
    try:
        environment = load_environment(options.environment)
        account = connect(environment)
        say(f"Environment {environment.name}: {account}")
        with explained():
            COMMANDS[options.command][2](account, environment, options)
    except OperateError as error:
        sys.stderr.write(f"kennel: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("kennel: interrupted. AWS may still be at work; run the command again to continue\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
