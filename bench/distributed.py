"""Two processes against one, in one run: how much faster, and how far apart what they learn.

Each process has one thread, so two of them can be twice as fast on two cores at best; efficiency is the share of that.
ResNet-18 learns scanned digits, with the same number of photos a step (64) over all processes. One process and two take
turns, an epoch each, so that a noisy machine disturbs both; the median of the rounds counts. Batch norm takes the
statistics of the whole batch, which needs two messages a layer and step, or is frozen, which needs none.

What the machine itself allows is measured too: two processes that train independently of each other, against one.

Of mode `head`, the bench measures the part that takes time: a frozen ResNet-18's features of the same photos, half of
them computed by each process.
"""

import hashlib
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import command
from training.commands.arguments import Parser, whole
from training.common.console import console
from training.common.memory import keep_memory
from training.data.sample import write_sample
from training.fit.torchrun import group

if TYPE_CHECKING:
    from training.data.photos import Photos

PROCESSES = multiprocessing.get_context("forkserver")
"""Forks from a process that has imported PyTorch and done nothing else, which saves each its seconds of importing."""


@dataclass(frozen=True)
class Task:
    """What both learn: so many photos of those in a folder, so many pixels a side."""

    data: Path
    photos: int
    side: int

    def find(self) -> "Photos":
        """Return the photos, few of them to train on."""
        from training.data import photos

        found = photos.find({split: self.data / split for split in photos.SPLITS})
        train = found.splits["train"]
        some = train[:: max(1, len(train) // self.photos)][: self.photos]
        return replace(found, splits=found.splits | {"train": some})


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def member(rank: int, size: int, port: int) -> Iterator[None]:
    """Make this process one of a group, with one thread."""
    import torch

    torch.set_num_threads(1)
    keep_memory()
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with group({"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank)}):
        console.quiet = True
        yield


def work(rank: int, size: int, port: int, task: Task, batch_norm: str, orders: Any, answers: Any) -> None:
    """Train an epoch whenever told to, and answer with its seconds and the loss so far."""
    import torch

    from training.data.photos import PixelDataset
    from training.fit.full import Trainer
    from training.fit.schedule import Schedule
    from training.fit.stopping import Stop
    from training.model.network import create

    with member(rank, size, port):
        splits = task.find().splits
        torch.manual_seed(0)
        recipe = create("resnet18", "none", 10, task.side, 32)
        train = PixelDataset(splits["train"], recipe.rule, "light")
        valid = PixelDataset(splits["valid"], recipe.rule)
        schedule = Schedule(epochs=100, batch_size=64, lr=1e-4, seed=0, batch_norm=batch_norm)
        training = Trainer(recipe, train, valid, schedule, "float32", None, Stop())
        answers.put(None)
        while orders.get():
            progress = training.progress
            start, busy = time.perf_counter(), time.process_time()
            training.train_epoch(start)
            answers.put((time.perf_counter() - start, time.process_time() - busy, progress.loss / progress.step))
            progress.epoch, progress.step, progress.loss = progress.epoch + 1, 0, 0.0


class Team:
    """Processes that train one model together, an epoch at a time."""

    def __init__(self, size: int, task: Task, batch_norm: str) -> None:
        port = free_port()
        self.orders, self.answers, self.size = PROCESSES.SimpleQueue(), PROCESSES.SimpleQueue(), size
        for rank in range(size):
            arguments = (rank, size, port, task, batch_norm, self.orders, self.answers)
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


def compare(task: Task, batch_norm: str, rounds: int) -> None:
    """Print one line."""
    one, two, other = Team(1, task, batch_norm), Team(2, task, batch_norm), Team(1, task, batch_norm)
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


def look(rank: int, size: int, port: int, task: Task, folder: Path, answers: Any) -> None:
    """Compute the features of this process's share of the photos, and answer with the seconds and everybody's."""
    import torch

    from training.fit.features import FeatureBank
    from training.model.network import create

    with member(rank, size, port):
        torch.manual_seed(0)
        bank = FeatureBank(create("resnet18", "none", 10, task.side, 32), task.find(), folder)
        bank["valid"]  # warms up
        start = time.perf_counter()
        rows = bank["train"].rows
        answers.put((time.perf_counter() - start, hashlib.sha256(rows.numpy().tobytes()).hexdigest()))


def compare_features(task: Task, folder: Path, rounds: int) -> None:
    """Print one line."""
    efficiencies, seen = [], set[str]()
    for number in range(rounds):
        seconds = []
        for size in (1, 2):
            answers, port = PROCESSES.SimpleQueue(), free_port()
            arguments = (size, port, task, folder / f"{number}-{size}", answers)
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


def parser() -> Parser:
    """Return the parser of the command line."""
    made = command.parser_of("distributed", __doc__)
    made.add_argument(
        "rounds", nargs="?", type=whole(1), default=5, metavar="ROUNDS", help="epochs measured (default: %(default)s)"
    )
    made.add_argument("--photos", type=whole(2), default=128, help="photos to train on (default: %(default)s)")
    made.add_argument(
        "--side",
        type=whole(32),
        default=160,
        help="pixels of each side of the network's input (default: %(default)s; at 32, the optimizer's step, which "
        "each process takes, and the exchange of gradients take as long as learning itself)",
    )
    return made


def main(arguments: list[str] | None = None) -> int:
    """Compare both kinds of batch norm, and features."""
    options = parser().parse_args(arguments)
    PROCESSES.set_forkserver_preload(["training.fit.features", "training.fit.full", "training.data.sample"])
    with tempfile.TemporaryDirectory() as folder:
        task = Task(Path(folder, "digits"), options.photos, options.side)
        write_sample(task.data)
        for batch_norm in ("frozen", "train"):
            compare(task, batch_norm, options.rounds)
        compare_features(task, Path(folder, "features"), options.rounds)
    return 0


if __name__ == "__main__":
    command.run(main)
