"""What several processes tell each other; in one process alone each function gives back what it takes.

Rows and values travel by gloo, from memory to memory, with a GPU too: they are few. Gradients go their own way, by
DistributedDataParallel.
"""

import socket
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def rank() -> int:
    """Return the number of this process, counted from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """Return how many processes train this model."""
    return dist.get_world_size() if dist.is_initialized() else 1


def primary() -> bool:
    """Return whether this is the process that writes files."""
    return rank() == 0


def barrier() -> None:
    """Wait until every process is here."""
    total([0.0])


def total(values: Sequence[float]) -> list[float]:
    """Return each value's sum over the processes, the same on all of them."""
    if size() == 1:
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(sums)
    result: list[float] = sums.tolist()
    return result


def share(value: T, source: int = 0) -> T:
    """Return one process's value, the primary's unless said otherwise, on all.

    PyTorch pickles it. The processes of one training trust each other: they run the same code on the same photos.
    """
    if size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, source)
    return values[0]


def everyone(value: T) -> list[T]:
    """Return the value of each process, in their order."""
    values = [value] * size()
    if size() > 1:
        dist.all_gather_object(values, value)
    return values


def share_tensors(tensors: dict[str, Tensor] | None) -> dict[str, Tensor]:
    """Return the primary's tensors, which lie in its memory, on every process."""
    names = {name: (list(tensor.shape), str(tensor.dtype)) for name, tensor in (tensors or {}).items()}
    shared: dict[str, Any] = share(names)
    if size() == 1:
        return tensors or {}
    result = {}
    for name, (shape, dtype) in shared.items():
        mine = (tensors or {}).get(name)
        value = torch.empty(shape, dtype=getattr(torch, dtype.removeprefix("torch."))) if mine is None else mine
        dist.broadcast(value, 0)
        result[name] = value
    return result


def slice_of(items: Sequence[T]) -> list[T]:
    """Return this process's share of items: every one of them goes to exactly one process."""
    return list(items[rank() :: size()])


def gather(rows: Tensor, count: int) -> Tensor:
    """Put together what ``slice_of`` took apart, in the order that the items had, on every process.

    Parameters
    ----------
    rows
        Shape [this process's items, ...], in memory.
    count
        How many items there are in all.
    """
    if size() == 1:
        return rows
    whole = torch.empty((count, *rows.shape[1:]), dtype=rows.dtype)
    for source in range(size()):
        part = whole[source :: size()].contiguous()
        if source == rank():
            part.copy_(rows)
        dist.broadcast(part, source)
        whole[source :: size()] = part
    return whole


def first_here() -> bool:
    """Return whether this is the first process on its machine."""
    machines = everyone(socket.gethostname())
    return machines.index(machines[rank()]) == rank()


def once_for_each_machine(make: Callable[[], T]) -> T:
    """Make something on every process, first on one of each machine: it downloads what the others then find there."""
    first = first_here()
    if not first:
        barrier()
    made = make()
    if first:
        barrier()
    return made
