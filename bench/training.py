"""Training a head: Kennel against the common baseline loop (bench/baseline.py), in one run.

Same photos, same head, same number of epochs, same batch size, one machine. The baseline runs its frozen backbone in
every epoch; Kennel runs it once, faster, and trains on what it gave. Each run has a process of its own. Memory that is
kept (training/common/memory.py) would speed up the baseline too, so it is shown with it as well.

    python bench/training.py [--classes 20] [--photos 12] [--epochs 5] [--views 5] [--weights FILE] [--all-epochs]

Photos are made up, and the backbone is first trained on made-up photos of other classes (bench/synthetic.py), unless
--weights names a safetensors file of ResNet-50. Six and a half minutes in all on two cores.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Threads that spin while they wait would slow whatever else the machine does.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from bench import baseline, synthetic  # noqa: E402
from training.metrics.assessment import wilson  # noqa: E402
from training.serving.cores import cores  # noqa: E402

TRIALS, TEST = 6, 20
OTHERS = range(1000, 1024), {"train": 16, "valid": 4, "test": 1}
"""Classes and photos of each that the backbone learns from."""
NOTES = """
Six trials of the baseline are six times one. With one view of each photo Kennel leaves out the augmentation that the
baseline has; with as many views as epochs both see as many pictures. Neither side's time has what comes before and
after: reading each photo once to check it, testing, export and proof, which are Kennel's alone, and cost the same for
any number of epochs and trials. On a busy machine the processor's seconds say more than the clock's.
Accuracy is that of the first head on the test photos, +/- what chance alone may do (95 %). The baseline feeds pixels
that are not normalised, moves its frozen statistics, and varies photos; the last row varies them too."""


@dataclass(frozen=True)
class Run:
    """What Kennel took: seconds for one fit and for ``TRIALS`` of them, by the clock and of the processor."""

    fit: tuple[float, float]
    search: tuple[float, float]
    accuracy: float


def kennel(data: Path, weights: Path, epochs: int, views: int, folder: Path) -> Run:
    """Train one head, then the rest of a search's, on features that nothing has computed before."""
    import torch

    from training.common.console import console
    from training.common.memory import keep_memory
    from training.data import photos
    from training.fit.evaluation import measure
    from training.fit.features import FeatureBank, Views
    from training.fit.head import answer, train_head
    from training.fit.schedule import Schedule
    from training.fit.speed import choose_precision
    from training.model.network import create

    keep_memory()
    console.quiet = True
    found = photos.find({split: data / split for split in photos.SPLITS})
    recipe = create("resnet50", str(weights), baseline.CLASSES, baseline.SIDE, baseline.SIDE)
    start, busy = time.perf_counter(), time.process_time()
    views_of = Views(views, "photo" if views > 1 else "none")
    bank = FeatureBank(recipe, found, folder, choose_precision(recipe.rule.crop), views_of)
    heads, times = [], []
    for trial in range(TRIALS):
        torch.manual_seed(trial)
        heads.append(baseline.head(2048))
        schedule = Schedule(epochs, baseline.BATCH, baseline.LR * 2 ** (trial / 2), trial)
        train_head(heads[-1], bank["train"], bank["valid"], schedule)
        times.append((time.perf_counter() - start, time.process_time() - busy))
    return Run(times[0], times[-1], measure(*answer(heads[0], bank["test"])).accuracy)


def alone(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what a fresh process returns: memory that was kept stays kept."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments, options)


def main() -> None:
    """Make the photos, run each side, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=20, help="of the head's 133 (default: %(default)s)")
    parser.add_argument("--photos", type=int, default=12, help="to train on, for each class (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--views", type=int, default=5, help="of each photo, besides one (default: %(default)s)")
    parser.add_argument("--weights", type=Path, help="a safetensors file of ResNet-50")
    parser.add_argument("--all-epochs", action="store_true", help="measure the baseline's every epoch, not its first")
    options = parser.parse_args()
    epochs: int = options.epochs
    with tempfile.TemporaryDirectory() as name:
        folder, rest = Path(name), max(1, options.photos // 6)
        data, weights = folder / "data", options.weights or folder / "backbone.safetensors"
        counts = {"train": options.photos, "valid": rest, "test": TEST}
        synthetic.write_photos(data, range(options.classes), counts)
        if options.weights is None:
            other = folder / "other"
            print("Training a backbone on other classes", flush=True)
            synthetic.write_photos(other, *OTHERS)
            alone(synthetic.write_backbone, weights, other)
        load = os.getloadavg()[0]
        seen = options.classes * (options.photos + rest)
        print(
            f"ResNet-50, {options.classes} classes, {seen} JPEG photos of {synthetic.WIDTH} x {synthetic.HEIGHT} in "
            f"train and valid, {epochs} epochs, {cores()} cores, load {load:.1f} before the start",
            flush=True,
        )
        once = alone(kennel, data, weights, epochs, 1, folder / "features-1")
        plain = alone(baseline.run, data, weights, epochs if options.all_epochs else 1, keep=False)
        again = alone(kennel, data, weights, epochs, 1, folder / "features-2")
        kept = alone(baseline.run, data, weights, epochs, keep=True)
        varied = alone(kennel, data, weights, epochs, options.views, folder / "features-views")
    measured, tested = len(plain.epochs), options.classes * TEST
    slow, quick = (
        (sum(run.epochs) / len(run.epochs) * epochs, sum(run.processor) / len(run.processor) * epochs)
        for run in (plain, kept)
    )
    how = "measured" if measured == epochs else f"{epochs} times one epoch, which was measured"
    columns = "".join(f"{title:>17}" for title in ("one fit", "x (kept)", f"{TRIALS} trials", "x (kept)", "accuracy"))
    print(f"  {'seconds by the clock (processor)':<35}{columns}")
    print(f"  {'baseline':<35}{_seconds(slow):>17}   {how}")
    print(f"  {'baseline with memory kept':<35}{_seconds(quick):>17}{_accuracy(kept.accuracy, tested):>68}")
    for title, run in (
        ("Kennel, each photo as it is", once),
        ("  the same, a second time", again),
        (f"Kennel, {options.views} views of each", varied),
    ):
        cells = [_seconds(run.fit), _ratios(slow, quick, run.fit)]
        cells += [_seconds(run.search), _ratios(slow, quick, run.search, TRIALS), _accuracy(run.accuracy, tested)]
        print(f"  {title:<35}" + "".join(f"{cell:>17}" for cell in cells))
    print(NOTES)


def _accuracy(share: float, photos: int) -> str:
    low, high = wilson(round(share * photos), photos)
    return f"{share:.3f} +/- {(high - low) / 2:.3f}"


def _seconds(run: tuple[float, float]) -> str:
    return f"{run[0]:.1f} ({run[1]:.1f})"


def _ratios(slow: tuple[float, float], quick: tuple[float, float], run: tuple[float, float], times: int = 1) -> str:
    return f"{times * slow[0] / run[0]:.0f}x ({times * quick[0] / run[0]:.0f}x)"


if __name__ == "__main__":
    main()
