"""Search for the best settings of `fit`.

./kennel tune --data data/digits --trials 20
./kennel tune --data data/dogs --weights DEFAULT --trials 50 --epochs 20 --parallel 4

Each trial trains with other settings; it does not test and writes no artifact. settings/tuning/search.toml lists the
settings to try. An option of `fit` that you pass here is the same in every trial. A trial that is worse than the others
ends early. The same command resumes a stopped search; a larger --trials extends it. `tune` then fits the settings with
the best validation accuracy, and packs the result.
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
        summary="search for the best settings of `fit`, and pack the result",
        description=str(__doc__),
        refused=("--checkpoints", "--checkpoint-minutes", "--checkpoint-steps", "--resume"),
        why="a search resumes from its study",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build"), metavar="DIR", help="write the files of fit to DIR (default: build)"
    )
    section = parser.add_argument_group("search")
    section.add_argument(
        "--trials",
        type=whole(1, 10_000),
        required=True,
        metavar="N",
        help="number of trials, including those of earlier runs",
    )
    section.add_argument(
        "--parallel",
        type=whole(1, 256),
        default=1,
        metavar="N",
        help="trials at a time, each in its own process. The final fit uses the cores of one trial, so that it gives "
        "the same model (default: 1; use 1 on a GPU)",
    )
    section.add_argument(
        "--space", type=Path, metavar="FILE", help="file with the search space (default: settings/tuning/search.toml)"
    )
    section.add_argument(
        "--study", type=Path, metavar="FILE", help="file that records all trials (default: study.jsonl in --out)"
    )
    section.add_argument(
        "--timeout-minutes",
        type=number(0, 1e6),
        metavar="MINUTES",
        help="start no trial after this time, and fit the best settings so far",
    )
    section.add_argument(
        "--pruning",
        choices=["median", "asha", "none"],
        default="median",
        help="median: end a trial, after a quarter of its epochs or later, if it is worse than half of the others at "
        "that epoch; asha: keep the better half at a quarter and at half of the epochs (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Search, and write the artifact of the best settings."""
    from training.tuning.space import SEARCH

    if environment.get("WORLD_SIZE", "1") != "1":
        raise TrainingError(
            "`tune` starts its own processes; run it without torchrun, and with --parallel N for several"
        )
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
