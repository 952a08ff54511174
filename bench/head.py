"""Training a head: Kennel against the common baseline loop (bench/baseline.py), in one run.

Same photos, same head, same number of epochs, same batch size, one machine. The baseline runs its frozen backbone in
every epoch; Kennel runs it once, faster, and trains on its features. Each run has a process of its own. The baseline
would gain by Kennel's rule for memory (training/common/memory.py) too, so it is measured with and without.

Photos are synthetic, and the backbone is first trained on synthetic photos of other classes (bench/synthetic.py),
unless --weights names a safetensors file of ResNet-50. The whole takes six and a half minutes on two cores.
"""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import baseline, command, synthetic
from training.commands.arguments import Parser, whole
from training.metrics.assessment import wilson
from training.serving.cores import cores

PROCESSES = multiprocessing.get_context("forkserver")
"""Forks from a process that has imported PyTorch and done nothing else, which saves each its seconds of importing."""

OTHERS, OTHER_PHOTOS = 1000, {"train": 16, "valid": 4, "test": 1}
"""The first of the classes that the backbone learns, and the photos of each."""
NOTES = """
The baseline's time for all trials is one fit's, times their number. With one view of each photo Kennel leaves out the
augmentation that the baseline has; with as many views as epochs both see as many pictures. Neither side's time has what
comes before and after: reading each photo once to check it, testing, export and proof, which are Kennel's alone, and
cost the same for any number of epochs and trials. On a busy machine the processor's seconds say more than the clock's.
Accuracy is that of the first head on the test photos, +/- what chance alone may do (95 %). The baseline feeds pixels
that are not normalised, moves its frozen statistics, and varies photos; the last row varies them too."""


@dataclass(frozen=True)
class Run:
    """What Kennel took: seconds for one fit and for all trials, by the clock and of the processor."""

    fit: tuple[float, float]
    search: tuple[float, float]
    accuracy: float


def kennel(data: Path, weights: Path, side: int, epochs: int, trials: int, views: int, folder: Path) -> Run:
    """Train one head, then the rest of a search's, on features that nothing has computed before."""
    import torch

    from training.common.console import console
    from training.common.memory import keep_memory
    from training.data import photos
    from training.fit.evaluation import measure
    from training.fit.features import FeatureBank, Views
    from training.fit.head import predict_head, train_head
    from training.fit.schedule import Schedule
    from training.fit.speed import choose_precision
    from training.model.network import create

    keep_memory()
    console.quiet = True
    found = photos.find({split: data / split for split in photos.SPLITS})
    recipe = create("resnet50", str(weights), baseline.CLASSES, side, side)
    start, busy = time.perf_counter(), time.process_time()
    views_of = Views(views, "photo" if views > 1 else "none")
    bank = FeatureBank(recipe, found, folder, choose_precision(recipe.classifier, recipe.rule.crop), views_of)
    heads, times = [], []
    for trial in range(trials):
        torch.manual_seed(trial)
        heads.append(baseline.head(2048))
        schedule = Schedule(epochs, baseline.BATCH, baseline.LR * 2 ** (trial / 2), trial)
        train_head(heads[-1], bank["train"], bank["valid"], schedule)
        times.append((time.perf_counter() - start, time.process_time() - busy))
    return Run(times[0], times[-1], measure(*predict_head(heads[0], bank["test"])).accuracy)


