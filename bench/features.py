"""A frozen network's photos a second, way by way, in one run: what `training/fit/frozen.py` chooses from.

    .venv/bin/python bench/features.py [ARCHITECTURE ...]

Pixels are noise of 224 a side, in the batches that features are computed in. The ways take turns, so that a noisy
machine disturbs all; the median of the rounds counts. Compiling is told with the number of photos that make up for it.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from training.common.memory import keep_memory
from training.fit.frozen import Frozen
from training.fit.loading import set_seed
from training.model.network import create

SIDE, ROUNDS, MANY = 224, 7, 10**9


def measure(architecture: str) -> None:
    """Print the photos a second of each way, and how many times those of the first they are."""
    set_seed(0)
    recipe = create(architecture, "none", 133, SIDE, SIDE)
    plain: nn.Module = recipe.classifier.eval()
    frozen = {precision: Frozen(recipe, precision) for precision in ("float32", "bfloat16")}
    compiled = Frozen(recipe, "bfloat16", MANY)
    pixels = torch.randint(256, (compiled.batch, SIDE, SIDE, 3), dtype=torch.uint8)
    ways: dict[str, Callable[[Tensor], Tensor]] = {"as it is": plain}
    ways |= {f"frozen, {precision}": each for precision, each in frozen.items()}
    start = time.perf_counter()
    if compiled.compiled and compiled.compile():
        ways["frozen, bfloat16, compiled"] = compiled
    compiling = time.perf_counter() - start
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(1 + ROUNDS):
        for way, run in ways.items():
            start = time.perf_counter()
            with torch.no_grad():
                run(pixels)
            seconds[way].append(time.perf_counter() - start)
    medians = {way: statistics.median(each[1:]) / len(pixels) for way, each in seconds.items()}
    print(f"{architecture}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    for way, each in medians.items():
        print(f"  {way:<28}{1 / each:6.0f} photos/s  {medians['as it is'] / each:5.1f}x")
    if compiled.compiled:
        saved = medians["frozen, bfloat16"] - medians.get("frozen, bfloat16, compiled", 0.0)
        worth = f"{compiling / saved:,.0f} photos make up for it" if saved > 0 else "never made up for"
        print(f"  compiling took {compiling:.0f} s; {worth}")


if __name__ == "__main__":
    keep_memory()
    for name in sys.argv[1:] or ["resnet50"]:
        measure(name)
