"""A search over options of ``fit``, and epochs that nobody trained."""

from pathlib import Path
from typing import Any

from training.commands.search_options import typed
from training.fit.evaluation import Metrics
from training.fit.loop import Epoch
from training.fit.options import Options
from training.tuning.request import Request
from training.tuning.space import Choices, Numbers

SPACE = {"lr": Numbers(0.0001, 0.1, log=True), "batch-size": Choices(("32", "64"))}


def request(folder: Path, trials: int = 10, **other: Any) -> Request:
    changed: dict[str, Any] = {"space": SPACE, "given": {}, "parallel": 1, "study": folder / "study.jsonl"} | other
    base = changed.pop("base", Options(folders={}, out=folder, epochs=4))
    return Request(base, typed=typed, trials=trials, **changed)


def epoch(number: int, accuracy: float, loss: float = 1.0) -> Epoch:
    return Epoch(number, 1.0, Metrics(accuracy, loss, 10), 0.1)
