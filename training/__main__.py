"""Photos in, a model artifact out.

    ./kennel sample data/digits
    ./kennel fit --data data/digits
    ./kennel fit --data data/dogs --arch resnet50 --weights DEFAULT

In a SageMaker training job the same `fit` runs with no argument: the channels, the hyperparameters and the folder for
the model are read from SM_CHANNEL_*, SM_HPS and SM_MODEL_DIR.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping

from training.commands import check, evaluate, fit, launch, package, sample, tune, verify
from training.commands.arguments import Parser
from training.common.errors import AlreadyTold, Stopped, TrainingError, one_line
from training.common.version import VERSION

COMMANDS = (sample, check, fit, tune, evaluate, launch, package, verify)


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Run one command and return its exit status."""
    running = False
    try:
        options = _parser(environment).parse_args(arguments)
        if options.command == "fit":  # in a SageMaker job; what the command line says goes before
            options = _parser(environment).parse_args(["fit", *_hyperparameters(environment), *arguments[1:]])
        running = True
        status: int = options.run(options, environment)
        return status
    except AlreadyTold as error:
        return error.status
    except Stopped as error:
        print(f"kennel: {error}", file=sys.stderr)  # noqa: T201
        return error.status
    except (TrainingError, OSError) as error:  # OSError: a full disk, a folder taken away
        if running or environment.get("RANK", "0") == "0":  # torchrun gives the same arguments to each process
            print(f"kennel: {one_line(str(error))}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)  # noqa: T201
        return 130


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = Parser(prog="./kennel", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"kennel {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands, environment)
    return parser


def _hyperparameters(environment: Mapping[str, str]) -> list[str]:
    """Return SageMaker's hyperparameters as arguments, without those that are SageMaker's own."""
    try:
        values = json.loads(environment.get("SM_HPS") or "{}")
        pairs = [(str(name), value) for name, value in values.items() if not name.startswith("sagemaker_")]
    except (ValueError, AttributeError) as error:
        raise TrainingError(
            f"SM_HPS, the hyperparameters of the job, is not a JSON object ({error}); correct it"
        ) from error
    return [f"--{name.replace('_', '-')}={value}" for name, value in pairs]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