def alone(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what a fresh process returns: memory that was kept stays kept."""
    with PROCESSES.Pool(1) as pool:
        return pool.apply(function, arguments, options)


def parser() -> Parser:
    """Return the parser of the command line."""
    made = command.parser_of("head", __doc__)
    for name, bounds, default, text in (
        ("classes", (2, baseline.CLASSES), 20, f"classes of photos; the head has {baseline.CLASSES}"),
        ("photos", (1,), 12, "photos of each class to train on; a sixth as many again are to validate"),
        ("test-photos", (1,), 20, "photos of each class to test"),
        ("epochs", (1,), 5, "epochs of each training"),
        ("trials", (1,), 6, "trainings of a search"),
        ("views", (1,), 5, "views of each photo in the last run; the runs before it have one"),
        ("backbone-classes", (2,), 24, "classes that the backbone is trained on first"),
        ("backbone-epochs", (1,), synthetic.EPOCHS, "epochs that the backbone is trained for"),
    ):
        made.add_argument(f"--{name}", type=whole(*bounds), default=default, help=f"{text} (default: %(default)s)")
    made.add_argument(
        "--side", type=whole(32), default=baseline.SIDE, help="pixels of each side of the input (default: %(default)s)"
    )
    made.add_argument("--weights", type=Path, help="a safetensors file of ResNet-50 (default: train a backbone)")
    made.add_argument("--all-epochs", action="store_true", help="measure every epoch of the baseline, not its first")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Make the photos, run each side, print the ratios."""
    options = parser().parse_args(arguments)
    side, epochs, trials = options.side, options.epochs, options.trials
    PROCESSES.set_forkserver_preload(
        ["bench.baseline", "bench.synthetic", "training.fit.features", "training.fit.head"]
    )
    with tempfile.TemporaryDirectory() as name:
        folder, rest = Path(name), max(1, options.photos // 6)
        data, weights = folder / "data", options.weights or folder / "backbone.safetensors"
        counts = {"train": options.photos, "valid": rest, "test": options.test_photos}
        synthetic.write_photos(data, range(options.classes), counts)
        if options.weights is None:
            other = folder / "other"
            print("Training a backbone on other classes", flush=True)
            synthetic.write_photos(other, range(OTHERS, OTHERS + options.backbone_classes), OTHER_PHOTOS)
            alone(synthetic.write_backbone, weights, other, options.backbone_epochs)
        load = os.getloadavg()[0]
        seen = options.classes * (options.photos + rest)
        print(
            f"ResNet-50, {options.classes} classes, {seen} JPEG photos of {synthetic.WIDTH} x {synthetic.HEIGHT} in "
            f"train and valid, {epochs} epochs, {cores()} cores, load {load:.1f} before the start",
            flush=True,
        )
        once = alone(kennel, data, weights, side, epochs, trials, 1, folder / "features-1")
        plain = alone(baseline.run, data, weights, side, epochs if options.all_epochs else 1, keep=False, tests=False)
        again = alone(kennel, data, weights, side, epochs, trials, 1, folder / "features-2")
        kept = alone(baseline.run, data, weights, side, epochs, keep=True, tests=True)
        varied = alone(kennel, data, weights, side, epochs, trials, options.views, folder / "features-views")
    measured, tested = len(plain.epochs), options.classes * options.test_photos
    slow, quick = (
        (sum(run.epochs) / len(run.epochs) * epochs, sum(run.processor) / len(run.processor) * epochs)
        for run in (plain, kept)
    )
    how = "measured" if measured == epochs else f"{epochs} times one epoch, which was measured"
    columns = "".join(f"{title:>17}" for title in ("one fit", "x (kept)", f"{trials} trials", "x (kept)", "accuracy"))
    print(f"  {'seconds by the clock (processor)':<35}{columns}")
    print(f"  {'baseline':<35}{_seconds(slow):>17}   {how}")
    print(f"  {'baseline with memory kept':<35}{_seconds(quick):>17}{_accuracy(kept.accuracy, tested):>68}")
    for title, run in (
        ("Kennel, each photo as it is", once),
        ("  the same, a second time", again),
        (f"Kennel, {options.views} views of each", varied),
    ):
        cells = [_seconds(run.fit), _ratios(slow, quick, run.fit)]
        cells += [_seconds(run.search), _ratios(slow, quick, run.search, trials), _accuracy(run.accuracy, tested)]
        print(f"  {title:<35}" + "".join(f"{cell:>17}" for cell in cells))
    print(NOTES)
    return 0


def _accuracy(share: float, photos: int) -> str:
    low, high = wilson(round(share * photos), photos)
    return f"{share:.3f} +/- {(high - low) / 2:.3f}"


def _seconds(run: tuple[float, float]) -> str:
    return f"{run[0]:.1f} ({run[1]:.1f})"


def _ratios(slow: tuple[float, float], quick: tuple[float, float], run: tuple[float, float], times: int = 1) -> str:
    return f"{times * slow[0] / run[0]:.0f}x ({times * quick[0] / run[0]:.0f}x)"


if __name__ == "__main__":
    command.run(main)
