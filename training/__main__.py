"""Photos in, a model artifact out.

    python -m training sample data/digits
    python -m training fit --data data/digits
    python -m training fit --data data/dogs --arch resnet50 --weights DEFAULT

In a SageMaker training job the same `fit` runs with no argument: the channels, the hyperparameters and the folder for
the model are read from SM_CHANNEL_*, SM_HPS and SM_MODEL_DIR.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from training.errors import TrainingError

CHANNELS = {"train": ("TRAIN",), "valid": ("VALID", "VALIDATION"), "test": ("TEST",)}
WHOLE_DATA_CHANNELS = ("TRAINING", "DATA")
"""SageMaker's usual name for a job's only channel, and ours."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise TrainingError(f"{message} (see `{self.prog} --help`)")


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Run one command and return its exit status."""
    try:
        options = _parser(environment).parse_args(arguments)
        if options.command == "sample":
            return _sample(options.folder)
        given = _parser(environment).parse_args(["fit", *_hyperparameters(environment), *arguments[1:]])
        return _fit(given, environment)
    except TrainingError as error:
        print(f"kennel: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except OSError as error:  # a full disk, a folder taken away
        print(f"kennel: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)  # noqa: T201
        return 130


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    sample = commands.add_parser("sample", help="write scikit-learn's scanned digits as a data set to begin with")
    sample.add_argument("folder", type=Path, metavar="DIR", help="gets train, valid and test folders")

    fit = commands.add_parser("fit", help="train a classifier and pack the artifact that serves it")
    fit.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="holds train, valid and test, each with a folder of JPEG, PNG or WebP photos for every class "
        "(default in a SageMaker job: its channels train, valid and test, or its channel training)",
    )
    fit.add_argument(
        "--out",
        type=Path,
        default=Path(environment.get("SM_MODEL_DIR", "build")),
        metavar="DIR",
        help="gets model.tar.gz, model.json and model.safetensors (default: %(default)s)",
    )
    fit.add_argument("--arch", default="resnet18", help="any classifier of torchvision (default: %(default)s)")
    fit.add_argument(
        "--weights",
        default="none",
        metavar="DEFAULT|none|FILE",
        help="begin with torchvision's best weights, another of its names such as IMAGENET1K_V1, a safetensors file, "
        "or none (default: %(default)s). Size and normalisation of the pixels follow the weights",
    )
    fit.add_argument(
        "--mode",
        choices=["head", "full"],
        help="head trains the last layer on features computed once, full every layer "
        "(default: head with weights, full without)",
    )
    fit.add_argument(
        "--augment",
        choices=["light", "photo", "none"],
        help="in full mode: light turns, shifts and scales a little and never mirrors, so it suits digits too; photo "
        "crops at random and mirrors half of the photos; none (default: light)",
    )
    fit.add_argument("--epochs", type=_whole(1), help="passes over the photos (default: 10 for full, 30 for head)")
    fit.add_argument("--batch-size", type=_whole(2), default=64, help="photos a step (default: %(default)s)")
    fit.add_argument(
        "--lr",
        type=_rate,
        help="highest learning rate (default: 0.001; 0.0001 in full mode with weights)",
    )
    fit.add_argument(
        "--image-size",
        type=_whole(8, 4096),
        help="pixels of each side of the model's input (default: the weights' own; "
        "without weights the photos' own, at most 224)",
    )
    fit.add_argument(
        "--seed", type=_whole(0, 2**32 - 1), default=0, help="same seed, same machine, same model (default: 0)"
    )
    return parser


def _sample(folder: Path) -> int:
    from training.report import say
    from training.sample import write_sample

    written = write_sample(folder)
    if written is None:
        say("Photos", f"{folder} has the scanned digits already")
    else:
        say("Photos", f"{folder}: scanned digits, " + ", ".join(f"{n} to {split}" for split, n in written.items()))
    return 0


def _fit(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    folders = _folders(options.data, environment)
    from training.fitting import Options, run  # PyTorch takes seconds to import; mistakes above should not

    chosen = {name: value for name, value in vars(options).items() if name not in ("command", "data")}
    run(Options(folders=folders, **chosen))
    return 0


def _folders(data: Path | None, environment: Mapping[str, str]) -> dict[str, Path]:
    """Return each split's folder, from the argument or SageMaker's channels."""
    channels = {
        name.removeprefix("SM_CHANNEL_"): Path(path)
        for name, path in environment.items()
        if name.startswith("SM_CHANNEL_")
    }
    if data is None:
        splits = {
            split: next((channels[name] for name in names if name in channels), None)
            for split, names in CHANNELS.items()
        }
        if any(splits.values()):
            if missing := [split for split, path in splits.items() if path is None]:
                raise TrainingError(f"the channel {missing[0]} is missing: train, valid and test are needed")
            return {split: path for split, path in splits.items() if path is not None}
        data = next((channels[name] for name in WHOLE_DATA_CHANNELS if name in channels), None)
    if data is None:
        raise TrainingError("--data DIR is needed; `python -m training sample data/digits` writes one to begin with")
    if not data.is_dir():
        raise TrainingError(f"{data} is missing; `python -m training sample {data}` writes photos to begin with")
    return {split: data / split for split in CHANNELS}


def _hyperparameters(environment: Mapping[str, str]) -> list[str]:
    """Return SageMaker's hyperparameters as arguments, without those that are SageMaker's own."""
    try:
        values = json.loads(environment.get("SM_HPS") or "{}")
        pairs = [(str(name), value) for name, value in values.items() if not name.startswith("sagemaker_")]
    except (ValueError, AttributeError) as error:
        raise TrainingError(f"SM_HPS is not a JSON object: {error}") from error
    return [f"--{name.replace('_', '-')}={value}" for name, value in pairs]


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number") from None
        if value < least or (most is not None and value > most):
            bound = f"at least {least}" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"must be {bound}, not {value}")
        return value

    return convert


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a number") from None
    if not 0 < value < 10:
        raise argparse.ArgumentTypeError(f"must be above 0 and below 10, not {value}")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
