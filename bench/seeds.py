"""Mode ``full`` on the scanned digits with ten seeds: every test accuracy.

    .venv/bin/python bench/seeds.py [SEEDS]

The settings are the defaults of ``./kennel fit``; what is left out is packing and proof. Trainings run beside
each other, each on one core. The test split is read once for each seed, and no seed is chosen by it.
"""

import multiprocessing
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from training.common.console import console
from training.common.memory import keep_memory
from training.data import photos
from training.data.photos import PixelDataset
from training.data.sample import write_sample
from training.fit.evaluation import measure, predict
from training.fit.full import train_full
from training.fit.options import Options, plan
from training.model.network import create

AT_LEAST = 0.975


def accuracy(data: Path, seed: int) -> tuple[int, float, float]:
    """Return the seed, the test accuracy of its training, and the seconds that it took."""
    start = time.perf_counter()
    torch.set_num_threads(1)
    keep_memory()
    console.quiet = True
    splits = photos.find({split: data / split for split in photos.SPLITS}).splits
    chosen = plan(Options(folders={}, out=Path(), seed=seed))
    torch.manual_seed(seed)
    recipe = create("resnet18", "none", 10, None, 32)
    train = PixelDataset(splits["train"], recipe.rule, chosen.augment, seed)
    train_full(recipe, train, PixelDataset(splits["valid"], recipe.rule), chosen.schedule)
    test = measure(*predict(recipe.classifier, PixelDataset(splits["test"], recipe.rule), ""))
    return seed, test.accuracy, time.perf_counter() - start


def main(seeds: int) -> int:
    """Return 0 if every seed is accurate enough."""
    processes = multiprocessing.get_context("forkserver")
    with tempfile.TemporaryDirectory() as folder, processes.Pool(os.cpu_count()) as pool:
        data = Path(folder, "digits")
        write_sample(data)
        found = []
        for seed, result, seconds in pool.imap_unordered(partial(accuracy, data), range(seeds)):
            found.append(result)
            print(f"seed {seed}  test accuracy {result:.4f}  {seconds:.0f} s", flush=True)
    print(f"{seeds} seeds: lowest {min(found):.4f}, mean {sum(found) / seeds:.4f}; above {AT_LEAST} asked for")
    return 0 if min(found) > AT_LEAST else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
