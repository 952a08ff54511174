"""Two processes against one, in one run: how much faster, and how far apart what they learn.

    .venv/bin/python bench/distributed.py [ROUNDS]

Each process has one thread, so two of them can be twice as fast on two cores at best; efficiency is the share of that.
ResNet-18 on scanned digits of 160 pixels a side, the same photos a step (64) over all processes: at 32 pixels, the
optimizer's step, which each process takes, and the gradients' way weigh as much as learning itself. The two take turns,
an epoch each, so that a noisy machine disturbs both; the median of the rounds counts. Batch norm takes the whole
batch's statistics, which needs two messages a layer and step, or is frozen, which needs none.

Beside it, as what the machine itself allows: two processes that each train on their own, without a word to each other,
against one.

Of mode ``head``, what takes time: a frozen ResNet-18's features of the same photos, half of them by each process.
"""

import hashlib
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from training.common.console import console
from training.common.memory import keep_memory
from training.data import photos
from training.data.photos import Photos, PixelDataset
from training.data.sample import write_sample
from training.fit.features import FeatureBank
from training.fit.full import FullTraining
from training.fit.schedule import Schedule
from training.fit.stopping import Stop
from training.fit.torchrun import group
from training.model.network import create

SIDE, PHOTOS = 160, 128
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["training.fit.full"])


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def member(rank: int, size: int, port: int) -> Iterator[None]:
    """Make this process one of a group, with one thread."""
    torch.set_num_threads(1)
    keep_memory()
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with group({"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank)}):
        console.quiet = True
        yield


def some(data: Path) -> Photos:
    """Return the photos, few of them to train on."""
    found = photos.find({split: data / split for split in photos.SPLITS})
    train = found.splits["train"]
    return replace(found, splits=found.splits | {"train": train[:: len(train) // PHOTOS][:PHOTOS]})


def work(rank: int, size: int, port: int, data: Path, batch_norm: str, orders: Any, answers: Any) -> None:
    """Train an epoch whenever told to, and answer with its seconds and the loss so far."""
    with member(rank, size, port):
        splits = some(data).splits
        torch.manual_seed(0)
        recipe = create("resnet18", "none", 10, SIDE, 32)
        train = PixelDataset(splits["train"], recipe.rule, "light")
        valid = PixelDataset(splits["valid"], recipe.rule)
        schedule = Schedule(epochs=100, batch_size=64, lr=1e-4, seed=0, batch_norm=batch_norm)
        training = FullTraining(recipe, train, valid, schedule, "float32", None, Stop())
        answers.put(None)
        while orders.get():
            progress = training.progress
            start, busy = time.perf_counter(), time.process_time()
            training.learn(start)
            answers.put((time.perf_counter() - start, time.process_time() - busy, progress.loss / progress.step))
            progress.epoch, progress.step, progress.loss = progress.epoch + 1, 0, 0.0


class Team:
    """Processes that train one model together, an epoch at a time."""

    def __init__(self, size: int, data: Path, batch_norm: str) -> None:
        port = free_port()
        self.orders, self.answers, self.size = PROCESSES.SimpleQueue(), PROCESSES.SimpleQueue(), size
        for rank in range(size):
            arguments = (rank, size, port, data, batch_norm, self.orders, self.answers)
            PROCESSES.Process(target=work, args=arguments, daemon=True).start()
        for _ in range(size):
            self.answers.get()

    def tell(self, go: bool) -> None:
        """Have it train an epoch, or end."""
        for _ in range(self.size):
            self.orders.put(go)

    def result(self) -> tuple[float, float, float]:
        """Return the seconds that the epoch took, those of all its processes' work, and the mean loss."""
        seconds, busy, losses = zip(*(self.answers.get() for _ in range(self.size)), strict=True)
        return max(seconds), sum(busy), losses[0]


def compare(data: Path, batch_norm: str, rounds: int) -> None:
    """Print one line."""
    one, two, other = Team(1, data, batch_norm), Team(2, data, batch_norm), Team(1, data, batch_norm)
    walls, works, apart, beside = [], [], [], []
    for number in range(rounds + 1):
        one.tell(True)
        alone = one.result()
        two.tell(True)
        together = two.result()
        one.tell(True)
        other.tell(True)
        unconnected = max(one.result()[0], other.result()[0])
        two.tell(True)  # the other's photos of this round, so that both have learnt the same
        two.result()
        if number:  # the first epoch warms up
            walls.append(alone[0] / together[0] / 2)
            works.append(alone[1] / together[1])
            beside.append(alone[0] / unconnected)
        apart.append(abs(alone[2] - together[2]))
    for team in (one, two, other):
        team.tell(False)
    print(
        f"batch norm {batch_norm:6}  efficiency {statistics.median(walls):.2f} by the clock, "
        f"{statistics.median(works):.2f} by the work of the cores; the machine allows {statistics.median(beside):.2f}; "
        f"losses of {rounds + 1} epochs at most {max(apart):.1e} apart",
        flush=True,
    )


def look(rank: int, size: int, port: int, data: Path, folder: Path, answers: Any) -> None:
    """Compute the features of this process's share of the photos, and answer with the seconds and everybody's."""
    with member(rank, size, port):
        torch.manual_seed(0)
        bank = FeatureBank(create("resnet18", "none", 10, SIDE, 32), some(data), folder)
        bank["valid"]  # warms up
        start = time.perf_counter()
        rows = bank["train"].rows
        answers.put((time.perf_counter() - start, hashlib.sha256(rows.numpy().tobytes()).hexdigest()))


def compare_features(data: Path, folder: Path, rounds: int) -> None:
    """Print one line."""
    efficiencies, seen = [], set[str]()
    for number in range(rounds):
        seconds = []
        for size in (1, 2):
            answers, port = PROCESSES.SimpleQueue(), free_port()
            arguments = (size, port, data, folder / f"{number}-{size}", answers)
            team = [PROCESSES.Process(target=look, args=(rank, *arguments)) for rank in range(size)]
            for process in team:
                process.start()
            told = [answers.get() for _ in team]
            for process in team:
                process.join()
            seconds.append(max(each for each, _ in told))
            seen |= {digest for _, digest in told}
        efficiencies.append(seconds[0] / seconds[1] / 2)
    alike = "the same to the last bit" if len(seen) == 1 else "NOT THE SAME"
    print(f"features           efficiency {statistics.median(efficiencies):.2f} by the clock; {alike}", flush=True)


def main(rounds: int) -> None:
    """Compare both kinds of batch norm, and features."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "digits")
        write_sample(data)
        for batch_norm in ("frozen", "train"):
            compare(data, batch_norm, rounds)
        compare_features(data, Path(folder, "features"), rounds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
