"""Trials in processes of their own, each with its share of the cores."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from training.common.memory import keep_memory
from training.data.layout import Photos
from training.serving.cores import core_numbers


class Worker:
    """A process that tries the options it is sent, one after another. It ends when its parent does.

    Parameters
    ----------
    number
        Of the worker, counted from 0: says which cores are its own.
    threads
        That it computes with, each on a core, where the system can hold it there; macOS cannot.
    """

    def __init__(self, number: int, threads: int, photos: Photos, side: int, features: Path) -> None:
        self._same = (number, threads, photos, side, features)
        context = multiprocessing.get_context("spawn")  # PyTorch's threads do not survive a fork
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other, *self._same))
        # Ctrl-C goes to all; the parent alone decides what follows, also while the others still begin.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        other.close()

    def tell(self, what: Any) -> None:
        """Send it options to try or, after an epoch, whether to go on; one that died is noticed by ``heard``."""
        with contextlib.suppress(OSError):
            self.pipe.send(what)

    def another(self) -> "Worker":
        """Return one to take the place of this one, which died."""
        self.kill()
        return Worker(*self._same)

    def kill(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


@contextmanager
def working(count: int, threads: int, photos: Photos, side: int, features: Path) -> Iterator[list[Worker]]:
    """Lend workers. Whoever lends them may put another one in the place of one that died."""
    workers: list[Worker] = []
    try:
        for number in range(count):
            workers.append(Worker(number, threads, photos, side, features))
        yield workers
    finally:
        for worker in workers:
            worker.kill()


def heard(workers: list[Worker]) -> Iterator[tuple[Worker, Any]]:
    """Wait until a worker says something, and return it: an ``Epoch``, an ``Ending``, or None if it died."""
    ready = wait([worker.pipe for worker in workers])
    for worker in workers:
        if worker.pipe in ready:
            said = None
            with contextlib.suppress(EOFError, OSError):
                said = worker.pipe.recv()
            yield worker, said


def _work(pipe: "Connection[Any, Any]", number: int, threads: int, photos: Photos, side: int, features: Path) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if hasattr(os, "sched_setaffinity"):
        cores = core_numbers()
        os.sched_setaffinity(0, [cores[(number * threads + i) % len(cores)] for i in range(threads)])
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)  # the parent does the talking
    import torch

    from training.tuning.trial import Trainer, attempt

    torch.set_num_threads(threads)
    keep_memory()
    trainer = Trainer(photos, side, features)

    def go_on(epoch: Any) -> bool:
        pipe.send(epoch)
        return bool(pipe.recv())

    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        while True:
            options = pipe.recv()
            pipe.send(attempt(trainer, options, go_on))


def _end_with_parent() -> None:
    """Wait for the parent's end, and end at once: an epoch that nobody asks for may take an hour."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101
    parent.join()
    os._exit(1)
