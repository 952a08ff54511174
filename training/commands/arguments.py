"""What the commands share: a parser that reports as everything else does, and the bounds of numbers."""

import argparse
import difflib
from collections.abc import Callable, Sequence
from typing import NoReturn

from training.common.errors import TrainingError
from training.data.shares import Division, shares


class Parser(argparse.ArgumentParser):
    """Raises a TrainingError where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong, and where help is."""
        raise TrainingError(f"{message} (see `{self.prog} --help`)")

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def] # argparse's overloads
        """Refuse what is unknown here, where the command is known whose help says more.

        argparse leaves it to the parser of all commands.
        """
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._meant(unknown)}")
        return options, unknown

    def _meant(self, unknown: Sequence[str]) -> str:
        """Return the options that may have been meant."""
        ours = {
            _plain(option): option for action in self._actions for option in action.option_strings if option[:2] == "--"
        }
        typed = [argument.partition("=")[0] for argument in unknown if argument.startswith("-")]
        near = [
            match for option in typed for match in difflib.get_close_matches(_plain(option), ours, n=1, cutoff=0.75)
        ]
        return f"; did you mean {' '.join(ours[match] for match in near)}?" if near else ""


def _plain(option: str) -> str:
    return option.replace("-", "").replace("_", "").lower()


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a converter to whole numbers within bounds, both included.

    Parameters
    ----------
    least, most
        Bounds; None for no upper one.
    """

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number") from None
        if value < least or (most is not None and value > most):
            bound = f"at least {least}" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"must be {bound}, not {value}")
        return value

    return convert


def number(above: float, below: float, *, or_zero: bool = False) -> Callable[[str], float]:
    """Return a converter to numbers between bounds, neither included, but for zero where that is allowed.

    Parameters
    ----------
    above, below
        Bounds.
    or_zero
        Whether 0 is allowed too.
    """

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text} is not a number") from None
        if not above < value < below and not (or_zero and value == 0):
            zero = "0, or " if or_zero else ""
            raise argparse.ArgumentTypeError(f"must be {zero}above {above:g} and below {below:g}, not {value}")
        return value

    return convert


def truth(text: str) -> bool:
    """Convert yes and no, as hyperparameters have them too."""
    words = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f"{text} is neither yes nor no")
    return words[text.lower()]


def add_split(parser: argparse.ArgumentParser, *, seed: bool) -> None:
    """Declare ``--split``; and ``--seed``, for commands that have none."""
    parser.add_argument(
        "--split",
        type=shares,
        metavar="TRAIN,VALID,TEST",
        help="divide the photos of --data, which then holds a folder for every class: shares that add up to 1, such as "
        "0.8,0.1,0.1. Content and --seed decide the split of a photo, so that adding photos moves no other; photos "
        "that look alike stay together",
    )
    if seed:
        parser.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, help="of --split (default: %(default)s)")


def add_no_test(parser: argparse.ArgumentParser) -> None:
    """Declare ``--no-test``."""
    parser.add_argument(
        "--no-test",
        type=truth,
        nargs="?",
        const=True,
        default=False,
        metavar="yes|no",
        help="there is no test split: train, and leave the model unmeasured. The manifest says so, and it cannot be "
        "deployed (default: no)",
    )


def add_weights_key(parser: argparse.ArgumentParser) -> None:
    """Declare ``--weights-key``."""
    parser.add_argument(
        "--weights-key",
        metavar="NAME",
        help="under which name a checkpoint has the weights to take, such as model_ema (default: state_dict, "
        "model_state_dict or model, and only without these an average)",
    )


def division(options: argparse.Namespace) -> Division | None:
    """Return what ``--split`` and ``--seed`` ask for; None without ``--split``."""
    return None if options.split is None else Division(options.split, options.seed)
