"""The processes that torchrun started, as one: joined, told apart, and ended together.

    ./kennel torchrun --nproc-per-node 2 -m training fit --data data/digits
    ./kennel torchrun --nnodes 2 --nproc-per-node 1 --rdzv-backend c10d --rdzv-endpoint HOST:29400 -m training fit ...

Of the environment only RANK, WORLD_SIZE and LOCAL_RANK are read here, and MASTER_ADDR and MASTER_PORT by PyTorch
(https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables).
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from training.common.console import console
from training.common.errors import AlreadyTold, Stopped, TrainingError

PATIENCE = timedelta(hours=12)
"""How long a process waits for the others, which may be reading a million photos; one that died is noticed at once."""


@contextmanager
def group(environment: Mapping[str, str]) -> Iterator[None]:
    """Join the other processes, if torchrun started several; only the first of them writes to the console.

    Raises
    ------
    TrainingError
        The variables do not fit each other, or another process was lost.
    AlreadyTold
        Another process failed or was stopped, and says why.
    """
    rank, size, local_rank = (
        _whole(environment, name, default) for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
    )
    if rank >= size:
        raise TrainingError(f"RANK={rank} is none of WORLD_SIZE={size} processes; start them by torchrun")
    if size == 1:
        yield
        return
    store = _join(rank, size, local_rank)
    console.quiet = rank != 0
    try:
        with _first_failure_told(store, rank):
            yield
    finally:
        console.quiet = False
        _leave()


@contextmanager
def _first_failure_told(store: Any, rank: int) -> Iterator[None]:
    """Let the process that fails first tell why; the others end without a word."""
    try:
        yield
    except Stopped as error:
        if _first(store, rank):
            raise
        raise AlreadyTold(error.status) from error
    except (TrainingError, OSError) as error:
        if _first(store, rank):
            raise
        raise AlreadyTold(2) from error
    except RuntimeError as error:
        if not _is_lost_connection(error):
            raise  # a bug
        if _first(store, rank):
            raise TrainingError(
                "another process of this training was lost, its own log says why; start all of them again, with "
                "--resume if there are --checkpoints"
            ) from error
        raise AlreadyTold(2) from error


def _is_lost_connection(error: RuntimeError) -> bool:
    import torch.distributed as dist  # PyTorch takes seconds to import; one process alone may not need it yet

    return isinstance(error, dist.DistError) or "gloo" in str(error).lower()


def _leave() -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def _join(rank: int, size: int, local_rank: int) -> Any:
    import torch
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(local_rank)
    try:
        store, _, _ = next(rendezvous("env://", rank, size))
        # What lies in the processes' own memory goes by gloo beside a GPU too.
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if gpu else "gloo", store=store, rank=rank, world_size=size, timeout=PATIENCE
        )
        # One that ended now, with bad options say, would close its connections while others still open theirs: these
        # would report that, instead of its reason.
        if store.add("kennel/joined", 1) == size:
            store.set("kennel/all joined", "")
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise TrainingError(
            f"the {size} processes do not find each other ({reason}); start them by torchrun"
        ) from error
    with contextlib.suppress(RuntimeError):  # without torchrun the first process has the store, and may have ended
        store.wait(["kennel/all joined"], PATIENCE)
    return store


def _first(store: Any, rank: int) -> bool:
    """Return whether this process is the first that has something to tell."""
    try:
        return bool(store.add("kennel/told", 1) == 1)
    except RuntimeError:  # the store is gone
        return rank == 0


def _whole(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal():
        raise TrainingError(f"{name}={text}: torchrun sets a whole number")
    return int(text)
