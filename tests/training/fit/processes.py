"""Several processes on this machine, as torchrun would start them, and what they do in the tests."""

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from tests.training.fit.small import datasets, recipe, state, tiny
from training.common.errors import Stopped
from training.data import photos
from training.fit import distributed
from training.fit.batch_norm import synchronise
from training.fit.checkpoints import Checkpoints
from training.fit.full import train_full
from training.fit.loop import Epoch
from training.fit.schedule import Schedule
from training.fit.stopping import Stop
from training.fit.torchrun import group

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.training.fit.processes"])


def in_processes(size: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Return what each of so many processes returns, in their order."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # outlives them, as torchrun's does
    results = CONTEXT.SimpleQueue()
    processes = [
        CONTEXT.Process(target=_run, args=(rank, size, store.port, results, function, arguments))
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    found = dict(results.get() for _ in processes)
    for process in processes:
        process.join()
    return [found[rank] for rank in range(size)]


def _run(rank: int, size: int, port: int, results: Any, function: Callable[..., Any], arguments: Any) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    try:
        with group({"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank)}):
            result = function(*arguments)
    except (Exception, Stopped) as error:
        result = error
    # By numpy: a tensor would be sent as a file descriptor of this process, which ends.
    results.put((rank, result))


def normalise(pixels: Tensor, weight: Tensor, bias: Tensor, upstream: Tensor) -> dict[str, Any]:
    """Return what batch norm makes of this process's photos."""
    layer = nn.BatchNorm2d(len(weight))
    layer.load_state_dict({"weight": weight, "bias": bias}, strict=False)
    layer = synchronise(layer)  # type: ignore[assignment]
    mine = pixels[distributed.rank() :: distributed.size()].requires_grad_()
    output = layer(mine)
    (output * upstream[distributed.rank() :: distributed.size()]).sum().backward()
    assert mine.grad is not None
    assert layer.weight.grad is not None
    return {
        "output": output.detach().numpy(),
        "gradient": mine.grad.numpy(),
        "weight": layer.weight.grad.numpy(),
        "mean": layer.running_mean.numpy(),  # type: ignore[union-attr]
        "variance": layer.running_var.numpy(),  # type: ignore[union-attr]
    }


class StopAfter(Stop):
    """Asks one process, once, for the end while it takes its step ``steps``."""

    def __init__(self, steps: int) -> None:
        self.left = steps if distributed.primary() else -1
        super().__init__()

    @property
    def requested(self) -> bool:
        self.left -= 1
        return self.left == 0

    @requested.setter
    def requested(self, value: bool) -> None: ...


def train(
    data: Path,
    schedule: Schedule,
    network: str = "tiny",
    checkpoints: Checkpoints | None = None,
    stop_after: int = -1,
) -> tuple[dict[str, Any], list[Epoch]]:
    """Return the weights and the history of a training."""
    splits = photos.find({split: data / split for split in photos.SPLITS}).splits
    dropout = {"tiny": 0.3, "tiny without dropout": 0.0}
    made = tiny(dropout[network]) if network in dropout else recipe(network)
    outcome = train_full(
        made, *datasets(splits, made, "light"), schedule, "float32", checkpoints, StopAfter(stop_after)
    )
    return {name: value.numpy() for name, value in state(made).items()}, list(outcome.history)


def exchange(count: int) -> dict[str, Any]:
    """Return what the processes learn of each other."""
    rows = torch.tensor([[float(item), item + 0.5] for item in distributed.slice_of(range(count))]).reshape(-1, 2)
    return {
        "gathered": distributed.gather(rows, count).tolist(),
        "shared": distributed.share({"from": distributed.rank()}),
        "everyone": distributed.everyone(distributed.rank()),
        "total": distributed.total([1.0, distributed.rank()]),
        "tensors": {
            name: value.tolist()
            for name, value in distributed.share_tensors(
                {"a": torch.arange(3), "b": torch.full((2, 2), 0.5)} if distributed.primary() else None
            ).items()
        },
        "first_here": distributed.first_here(),
    }
