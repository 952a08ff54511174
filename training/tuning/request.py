"""What a search was asked for."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from training.common.errors import TrainingError
from training.common.files import sha256
from training.fit.options import Options, configure
from training.model.network import check_architecture
from training.serving.cores import cores
from training.tuning.space import Choices, Numbers, Range, Space

Value = float | int | str
CORNERS = 256
"""Combinations of the space that are looked at for one that makes sense."""


@dataclass(frozen=True)
class Request:
    """See the help of ``./kennel tune``.

    Parameters
    ----------
    base
        What every trial has, but for what it tries.
    given
        What of that the command line gave; another study has other ones.
    typed
        Turns the name and the value of an option into what ``base`` takes.
    """

    base: Options
    space: Space
    given: Mapping[str, str]
    typed: Callable[[str, Value], Any]
    trials: int
    parallel: int
    study: Path
    pruning: str = "median"
    minutes: float | None = None

    @property
    def threads(self) -> int:
        """How many of PyTorch's threads a trial has: it decides in which order sums are made, so the last digits."""
        if self.parallel == 1:
            return torch.get_num_threads()
        return max(1, cores() // self.parallel)

    def options(self, tried: Mapping[str, Value]) -> Options:
        """Return what a trial of these values fits with."""
        return replace(self.base, **{name.replace("-", "_"): self.typed(name, value) for name, value in tried.items()})

    def defaults(self) -> dict[str, Value]:
        """Return what ``fit`` would take by itself, as far as the space has it; the first trial takes that."""
        try:
            config = configure(self.base)
        except TrainingError:
            return {}
        chosen = vars(self.base) | vars(config.schedule) | {"mode": config.mode, "augment": config.augment}
        values = {name: _within(choice, chosen.get(name.replace("-", "_"))) for name, choice in self.space.items()}
        return {name: value for name, value in values.items() if value is not None}

    def architectures(self) -> tuple[str, ...]:
        """Return the networks that trials may have."""
        choice = self.space.get("arch")
        return choice.values if isinstance(choice, Choices) else (self.base.arch,)

    def check(self) -> None:
        """Refuse what no trial could be fitted with.

        Raises
        ------
        TrainingError
            The reason of the first combination.
        """
        for name in self.architectures():
            check_architecture(name)
        names = list(self.space)
        ends: list[tuple[Value, ...]] = [
            (choice.low, choice.high) if isinstance(choice, Numbers) else choice.values
            for choice in self.space.values()
        ]
        first: TrainingError | None = None
        for values in itertools.islice(itertools.product(*ends), CORNERS):
            try:
                configure(self.options(dict(zip(names, values, strict=True))))
                return
            except TrainingError as error:
                first = first or error
        if first:
            raise first

    def identity(self, photos: str) -> dict[str, Any]:
        """Return what makes a study this one, under the words that tell what another one has.

        Parameters
        ----------
        photos
            Fingerprint of the data.
        """
        given = dict(self.given)
        weights = Path(self.base.weights)
        if weights.is_file():
            given["weights"] = sha256(weights)
        return {
            "photos": photos,
            "search space": {name: vars(choice) for name, choice in self.space.items()},
            "options": given,
            "pruning": self.pruning,
        }


def _within(choice: Range, value: Any) -> Value | None:
    """Return a value of an option as the space writes it; None if the space does not have it."""
    if isinstance(choice, Numbers):
        return value if isinstance(value, int | float) and choice.low <= value <= choice.high else None
    return str(value) if value is not None and str(value) in choice.values else None
