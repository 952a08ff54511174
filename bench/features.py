"""A frozen network's photos a second in each way that `training/fit/frozen.py` chooses from, in one run.

Pixels are noise, in the batches that features are computed in. The ways take turns, so that a noisy machine disturbs
all; the median of the rounds counts. On a CPU, a network with batch norm is compiled too, and the bench prints after
how many photos that pays.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench import command
from training.commands.arguments import Parser, whole
from training.common.memory import keep_memory
from training.fit.frozen import Frozen
from training.fit.loading import set_seed
from training.model.network import check_architecture, create

MANY = 10**9
"""Photos that are worth compiling for."""


def measure(architecture: str, side: int, rounds: int, photos: int) -> None:
    """Print the photos a second of each way, and how many times those of the first they are."""
    set_seed(0)
    recipe = create(architecture, "none", 133, side, side)
    plain: nn.Module = recipe.classifier.eval()
    frozen = {precision: Frozen(recipe, precision) for precision in ("float32", "bfloat16")}
    compiled = Frozen(recipe, "bfloat16", photos)
    pixels = torch.randint(256, (compiled.batch, side, side, 3), dtype=torch.uint8)
    ways: dict[str, Callable[[Tensor], Tensor]] = {"as it is": plain}
    ways |= {f"frozen, {precision}": network.compute for precision, network in frozen.items()}
    start = time.perf_counter()
    if compiled.compiled and compiled.compile():
        ways["frozen, bfloat16, compiled"] = compiled.compute
    compiling = time.perf_counter() - start
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(1 + rounds):
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


def parser() -> Parser:
    """Return the parser of the command line."""
    made = command.parser_of("features", __doc__)
    made.add_argument(
        "architectures",
        nargs="*",
        default=["resnet50"],
        metavar="ARCHITECTURE",
        help="networks, by torchvision's names (default: resnet50)",
    )
    made.add_argument("--side", type=whole(1), default=224, help="pixels of each side (default: %(default)s)")
    made.add_argument(
        "--rounds", type=whole(1), default=7, help="batches that each way is measured with (default: %(default)s)"
    )
    made.add_argument("--no-compile", action="store_true", help="leave out compiling, which takes about a minute")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Measure each architecture."""
    options = parser().parse_args(arguments)
    for architecture in options.architectures:
        check_architecture(architecture)
    keep_memory()
    for architecture in options.architectures:
        measure(architecture, options.side, options.rounds, 0 if options.no_compile else MANY)
    return 0


if __name__ == "__main__":
    command.run(main)
