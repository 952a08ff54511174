"""How class folders are to be divided; see ``division.py``."""

import argparse
from dataclasses import dataclass
from typing import NamedTuple


class Shares(NamedTuple):
    """Of the photos, for each split; 0 for no test split."""

    train: float
    valid: float
    test: float

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that get photos."""
        return tuple(split for split, share in self._asdict().items() if share)

    def __str__(self) -> str:
        """Return what the command line takes."""
        return ",".join(f"{share:g}" for share in self)


@dataclass(frozen=True)
class Division:
    """What ``--split`` and ``--seed`` ask for."""

    shares: Shares
    seed: int = 0


def shares(text: str) -> Shares:
    """Convert an argument such as ``0.8,0.1,0.1`` or ``0.8,0.2``."""
    try:
        values = [float(share) for share in text.split(",")]
    except ValueError:
        values = []
    if len(values) == 2:
        values.append(0.0)
    if len(values) != 3 or not all(0 <= share < 1 for share in values) or 0 in values[:2]:
        raise argparse.ArgumentTypeError(f"{text} is not three shares for train, valid and test, such as 0.8,0.1,0.1")
    if abs(sum(values) - 1) > 1e-6:
        raise argparse.ArgumentTypeError(f"the shares of {text} add up to {sum(values):g}, not to 1")
    return Shares(*values)
