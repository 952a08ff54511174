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
        help="write model.tar.gz, model.json, model.safetensors and report.html to DIR (default: %(default)s)",
    )
    parser.add_argument("--arch", default="resnet18", help="any classifier of torchvision (default: %(default)s)")
    parser.add_argument(
        "--weights",
        default="none",
        metavar="DEFAULT|none|FILE",
        help="initial weights: DEFAULT (torchvision's best), another name of torchvision such as IMAGENET1K_V1, a file "
        "that `package` reads, or none (default: %(default)s). They also define the size and normalisation of the "
        "pixels",
    )
    add_weights_key(parser)
    parser.add_argument(
        "--mode",
        choices=["head", "full"],
        help="head trains the last layer on features that are computed once; full trains every layer "
        "(default: head with weights, full without)",
    )
    parser.add_argument(
        "--augment",
        choices=["light", "photo", "none"],
        help="augmentation, for mode full and for --views: light rotates, shifts and scales a little and never "
        "mirrors, so it also suits digits; photo crops at random and mirrors half of the photos "
        "(default: light; none for mode head with one view)",
    )
    parser.add_argument("--epochs", type=whole(1), help="passes over the photos (default: 10 for full, 30 for head)")
    parser.add_argument(
        "--batch-size",
        type=whole(2),
        default=64,
        help="photos per step, of all processes together (default: %(default)s)",
    )
    parser.add_argument(
        "--lr",
        type=number(0, 10),
        help="highest learning rate of the last layer (default: 0.001)",
    )
    parser.add_argument(
        "--weight-decay",
        type=number(0, 10, or_zero=True),
        default=0.05,
        help="weight decay of AdamW (default: %(default)s)",
    )
    parser.add_argument(
        "--image-size",
        type=whole(8, 4096),
        help="pixels of each side of the model's input (default: the weights' own; "
        "without weights the photos' own, at most 224)",
    )
    parser.add_argument(
        "--seed",
        type=whole(0, 2**32 - 1),
        default=0,
        help="random seed; the same seed on the same machine gives the same model (default: 0)",
    )
    _add_features(parser)
    _add_learning(parser)
    _add_checkpoints(parser, environment)
    parser.set_defaults(run=run)


def _add_features(parser: argparse.ArgumentParser) -> None:
    section = parser.add_argument_group("features (mode head)")
    section.add_argument(
        "--views",
        type=whole(1, 1000),
        default=1,
        metavar="K",
        help="views of each photo: the original, and K - 1 that --augment varies. Each view costs one pass of the "
        "backbone. An epoch uses one view of each photo, and the next epoch the next view (default: %(default)s)",
    )
    section.add_argument(
        "--features",
        type=Path,
        metavar="DIR",
        help="folder of the cached features, shared by all fits and searches with the same photos. Features that were "
        "not used for 30 days are removed; you may delete the folder at any time "
        "(default: features in KENNEL_CACHE or the user's cache)",
    )


def _add_learning(parser: argparse.ArgumentParser) -> None:
    section = parser.add_argument_group("training (both modes)")
    section.add_argument(
        "--shape",
        choices=["one-cycle", "cosine"],
        default="one-cycle",
        help="learning-rate schedule. Both warm up and then follow a cosine; one-cycle also varies the momentum, in "
        "the opposite direction (default: %(default)s)",
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
        help="share of each target that is spread over all classes (default: 0)",
    )
    section.add_argument(
        "--class-weights",
        choices=["none", "balanced"],
        default="none",
        help="balanced gives photos of rare classes more weight in the loss, so that all classes count equally "
        "(default: %(default)s)",
    )
    section.add_argument(
        "--patience",
        type=whole(1),
        metavar="EPOCHS",
        help="stop after this many epochs in a row without an improvement on valid. The learning rate falls until the "
        "last epoch, so use about a third of --epochs (default: train all epochs)",
    )
    section.add_argument(
        "--precision",
        choices=["float32", "bfloat16"],
        help="number format of multiplications in training. Evaluation and serving always use float32 (default: "
        "bfloat16 on a GPU that has it and, from an input of 96 pixels a side, on a CPU that has AMX or AVX512-BF16)",
    )
    section = parser.add_argument_group("training of all layers (mode full)")
    section.add_argument(
        "--backbone-lr",
        type=number(0, 10),
        metavar="SHARE",
        help="learning rate of all layers but the last, as a share of --lr (default: 0.1 with weights, 1 without)",
    )
    section.add_argument(
        "--ema",
        type=number(0, 1, or_zero=True),
        default=0.0,
        metavar="DECAY",
        help="validate and keep a running average of the weights with this decay, such as 0.99 "
        "(default: 0, no average)",
    )
    section.add_argument(
        "--batch-norm",
        choices=["train", "frozen"],
        default="train",
        help="train: statistics of the batch, over all processes; frozen: statistics of the weights, for batches of "
        "few photos (default: %(default)s)",
    )


def _add_checkpoints(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    folder = Path(environment["KENNEL_CHECKPOINTS"]) if environment.get("KENNEL_CHECKPOINTS") else None
    if folder is None and "SM_MODEL_DIR" in environment and JOB_CHECKPOINTS.is_dir():
        folder = JOB_CHECKPOINTS
    section = parser.add_argument_group("checkpoints (mode full; mode head starts again from the beginning)")
    section.add_argument(
        "--checkpoints",
        type=Path,
        default=folder,
        metavar="DIR",
        help="folder of the last two checkpoints, written at intervals, at SIGTERM (exit status 143), at Ctrl-C (130) "
        f"and at the end (default: KENNEL_CHECKPOINTS, or {JOB_CHECKPOINTS} in a SageMaker job that has it)",
    )
    section.add_argument(
        "--checkpoint-minutes",
        type=number(0, 1e6, or_zero=True),
        default=5.0,
        metavar="MINUTES",
        help="minutes between two checkpoints (default: %(default)s; 0: every step)",
    )
    section.add_argument(
        "--checkpoint-steps", type=whole(1), metavar="STEPS", help="also write a checkpoint every STEPS steps"
    )
    section.add_argument(
        "--resume",
        type=truth,
        nargs="?",
        const=True,
        metavar="yes|no",
        help="resume from the newest checkpoint, if there is one (default: yes in a SageMaker job, no elsewhere)",
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
