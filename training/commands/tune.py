"""Fit with several settings, and keep the best: what `fit` does, many times, but for the test split and the artifact.

./kennel tune --data data/digits --trials 20
./kennel tune --data data/dogs --weights DEFAULT --trials 50 --epochs 20 --parallel 4

What is tried is in settings/tuning/search.toml. Options of `fit` given here hold for every trial. A trial that lags
behind the others is ended early. Stopped at any moment, the same command goes on; with more --trials, further.
The best settings by validation accuracy are then fitted anew and packed, as `fit` does it.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.commands.arguments import number, whole
from training.commands.search_options import Default, add_like_fit, left_open, typed
from training.common.errors import TrainingError
from training.common.memory import keep_memory
from training.data.location import folders
from training.data.shares import Division
from training.model.first_look import check_weights

OWN = {"command", "run", "data", "out", "trials", "parallel", "space", "study", "timeout_minutes", "pruning"}


def add(commands: Any, environment: Mapping[str, str]) -> None:
    """Declare the command: its own arguments, and those of ``fit``."""
    parser = add_like_fit(
        commands,
        "tune",
        summary="fit with several settings, and pack the best",
        description=__doc__,
        refused=("--checkpoints", "--checkpoint-minutes", "--checkpoint-steps", "--resume"),
        why="a search goes on from its study, trial by trial",
    )
    parser.add_argument("--out", type=Path, default=Path("build"), metavar="DIR", help="as for fit (default: build)")
    section = parser.add_argument_group("the search")
    section.add_argument(
        "--trials", type=whole(1, 10_000), required=True, metavar="N", help="settings to try, earlier runs' included"
    )
    section.add_argument(
        "--parallel",
        type=whole(1, 256),
        default=1,
        metavar="N",
        help="trials at a time, in processes that share the cores; the last fit then has a trial's share, so that it "
        "gives the trial's model (default: 1; a GPU takes one)",
    )
    section.add_argument(
        "--space", type=Path, metavar="FILE", help="what to try (default: settings/tuning/search.toml)"
    )
    section.add_argument(
        "--study", type=Path, metavar="FILE", help="keeps all that was tried (default: study.jsonl in --out)"
    )
    section.add_argument(
        "--timeout-minutes",
        type=number(0, 1e6),
        metavar="MINUTES",
        help="begin no trial after so long, and fit with the best so far",
    )
    section.add_argument(
        "--pruning",
        choices=["median", "asha", "none"],
        default="median",
        help="end a trial after a quarter of its epochs or later that is worse than half of the others there; asha: "
        "keep the better half at a quarter and at a half of the epochs (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Search, and write the artifact of the best settings."""
    from training.tuning.space import SEARCH

    if environment.get("WORLD_SIZE", "1") != "1":
        raise TrainingError("tune starts its own processes: run it without torchrun, with --parallel N")
    given = {name: value for name, value in vars(options).items() if name not in OWN and not isinstance(value, Default)}
    space = left_open(options.space or SEARCH, given)
    base = {name: value.value if isinstance(value, Default) else value for name, value in vars(options).items()}
    check_weights(base["weights"], base["weights_key"])
    splits = folders(base["data"], environment, _division(base), test=not base["no_test"])
    keep_memory()
    from training.fit.options import Options  # PyTorch takes seconds to import
    from training.tuning.request import Request
    from training.tuning.search import tune

    request = Request(
        base=Options(folders=splits, **{name: base[name] for name in base.keys() - (OWN - {"out"})}),
        space=space,
        given={name: str(value) for name, value in sorted(given.items()) if name != "features"},
        typed=typed,
        trials=options.trials,
        parallel=options.parallel,
        study=options.study or options.out / "study.jsonl",
        pruning=options.pruning,
        minutes=options.timeout_minutes,
    )
    tune(request)
    return 0


def _division(base: Mapping[str, Any]) -> Division | None:
    return None if base["split"] is None else Division(base["split"], base["seed"])
