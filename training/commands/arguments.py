"""What the commands share: a parser that reports as everything else does, and the bounds of numbers."""

import argparse
from collections.abc import Callable
from typing import NoReturn

from training.common.errors import TrainingError


class Parser(argparse.ArgumentParser):
    """Raises a TrainingError where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong, and where help is."""
        raise TrainingError(f"{message} (see `{self.prog} --help`)")


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a converter to whole numbers within bounds, both included."""

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
    """Return a converter to numbers between bounds, neither included, but for zero where that is allowed."""

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
