"""``fit``: photos in, a proven artifact out."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.commands.arguments import add_no_test, add_split, add_weights_key, division, number, truth, whole
from training.common.memory import keep_memory
from training.data.location import add_data, folders
from training.fit.torchrun import group
from training.model.first_look import check_weights

JOB_CHECKPOINTS = Path("/opt/ml/checkpoints")
"""What SageMaker copies to S3 while a job runs, and back when it is started again."""


def add(commands: Any, environment: Mapping[str, str]) -> None:
    """Declare the command."""
    parser = commands.add_parser("fit", help="train a classifier and pack the artifact that serves it")
    add_data(parser)
    add_split(parser, seed=False)
    add_no_test(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(environment.get("SM_MODEL_DIR", "build")),
        metavar="DIR",
        help="gets model.tar.gz, model.json, model.safetensors and report.html (default: %(default)s)",
    )
    parser.add_argument("--arch", default="resnet18", help="any classifier of torchvision (default: %(default)s)")
    parser.add_argument(
        "--weights",
        default="none",
        metavar="DEFAULT|none|FILE",
        help="begin with torchvision's best weights, another of its names such as IMAGENET1K_V1, a file of weights as "
        "`package` reads it, or none (default: %(default)s). Size and normalisation of the pixels follow the weights",
    )
    add_weights_key(parser)
    parser.add_argument(
        "--mode",
        choices=["head", "full"],
        help="head trains the last layer on features computed once, full every layer "
        "(default: head with weights, full without)",
    )
    parser.add_argument(
        "--augment",
        choices=["light", "photo", "none"],
        help="in full mode and for --views: light turns, shifts and scales a little and never mirrors, so it suits "
        "digits too; photo crops at random and mirrors half of the photos; none (default: light; none for one view)",
    )
    parser.add_argument("--epochs", type=whole(1), help="passes over the photos (default: 10 for full, 30 for head)")
    parser.add_argument(
        "--batch-size", type=whole(2), default=64, help="photos a step, over all processes (default: %(default)s)"
    )
    parser.add_argument(
        "--lr",
        type=number(0, 10),
        help="highest learning rate, of the last layer (default: 0.001)",
    )
    parser.add_argument(
        "--weight-decay",
        type=number(0, 10, or_zero=True),
        default=0.05,
        help="pull of the weights towards 0, times the learning rate (default: %(default)s)",
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
    _add_features(parser)
    _add_learning(parser)
    _add_checkpoints(parser, environment)
    parser.set_defaults(run=run)


def _add_features(parser: argparse.ArgumentParser) -> None:
    section = parser.add_argument_group("what the last layer learns from (mode head)")
    section.add_argument(
        "--views",
        type=whole(1, 1000),
        default=1,
        metavar="K",
        help="see each photo in so many ways, as it is and varied by --augment; each costs one more pass, but only "
        "once: an epoch takes one view of each photo, the next epoch the next one (default: %(default)s)",
    )
    section.add_argument(
        "--features",
        type=Path,
        metavar="DIR",
        help="keeps what the frozen layers compute, for all fits and searches with the same photos, until nobody used "
        "it for 30 days; may be removed at any time (default: features in KENNEL_CACHE or the user's cache)",
    )


def _add_learning(parser: argparse.ArgumentParser) -> None:
    section = parser.add_argument_group("how it learns (both modes)")
    section.add_argument(
        "--shape",
        choices=["one-cycle", "cosine"],
        default="one-cycle",
        help="of the learning rate: both warm up and fall along a cosine; one-cycle moves the momentum against it "
        "(default: %(default)s)",
    )
    section.add_argument(
        "--warm-up",
        type=number(0, 1),
        default=0.25,
        metavar="SHARE",
        help="share of the steps in which the learning rate rises (default: %(default)s)",
    )
    section.add_argument(
        "--label-smoothing",
        type=number(0, 1, or_zero=True),
        default=0.0,
        metavar="SHARE",
        help="share of a target for all classes (default: 0)",
    )
    section.add_argument(
        "--class-weights",
        choices=["none", "balanced"],
        default="none",
        help="balanced: photos of a rare class count more in the training loss, so that all classes count the same "
        "(default: %(default)s)",
    )
    section.add_argument(
        "--patience",
        type=whole(1),
        metavar="EPOCHS",
        help="end training after so many epochs in a row that are no better on valid than the best one. The learning "
        "rate falls towards the last epoch of --epochs, so be patient for a third of them (default: train them all)",
    )
    section.add_argument(
        "--precision",
        choices=["float32", "bfloat16"],
        help="of multiplications while every layer learns, or while the frozen ones compute what the last one learns "
        "from; what measures the model, and what serves, is float32 (default: bfloat16 on a GPU that has it and, from "
        "an input of 96 pixels a side, on a CPU that has AMX or AVX512-BF16)",
    )
    section = parser.add_argument_group("how every layer learns (mode full)")
    section.add_argument(
        "--backbone-lr",
        type=number(0, 10),
        metavar="SHARE",
        help="share of --lr for all layers but the last one (default: 0.1 with weights, 1 without)",
    )
    section.add_argument(
        "--ema",
        type=number(0, 1, or_zero=True),
        default=0.0,
        metavar="DECAY",
        help="validate and keep a running average of the weights, such as 0.99 (default: 0, none)",
    )
    section.add_argument(
        "--batch-norm",
        choices=["train", "frozen"],
        default="train",
        help="take the batch's statistics, over all processes, or keep those of the weights, which suits batches of "
        "few photos (default: %(default)s)",
    )


def _add_checkpoints(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    folder = Path(environment["KENNEL_CHECKPOINTS"]) if environment.get("KENNEL_CHECKPOINTS") else None
    if folder is None and "SM_MODEL_DIR" in environment and JOB_CHECKPOINTS.is_dir():
        folder = JOB_CHECKPOINTS
    section = parser.add_argument_group("never lost (mode full; mode head takes moments and begins anew)")
    section.add_argument(
        "--checkpoints",
        type=Path,
        default=folder,
        metavar="DIR",
        help="keeps the last two checkpoints: at intervals, at SIGTERM (exit status 143), at the end (default: "
        f"KENNEL_CHECKPOINTS, or {JOB_CHECKPOINTS} in a SageMaker job that has it)",
    )
    section.add_argument(
        "--checkpoint-minutes",
        type=number(0, 1e6, or_zero=True),
        default=5.0,
        metavar="MINUTES",
        help="the interval (default: %(default)s; 0: every step)",
    )
    section.add_argument("--checkpoint-steps", type=whole(1), metavar="STEPS", help="an interval in steps, too")
    section.add_argument(
        "--resume",
        type=truth,
        nargs="?",
        const=True,
        metavar="yes|no",
        help="go on from the newest checkpoint, if there is one, as if training had never stopped "
        "(default: in a SageMaker job only)",
    )


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Train, and write the artifact; in a tuning job's trial (KENNEL_TRIAL) only train and validate.

    KENNEL_ABOUT is JSON that the manifest is to have, too.
    """
    keep_memory()
    with group(environment):
        check_weights(options.weights, options.weights_key)
        splits = folders(options.data, environment, division(options), test=not options.no_test)
        from training.fit.options import Options
        from training.pipeline.fit import fit, run_trial  # PyTorch takes seconds to import; mistakes above should not

        if options.resume is None:
            options.resume = options.checkpoints is not None and "SM_MODEL_DIR" in environment
        values = {name: value for name, value in vars(options).items() if name not in ("command", "data", "run")}
        fit_options = Options(folders=splits, **values)
        if environment.get("KENNEL_TRIAL"):
            run_trial(fit_options)
        else:
            fit(fit_options, json.loads(environment.get("KENNEL_ABOUT", "{}")))
    return 0
