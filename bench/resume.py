"""Training killed by SIGKILL at random points: no corrupt checkpoint, and the weights of a run that never stopped.

A small network (batch norm, dropout, a running average of the weights) writes a checkpoint after every other step. Its
process is killed at random moments and started again until training is complete; the next run begins in an empty
folder. After each kill the bench compares every checkpoint with the hash in its name, and after each run the final
weights, bit for bit, with those of a run that was never killed. The exit status is 1 if anything differs.
"""

import hashlib
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from bench import command
from training.commands.arguments import Parser, whole
from training.common.console import console
from training.common.files import sha256
from training.fit.checkpoints import NAME, Checkpoints

PHOTOS = 64
PROCESSES = multiprocessing.get_context("forkserver")
"""Forks from a process that has imported PyTorch and done nothing else, which saves each its seconds of importing."""


def write_photos(folder: Path) -> None:
    """Write photos of two colours."""
    chance = np.random.default_rng(0)
    for number in range(PHOTOS):
        pixels = chance.integers(0, 128, (24, 24, 3)).astype(np.uint8)
        pixels[..., number % 2] += 100
        Image.fromarray(pixels).save(folder / f"{number}.png")


def train(photos: Path, kept: Path | None, result: Path) -> None:
    """Train, from the newest checkpoint on if there is one, and leave the hash of the weights."""
    import torch
    from torch import nn

    from training.data.photos import Photo, PixelDataset
    from training.data.pixels import InputRule
    from training.fit.full import train_full
    from training.fit.schedule import Schedule
    from training.model.network import Classifier, Recipe

    torch.set_num_threads(1)
    torch.manual_seed(0)
    console.quiet = True
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(4)]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(256, 2))
    rule = InputRule(24, 24, "bilinear")
    recipe = Recipe(Classifier(network, [0.5] * 3, [0.25] * 3), "small", "none", "6", rule)
    checkpoints = None if kept is None else Checkpoints(kept, {"run": 0}, steps=2)
    if checkpoints:
        checkpoints.prepare()
    found = [Photo(photos / f"{number}.png", number % 2) for number in range(PHOTOS)]
    learnt, valid = PixelDataset(found[:48], rule, "light"), PixelDataset(found[48:], rule)
    schedule = Schedule(epochs=4, batch_size=8, lr=1e-2, seed=0, ema=0.9, label_smoothing=0.1)
    outcome = train_full(recipe, learnt, valid, schedule, "float32", checkpoints)
    digest = hashlib.sha256(repr([(each.train_loss, each.validation) for each in outcome.history]).encode())
    for name, value in recipe.classifier.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    partial = result.with_suffix(".partial")
    partial.write_text(digest.hexdigest())
    partial.replace(result)


def parser() -> Parser:
    """Return the parser of the command line."""
    made = command.parser_of("resume", __doc__)
    made.add_argument(
        "points", nargs="?", type=whole(1), default=200, metavar="POINTS", help="kills (default: %(default)s)"
    )
    return made


def main(arguments: list[str] | None = None) -> int:
    """Return 0 if nothing was corrupt and nothing differed."""
    points: int = parser().parse_args(arguments).points
    PROCESSES.set_forkserver_preload(["training.fit.full", "PIL.PngImagePlugin"])
    chance = random.Random(0)  # noqa: S311
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = folder / "photos"
        photos.mkdir()
        write_photos(photos)

        def start(kept: Path | None, result: Path) -> multiprocessing.process.BaseProcess:
            process = PROCESSES.Process(target=train, args=(photos, kept, result))
            process.start()
            return process

        start(None, folder / "warm").join()  # the fork server imports PyTorch
        began = time.perf_counter()
        start(None, folder / "whole").join()
        length, expected = time.perf_counter() - began, (folder / "whole").read_text()
        kills = runs = corrupt = different = without = 0
        began = time.perf_counter()
        while kills < points:
            kept, result = folder / "kept", folder / "result"
            runs += 1
            while not result.exists():
                process = start(kept, result)
                process.join(chance.uniform(0, length))
                if process.is_alive() and kills < points:
                    process.kill()
                    kills += 1
                process.join()
                files = [path for path in kept.glob("*") if NAME.fullmatch(path.name)]
                without += not files
                corrupt += sum(sha256(path) not in path.name for path in files)
            different += result.read_text() != expected
            result.unlink()
            shutil.rmtree(kept)
            if sys.stdout.isatty():
                print(f"\r{kills}/{points}", end="", flush=True)
    print(
        f"killed at {kills} random points ({without} before the first checkpoint), {runs} runs to the end in "
        f"{time.perf_counter() - began:.0f} s: {corrupt} corrupt checkpoints, {different} runs with other weights or "
        "another history"
    )
    return 1 if corrupt or different else 0


if __name__ == "__main__":
    command.run(main)
