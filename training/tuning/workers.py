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
from typing import TYPE_CHECKING, Any

from training.common.memory import keep_memory
from training.data.layout import Photos
from training.data.survey import Survey
from training.serving.cores import core_numbers

if TYPE_CHECKING:  # PyTorch is imported when a process has its cores
    from training.fit.dataset import Dataset


class Worker:
    """A process that tries the options it is sent, one after another. It ends when its parent does.

    Parameters
    ----------
    number
        Of the worker, counted from 0: says which cores are its own.
    threads
        That it computes with, each on a core, where the system can hold it there; macOS cannot.
    """

    def __init__(self, number: int, threads: int, dataset: "Dataset") -> None:
        self.number, self.threads, self.dataset = number, threads, dataset
        context = multiprocessing.get_context("spawn")  # PyTorch's threads do not survive a fork
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other, number, threads, dataset.photos, dataset.survey))
        # Ctrl-C goes to all; the parent alone decides what follows, also while the others still begin.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        other.close()

    def send(self, message: Any) -> None:
        """Send it options to try or, after an epoch, whether to continue; ``receive`` notices one that died."""
        with contextlib.suppress(OSError):
            self.pipe.send(message)

    def replacement(self) -> "Worker":
        """Return one to take the place of this one, which died."""
        self.kill()
        return Worker(self.number, self.threads, self.dataset)

    def kill(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


@contextmanager
def start_workers(count: int, threads: int, dataset: "Dataset") -> Iterator[list[Worker]]:
    """Lend workers, and end them afterwards; the list may be given another one in place of one that died."""
    workers: list[Worker] = []
    try:
        for number in range(count):
            workers.append(Worker(number, threads, dataset))
        yield workers
    finally:
        for worker in workers:
            worker.kill()


def receive(workers: list[Worker]) -> Iterator[tuple[Worker, Any]]:
    """Wait for messages of workers, and return them: an ``Epoch``, a ``TrialResult``, or None of one that died."""
    ready = wait([worker.pipe for worker in workers])
    for worker in workers:
        if worker.pipe in ready:
            message = None
            with contextlib.suppress(EOFError, OSError):
                message = worker.pipe.recv()
            yield worker, message


def _work(pipe: "Connection[Any, Any]", number: int, threads: int, photos: Photos, survey: Survey) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if hasattr(os, "sched_setaffinity"):
        cores = core_numbers()
        os.sched_setaffinity(0, [cores[(number * threads + i) % len(cores)] for i in range(threads)])
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)  # the parent does the talking
    import torch

    from training.fit.dataset import Dataset
    from training.tuning.trial import TrialTrainer, attempt

    torch.set_num_threads(threads)
    keep_memory()
    trainer = TrialTrainer(Dataset(photos, survey))

    def should_continue(epoch: Any) -> bool:
        pipe.send(epoch)
        return bool(pipe.recv())

    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        while True:
            options = pipe.recv()
            pipe.send(attempt(trainer.train, options, should_continue))


def _end_with_parent() -> None:
    """Wait for the parent's end, and end at once: an epoch that nobody asks for may take an hour."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101
    parent.join()
    os._exit(1)
