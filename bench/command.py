"""What the command lines of all benches share."""

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from training.commands.arguments import Parser
from training.common.errors import TrainingError, one_line


def parser_of(name: str, description: str | None) -> Parser:
    """Return the parser of the bench with this name, without arguments yet."""
    formatter = argparse.RawDescriptionHelpFormatter
    return Parser(prog=f"python -m bench.{name}", description=description, formatter_class=formatter)


def run(main: Callable[[], int]) -> NoReturn:
    """Run a bench and exit with its status; an error that the user can cause prints one line, and the status is 2."""
    try:
        status = main()
    except (TrainingError, OSError) as error:
        print(f"kennel: {one_line(str(error))}", file=sys.stderr)
        status = 2
    sys.exit(status)
