"""Mode ``full`` in two processes against one, in one run: how much faster, and how far the losses lie apart.

    .venv/bin/python bench/distributed.py [ROUNDS]

Each process has one thread, so two of them can be twice as fast on two cores at best; efficiency is the share of that.
ResNet-18 on scanned digits of 160 pixels a side, the same photos a step (64) over all processes: at 32 pixels, the
optimizer's step, which each process takes, and the gradients' way weigh as much as learning itself. The two take turns,
an epoch each, so that a noisy machine disturbs both; the median of the rounds counts. Batch norm takes the whole
batch's statistics, which needs two messages a layer and step, or is frozen, which needs none.

Beside it, as what the machine itself allows: two processes that each train on their own, without a word to each other,
against one.
"""

import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from training.console import console
from training.data import photos
from training.data.photos import PixelDataset
from training.data.sample import write_sample
from training.fit.full import FullTraining
from training.fit.group import group
from training.fit.schedule import Schedule
from training.fit.stopping import Stop
from training.memory import keep_memory
from training.model.network import create

SIDE, PHOTOS = 160, 128
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["training.fit.full"])


def work(rank: int, size: int, port: int, data: Path, batch_norm: str, orders: Any, answers: Any) -> None:
    """Train an epoch whenever told to, and answer with its seconds and the loss so far."""
    torch.set_num_threads(1)
    keep_memory()
    console.quiet = True
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with group({"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank)}):
        console.quiet = True
        splits = photos.find({split: data / split for split in photos.SPLITS}).splits
        torch.manual_seed(0)
        recipe = create("resnet18", "none", 10, SIDE, 32)
        some = splits["train"][:: len(splits["train"]) // PHOTOS]
        train, valid = PixelDataset(some, recipe.rule, "light"), PixelDataset(splits["valid"], recipe.rule)
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
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
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


def main(rounds: int) -> None:
    """Compare both kinds of batch norm."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "digits")
        write_sample(data)
        for batch_norm in ("frozen", "train"):
            compare(data, batch_norm, rounds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
