"""``package``: a model that was trained elsewhere in, a proven artifact out."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.commands.arguments import add_split, add_weights_key, division, whole
from training.common.errors import TrainingError
from training.data.location import add_data, folders
from training.model.first_look import refuse_strangers

OF_THE_COMMAND = {"command", "data", "run", "split", "seed"}


def add(commands: Any, environment: Mapping[str, str]) -> None:
    """Declare the command."""
    parser = commands.add_parser("package", help="pack a model that was trained elsewhere, and measure it")
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        required=True,
        metavar="DIR|FILE",
        help="a state_dict of a classifier of torchvision (.pth, .pt; also within a checkpoint), a safetensors file, "
        "a model.tar.gz or a folder with one of them; the head may be linear layers with ReLU between, and "
        "may be all that the file has. Nothing but tensors and plain values is unpickled",
    )
    parser.add_argument("--arch", help="the architecture (default: told by names and shapes of the tensors)")
    parser.add_argument(
        "--weights",
        metavar="NAME|FILE",
        help="for a file that has the head alone: the rest, such as IMAGENET1K_V1, which is torchvision's "
        "pretrained=True, or a file",
    )
    add_weights_key(parser)
    parser.add_argument(
        "--classes",
        type=Path,
        metavar="FILE|DIR",
        help="names in the order of the model's output: one on each line; JSON, which is a list, or a map from "
        "index to name, name to index (both from 0 or 1) or folder to name; or the folder that ImageFolder was given "
        "(default: the folders of --data)",
    )
    parser.add_argument(
        "--weights-normalisation",
        dest="normalisation",
        choices=["imagenet", "none"],
        help="what training did to pixels (default: imagenet, as torchvision's weights have it)",
    )
    parser.add_argument(
        "--image-size",
        type=whole(8, 4096),
        help="pixels of each side of the model's input (default: that of torchvision's weights)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build"),
        metavar="DIR",
        help="gets model.tar.gz, model.json and model.safetensors (default: %(default)s)",
    )
    add_data(parser)
    add_split(parser, seed=True)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Read the model, and write the artifact."""
    refuse_strangers(options.source, options.weights_key)
    splits = folders(options.data, environment, division(options)) if options.data is not None else None
    if splits is not None and "test" not in splits:
        raise TrainingError(f"--split {options.split} leaves no test split, which `package` measures the model on")
    from training.pipeline.package import PackageOptions, package  # PyTorch takes seconds to import

    chosen = {name: value for name, value in vars(options).items() if name not in OF_THE_COMMAND}
    package(PackageOptions(folders=splits, **chosen))
    return 0
