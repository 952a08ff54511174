"""What ``tune`` and ``launch --tune`` try: options of ``fit``, as far as the command line leaves them open."""

import argparse
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from training.commands import fit
from training.commands.arguments import Parser
from training.common.errors import TrainingError
from training.tuning.space import Numbers, Range, read_space

NOT_TRIED = {
    "data",
    "out",
    "weights",
    "weights_key",
    "features",
    "checkpoints",
    "checkpoint_minutes",
    "checkpoint_steps",
    "resume",
    "split",
    "no_test",
    "seed",  # the best of several is luck, which the test split would not have
}


@dataclass(frozen=True)
class Default:
    """What an option is when nobody says anything, told apart from the same value given on purpose."""

    value: Any

    def __str__(self) -> str:
        """Return what help says."""
        return str(self.value)


def fit_parser() -> argparse.ArgumentParser:
    """Return a parser of ``fit`` alone, as on a machine that is no job."""
    commands = Parser().add_subparsers()
    fit.add(commands, {})
    parser: argparse.ArgumentParser = commands.choices["fit"]
    return parser


def mark_defaults(parser: argparse.ArgumentParser) -> None:
    """Have the parser return a ``Default`` for each of ``fit``'s options that is not given."""
    for name, value in vars(fit_parser().parse_args([])).items():
        if name != "run":
            parser.set_defaults(**{name: Default(value)})


def add_like_fit(
    commands: Any, name: str, *, summary: str, description: str | None, refused: Collection[str], why: str
) -> argparse.ArgumentParser:
    """Declare a command that takes ``fit``'s options and tells what is given from what is left open.

    Parameters
    ----------
    refused
        Options of ``fit`` that have no sense here, such as ``--resume``.
    why
        What somebody is told who gives one.
    """

    class Refuse(argparse.Action):
        def __call__(self, *arguments: Any) -> NoReturn:
            raise argparse.ArgumentError(self, f"is for `fit`: {why}")

    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[fit_parser()],
        conflict_handler="resolve",
    )
    mark_defaults(parser)
    for option in refused:
        parser.add_argument(option, nargs="?", action=Refuse, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


def left_open(file: Path, given: Collection[str]) -> dict[str, Range]:
    """Return what a file has to try, without what the command line decides.

    Parameters
    ----------
    given
        The options that it decides, as ``fit``'s parser names them.

    Raises
    ------
    TrainingError
        The file names what is no option to try, or a value that ``fit`` would refuse.
    """
    space = read_space(file)
    searchable = {name for name in vars(fit_parser().parse_args([])) if name != "run"} - NOT_TRIED
    for name, values in space.items():
        if name.replace("-", "_") not in searchable or "_" in name:
            raise TrainingError(f"{file}: [{name}] is no option of `fit` that can be tried")
        for value in (values.low, values.high) if isinstance(values, Numbers) else values.values:
            try:
                typed(name, value)
            except TrainingError as error:
                raise TrainingError(f"{file}: [{name}] {str(error).partition(' (see')[0]}") from None
    left = {name: values for name, values in space.items() if name.replace("-", "_") not in given}
    if not left:
        raise TrainingError(f"the command line decides all that {file} would try: leave out some of it")
    return left


def typed(name: str, value: float | str) -> Any:
    """Return a value as ``fit`` takes it from its command line."""
    return getattr(fit_parser().parse_args([f"--{name}={value}"]), name.replace("-", "_"))
