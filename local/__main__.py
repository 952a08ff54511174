"""Command line of the embedded AWS: ``./kennel local up|down|env|status``."""

import argparse
import os
import shlex
import sys
from pathlib import Path

from local.core.errors import LocalError
from local.core.version import VERSION
from local.host import daemon
from local.host.state import DEFAULT, Running, State

TRAINING_PYTHON = Path(__file__).resolve().parent.parent / ".venv-training" / "bin" / "python"
"""The environment that ``make .venv-training/ready`` makes, with AWS's training toolkit."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status."""
    options = _parser().parse_args(arguments)
    state = State(options.state)
    try:
        if options.command == "up":
            daemon.start(
                state,
                port=options.port,
                time_scale=options.time_scale,
                training_python=options.training_python,
                say=_say,
            )
        elif options.command == "down":
            _say("the embedded AWS is down" if daemon.stop(state) else "the embedded AWS was not up")
        elif options.command == "env":
            _say(environment(state.require_running()))
        else:
            from local.host.status import report  # boto3 takes a while to import

            _say(report(state.require_running()))
    except LocalError as error:
        sys.stderr.write(f"kennel: {error}\n")
        return 1
    return 0


def environment(running: Running) -> str:
    """Return the shell lines that point the AWS CLI, SDKs and CDK at the embedded AWS."""
    variables = {
        "AWS_ENDPOINT_URL": running.url,
        "AWS_ACCESS_KEY_ID": running.access_key,
        "AWS_SECRET_ACCESS_KEY": running.secret_key,
        "AWS_REGION": running.region,
        "AWS_DEFAULT_REGION": running.region,
        "AWS_CA_BUNDLE": running.ca,
        "REQUESTS_CA_BUNDLE": running.ca,
        "NODE_EXTRA_CA_CERTS": running.ca,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": daemon.no_proxy(),
        "no_proxy": daemon.no_proxy(),
    }
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join(["unset AWS_PROFILE AWS_SESSION_TOKEN", *exports])


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./kennel local", description="The embedded AWS of this machine.")
    parser.add_argument("--version", action="version", version=f"kennel {VERSION}")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--state", type=Path, default=DEFAULT, help="directory for state and log (default: .local)")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", parents=[shared], help="start the embedded AWS in the background, if it is not up")
    up.add_argument("--port", type=int, help=f"port (default: {daemon.DEFAULT_PORT}, or any free one)")
    up.add_argument(
        "--time-scale",
        type=_positive,
        default=1.0,
        help="minutes of autoscaling and deployment policies per real minute (default: 1)",
    )
    up.add_argument(
        "--training-python",
        type=Path,
        default=os.environ.get("KENNEL_TRAINING_PYTHON") or TRAINING_PYTHON,
        help="Python interpreter of training jobs (default: $KENNEL_TRAINING_PYTHON, or .venv-training/bin/python)",
    )
    commands.add_parser("down", parents=[shared], help="stop the embedded AWS and everything that it started")
    commands.add_parser("env", parents=[shared], help='print variables for your shell: eval "$(./kennel local env)"')
    commands.add_parser("status", parents=[shared], help="list what runs in the embedded AWS")
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number <= 3600:
        raise argparse.ArgumentTypeError("must be above 0 and at most 3600")
    return number


if __name__ == "__main__":
    sys.exit(main())
