"""``fit``: photos in, a proven artifact out."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.arguments import number, whole
from training.data.location import add_data, folders


def add(commands: Any, environment: Mapping[str, str]) -> None:
    """Declare the command."""
    parser = commands.add_parser("fit", help="train a classifier and pack the artifact that serves it")
    add_data(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(environment.get("SM_MODEL_DIR", "build")),
        metavar="DIR",
        help="gets model.tar.gz, model.json and model.safetensors (default: %(default)s)",
    )
    parser.add_argument("--arch", default="resnet18", help="any classifier of torchvision (default: %(default)s)")
    parser.add_argument(
        "--weights",
        default="none",
        metavar="DEFAULT|none|FILE",
        help="begin with torchvision's best weights, another of its names such as IMAGENET1K_V1, a safetensors file, "
        "or none (default: %(default)s). Size and normalisation of the pixels follow the weights",
    )
    parser.add_argument(
        "--mode",
        choices=["head", "full"],
        help="head trains the last layer on features computed once, full every layer "
        "(default: head with weights, full without)",
    )
    parser.add_argument(
        "--augment",
        choices=["light", "photo", "none"],
        help="in full mode: light turns, shifts and scales a little and never mirrors, so it suits digits too; photo "
        "crops at random and mirrors half of the photos; none (default: light)",
    )
    parser.add_argument("--epochs", type=whole(1), help="passes over the photos (default: 10 for full, 30 for head)")
    parser.add_argument("--batch-size", type=whole(2), default=64, help="photos a step (default: %(default)s)")
    parser.add_argument(
        "--lr",
        type=number(0, 10),
        help="highest learning rate (default: 0.001; 0.0001 in full mode with weights)",
    )
    parser.add_argument(
        "--image-size",
        type=whole(8, 4096),
        help="pixels of each side of the model's input (default: the weights' own; "
        "without weights the photos' own, at most 224)",
    )
    parser.add_argument(
        "--seed", type=whole(0, 2**32 - 1), default=0, help="same seed, same machine, same model (default: 0)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Train, and write the artifact."""
    splits = folders(options.data, environment)
    from training.fit.fitting import Options, fit  # PyTorch takes seconds to import; mistakes above should not

    chosen = {name: value for name, value in vars(options).items() if name not in ("command", "data", "run")}
    fit(Options(folders=splits, **chosen))
    return 0
