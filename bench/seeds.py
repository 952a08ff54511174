"""Mode `full` on the scanned digits with ten seeds: the test accuracy of each.

The settings are the defaults of `./kennel fit`, without packing and proof. Trainings run beside each other, each on
one core. The test split is read once for each seed, and no seed is chosen by it. The exit status is 1 if a seed is not
accurate enough.
"""

import multiprocessing
import os
import tempfile
import time
from functools import partial
from pathlib import Path

from bench import command
from training.commands.arguments import Parser, number, whole
from training.common.console import console
from training.common.memory import keep_memory
from training.data.sample import write_sample
from training.fit.options import DEFAULT_EPOCHS, Options, configure


def accuracy(data: Path, epochs: int, every: int, seed: int) -> tuple[int, float, float]:
    """Return the seed, the test accuracy of its training, and the seconds that it took."""
    import torch

    from training.data import photos
    from training.data.photos import PixelDataset
    from training.fit.evaluation import measure, predict
    from training.fit.full import train_full
    from training.model.network import create

    start = time.perf_counter()
    torch.set_num_threads(1)
    keep_memory()
    console.quiet = True
    splits = photos.find({split: data / split for split in photos.SPLITS}).splits
    chosen = configure(Options(folders={}, out=Path(), epochs=epochs, seed=seed))
    torch.manual_seed(seed)
    recipe = create("resnet18", "none", 10, None, 32)
    train = PixelDataset(splits["train"][::every], recipe.rule, chosen.augment, seed)
    train_full(recipe, train, PixelDataset(splits["valid"], recipe.rule), chosen.schedule)
    test = measure(*predict(recipe.classifier, PixelDataset(splits["test"], recipe.rule), ""))
    return seed, test.accuracy, time.perf_counter() - start


def parser() -> Parser:
    """Return the parser of the command line."""
    made = command.parser_of("seeds", __doc__)
    made.add_argument(
        "seeds", nargs="?", type=whole(1), default=10, metavar="SEEDS", help="seeds, from 0 up (default: %(default)s)"
    )
    made.add_argument(
        "--epochs",
        type=whole(1),
        default=DEFAULT_EPOCHS["full"],
        help="epochs of each training (default: %(default)s, as in `fit`)",
    )
    made.add_argument(
        "--every", type=whole(1), default=1, metavar="N", help="train on each N-th photo (default: %(default)s, all)"
    )
    made.add_argument(
        "--above",
        type=number(0, 1, or_zero=True),
        default=0.975,
        metavar="SHARE",
        help="every test accuracy must be above this share of the photos (default: %(default)s)",
    )
    return made


def main(arguments: list[str] | None = None) -> int:
    """Return 0 if every seed is accurate enough."""
    options = parser().parse_args(arguments)
    seeds: int = options.seeds
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["training.data.sample", "training.fit.full"])
    with tempfile.TemporaryDirectory() as folder, processes.Pool(min(seeds, os.cpu_count() or 1)) as pool:
        data = Path(folder, "digits")
        write_sample(data)
        found = []
        for seed, result, seconds in pool.imap_unordered(
            partial(accuracy, data, options.epochs, options.every), range(seeds)
        ):
            found.append(result)
            print(f"seed {seed}  test accuracy {result:.4f}  {seconds:.0f} s", flush=True)
    print(f"{seeds} seeds: lowest {min(found):.4f}, mean {sum(found) / seeds:.4f}; above {options.above} asked for")
    return 0 if min(found) > options.above else 1


if __name__ == "__main__":
    command.run(main)
