"""One network of each of torchvision's families learns the sample's digits in mode full; its test accuracy, in one run.

Few steps leave part of the initial value in running statistics of batch norm. Training then
computes them again before each validation (`training/fit/batch_norm.py`). The first accuracy is that of the model that
is kept, the second that of the last epoch's weights with the running statistics as they are. A family that learns
nothing is marked.
"""

import tempfile
import time
from collections import Counter
from pathlib import Path

from torch.nn.modules.batchnorm import _BatchNorm

from bench import command
from training.commands.arguments import Parser, whole
from training.common.console import console
from training.common.errors import TrainingError
from training.common.memory import keep_memory
from training.data.photos import SPLITS, Photo, PixelDataset, find
from training.data.sample import write_sample
from training.fit.evaluation import measure, predict
from training.fit.full import Trainer
from training.fit.loading import device, set_seed
from training.fit.schedule import Schedule
from training.fit.speed import choose_precision
from training.fit.stopping import Stop
from training.metrics.commonest import no_better
from training.model.network import check_architecture, create

FAMILIES = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_b5",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "vgg11_bn",
    "vit_b_16",
]
"""A small network of each family, and of EfficientNet one more, whose batch norm has another momentum."""


def train(architecture: str, splits: dict[str, list[Photo]], side: int, epochs: int) -> str:
    """Return the line about one network."""
    set_seed(0)
    start = time.perf_counter()
    try:
        recipe = create(architecture, "none", 10, side, side)
        recipe.classifier.to(device())
        learnt, valid, test = (PixelDataset(splits[split], recipe.rule) for split in SPLITS)
        schedule = Schedule(epochs, batch_size=min(64, len(learnt)), lr=1e-3, seed=0)
        precision = choose_precision(recipe.classifier, side)
        training = Trainer(recipe, learnt, valid, schedule, precision, None, Stop(), lambda _: None)
        training.train()
    except TrainingError as error:  # it does not take photos of this side
        return f"  {architecture:<20}{error}"
    momenta = sorted({layer.momentum or 0.0 for layer in recipe.classifier.modules() if isinstance(layer, _BatchNorm)})
    momentum = ", ".join(f"{value:g}" for value in momenta) or "none"
    kept, running = (
        measure(*predict(model, test, "Testing")).accuracy for model in (recipe.classifier, training.progress.candidate)
    )
    how = "computed again" if training.retakes else "as they are"
    said = "  no better than one class for all" if no_better(kept, list(_counts(test.photos).values())) else ""
    return (
        f"  {architecture:<20}momentum {momentum:<8}{kept:.3f} (statistics {how})  "
        f"{running:.3f} as they are  {time.perf_counter() - start:.0f} s{said}"
    )


def first(photos: list[Photo], count: int) -> list[Photo]:
    """Return so many photos of each class."""
    seen = Counter[int]()
    chosen = []
    for photo in photos:
        seen[photo.target] += 1
        if seen[photo.target] <= count:
            chosen.append(photo)
    return chosen


def _counts(photos: list[Photo]) -> Counter[int]:
    return Counter(photo.target for photo in photos)


def parser() -> Parser:
    """Return the parser of the command line."""
    made = command.parser_of("architectures", __doc__)
    made.add_argument(
        "architectures",
        nargs="*",
        default=FAMILIES,
        metavar="ARCHITECTURE",
        help="networks, by torchvision's names (default: one of each family)",
    )
    made.add_argument("--side", type=whole(1), default=64, help="pixels of each side (default: %(default)s)")
    made.add_argument("--epochs", type=whole(1), default=10, help="of each network (default: %(default)s)")
    made.add_argument(
        "--photos", type=whole(1), default=40, help="photos of each class to train with (default: %(default)s)"
    )
    return made


def main(arguments: list[str] | None = None) -> int:
    """Train each architecture."""
    options = parser().parse_args(arguments)
    for architecture in options.architectures:
        check_architecture(architecture)
    keep_memory()
    console.quiet = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "digits"
        write_sample(folder)
        found = find({split: folder / split for split in SPLITS}).splits
        splits = found | {"train": first(found["train"], options.photos)}
        print(f"{len(splits['train'])} photos, {options.side} pixels a side, {options.epochs} epochs")
        for architecture in options.architectures:
            print(train(architecture, splits, options.side, options.epochs), flush=True)
    return 0


if __name__ == "__main__":
    command.run(main)
