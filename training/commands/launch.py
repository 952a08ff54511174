"""``launch``: ``fit`` on AWS, as a SageMaker training or tuning job or on an EC2 instance.

./kennel launch --data data/dogs --arch resnet50 --weights DEFAULT
./kennel launch --data data/dogs --instances 4 --spot --mode full --epochs 30
./kennel launch --data s3://BUCKET/data/dogs/ --tune 20 --parallel 4
./kennel launch --data data/dogs --on ec2 --instance-type g5.xlarge
./kennel launch --attach            the latest; Ctrl-C lets go of it again
./kennel launch --stop RUN

With --tune, trials learn and validate, and leave nothing else. When all have ended, one more job fits the best
settings, tests once and delivers. Whoever follows the search starts it: after --detach or Ctrl-C, whoever attaches.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.commands.arguments import number, whole
from training.commands.search_options import Default, add_like_fit, fit_parser, left_open
from training.common.errors import TrainingError
from training.data.names import SPLITS
from training.model.first_look import check_weights

if TYPE_CHECKING:
    from training.common.aws import Aws
    from training.launch.order import Order
    from training.launch.run import Run
    from training.launch.site import Site
    from training.tuning.space import Range

NOT_OF_FIT = {"command", "data", "out", "run", "checkpoints", "features", "resume"}
"""Options that mean something else here, or nothing: folders of this machine, which a run does not have."""

COMMAND = "./kennel launch"


def add(commands: Any, environment: Mapping[str, str]) -> None:
    """Declare the command: its own arguments, and those of ``fit``."""
    parser = add_like_fit(
        commands,
        "launch",
        summary="fit on AWS: a SageMaker training or tuning job, or an EC2 instance",
        description=__doc__,
        refused=("--checkpoints", "--features"),
        why="it names a folder of this machine, and a run has its own",
    )
    parser.add_argument(
        "--data", default=None, metavar="DIR|s3://", help="the photos: a folder, which is uploaded, or a prefix"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build"),
        metavar="DIR",
        help="gets model.json and launch.json (default: build)",
    )
    section = parser.add_argument_group("where")
    section.add_argument("--on", choices=["sagemaker", "ec2"], default="sagemaker", help="(default: %(default)s)")
    section.add_argument("--environment", default="dev", help="whose stacks are used (default: %(default)s)")
    section.add_argument("--instances", type=whole(1, 100), default=1, help="SageMaker only (default: 1)")
    section.add_argument(
        "--instance-type",
        metavar="TYPE",
        help="such as ml.g5.xlarge or ml.c7i.4xlarge (default: ml.g4dn.xlarge; on EC2 the launch template's)",
    )
    section.add_argument("--spot", action="store_true", help="on spare capacity: cheaper, and interrupted at times")
    section.add_argument(
        "--hours", type=number(0, 120), default=12.0, help="after which training is ended (default: %(default)s)"
    )
    section.add_argument(
        "--disk-gb", type=whole(1, 16384), default=50, metavar="GB", help="of a SageMaker instance (default: 50)"
    )
    section = parser.add_argument_group("tuning")
    section.add_argument("--tune", type=whole(1, 750), metavar="N", help="try N settings, then fit the best once more")
    section.add_argument("--parallel", type=whole(1, 100), default=2, metavar="N", help="at a time (default: 2)")
    section.add_argument(
        "--space", type=Path, metavar="FILE", help="what to try (default: settings/tuning/search.toml)"
    )
    section = parser.add_argument_group("what was launched before")
    section.add_argument(
        "--resume",
        default=None,
        metavar="RUN",
        help="go on from the checkpoints of a run that was stopped or failed, same options",
    )
    section.add_argument("--detach", action="store_true", help="start it, and do not wait for it")
    section.add_argument("--attach", nargs="?", const="", metavar="RUN", help="follow a run (default: the latest)")
    section.add_argument("--stop", nargs="?", const="", metavar="RUN", help="end a run (default: the latest)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Start, follow or stop a run; return 0 when there is a model, or nothing to wait for."""
    from training.common.aws import Aws, explained
    from training.common.console import say  # what follows takes boto3 and more
    from training.launch.state import find

    aws = Aws()
    if options.stop is not None:
        site, found = find(aws, options.stop, options.environment, options.out)
        with explained():
            if found.stop():
                say("Stopping", f"{found.name}; `--attach {found.name}` shows its end")
            else:
                say("Ended", f"{found.name}: there is nothing to stop")
        return 0
    if options.attach is not None:
        site, found = find(aws, options.attach, options.environment, options.out)
    else:
        site, found = _start(aws, options)
        if options.detach:
            say("", f"follow it with `{COMMAND} --attach {found.name}`")
            _remind(found)
            return 0
    return _follow(aws, site, found, options.out)


def _start(aws: "Aws", options: argparse.Namespace) -> tuple["Site", "Run"]:
    from training.common.aws import explained
    from training.common.console import say
    from training.launch.ec2 import Instance
    from training.launch.order import SAGEMAKER_TYPE
    from training.launch.sagemaker import TrainingJob, TuningJob
    from training.launch.site import find_site
    from training.launch.state import Started, remember

    check_weights(_given(options.weights), _given(options.weights_key))
    _check(options)
    space = _space(options)
    site = find_site(aws, options.environment)
    order = _order(aws, site, options, space)
    with explained():
        found: Run
        if options.on == "ec2":
            found = Instance.start(aws, order)
        else:
            found = (TuningJob if order.trials else TrainingJob).start(aws, order)
    where = "an EC2 instance" if options.on == "ec2" else f"{order.instances} x {order.instance_type or SAGEMAKER_TYPE}"
    say("Launched", f"{order.name} on {where}{' spot' if order.spot else ''} in {site.region}")
    if order.trials:
        at_a_time = min(order.parallel, order.trials)
        say(
            "", f"{order.trials} trials, {at_a_time} at a time; then one more job fits the best settings and tests once"
        )
    try:
        remember(options.out, Started(order.name, found.kind, site.environment))
    except (TrainingError, OSError) as error:  # it runs all the same: whoever reads this must get its name
        raise TrainingError(f"{error}; {order.name} was started: `--attach {order.name}`, or `--stop`") from error
    return site, found


def _check(options: argparse.Namespace) -> None:
    """Refuse what could only fail on AWS, after minutes and for money."""
    if options.data is None:
        raise TrainingError("--data DIR or s3://... is needed; `./kennel sample data/digits` writes photos")
    if options.on == "ec2" and options.instances > 1:
        raise TrainingError("--on ec2 trains on one instance, with all its GPUs; --on sagemaker takes several")
    if options.on == "ec2" and options.tune:
        raise TrainingError("--tune is a SageMaker tuning job: leave out --on ec2")
    if options.resume and options.tune:
        raise TrainingError("--resume goes on with one training: leave out --tune")
    if options.space and not options.tune:
        raise TrainingError("--space is what --tune tries: give --tune N too")
    if not _writable(options.out):
        raise TrainingError(f"--out {options.out} cannot be written; give another folder")
    kind = options.instance_type
    if kind and kind.startswith("ml.") != (options.on == "sagemaker"):
        better = kind.removeprefix("ml.") if options.on == "ec2" else f"ml.{kind}"
        raise TrainingError(f"--instance-type {kind}: on {options.on} it is {better}")
    asked = {
        name: value.value if isinstance(value, Default) else value
        for name, value in vars(options).items()
        if name in _names()
    }
    if _is_file(asked["weights"]) and not Path(asked["weights"]).is_file():
        raise TrainingError(f"--weights {asked['weights']}: there is no such file")
    from training.fit.options import Options, configure

    configure(Options(folders={}, out=options.out, **asked))


def _order(aws: "Aws", site: "Site", options: argparse.Namespace, space: Mapping[str, "Range"]) -> "Order":
    from training.common.aws import explained
    from training.launch.order import Order, new_name
    from training.launch.photos import check_checkpoints, locate
    from training.launch.places import WEIGHTS
    from training.launch.source import upload_file, upload_source

    if options.resume:
        check_checkpoints(aws, site, options.resume)
    chosen = _chosen(options)
    splits = (
        None if "split" in chosen else tuple(each for each in SPLITS if each != "test" or not _given(options.no_test))
    )
    photos, weights = locate(aws, site, options.data, splits), None
    if _is_file(chosen.get("weights", "")):
        with explained():
            weights = site.uri(upload_file(aws.s3, site.bucket, WEIGHTS, Path(chosen.pop("weights"))))
    return Order(
        new_name(site.environment),
        site,
        photos,
        upload_source(aws, site),
        options=chosen,
        instance_type=options.instance_type,
        instances=options.instances,
        spot=options.spot,
        hours=options.hours,
        wait_hours=2 * options.hours,
        disk_gb=options.disk_gb,
        space=space,
        trials=options.tune or 0,
        parallel=options.parallel,
        weights=weights,
        resume=options.resume,
    )


def _follow(aws: "Aws", site: "Site", found: "Run", out: Path) -> int:
    from training.common.aws import explained
    from training.common.console import say
    from training.launch.follow import bring_home, follow

    run = found
    try:
        while True:
            look = follow(aws, run)
            with explained():
                after = run.after() if look.state == "completed" else None
            if after is None:
                break
            run = after
        if look.state == "completed":
            bring_home(aws, site, run, out)
            return 0
    except KeyboardInterrupt:
        say("Detached", f"{run.name} goes on: `{COMMAND} --attach {found.name}` follows it, `--stop` ends it")
        _remind(run)
        return 130
    except (TrainingError, OSError) as error:
        raise TrainingError(f"{error}; {run.name} is still there: `{COMMAND} --attach {found.name}`") from error
    again = "" if run is found else "; with the settings above, `launch` without --tune tries once more"
    if look.state == "failed":
        raise TrainingError(f"{run.name} failed: {look.reason or look.detail}{again}")
    say("Stopped", f"{run.name}; there is no model of it{again}")
    return 1


def _remind(run: "Run") -> None:
    """Say what no search does by itself."""
    from training.common.console import say

    if run.kind == "tuning":
        say("", "when its trials have ended, `--attach` starts the one more job that fits the best settings")


def _space(options: argparse.Namespace) -> dict[str, "Range"]:
    """Return what is to be tried, without what the command line decides."""
    if not options.tune:
        return {}
    from training.tuning.space import SEARCH

    return left_open(options.space or SEARCH, [name.replace("-", "_") for name in _chosen(options)])


def _chosen(options: argparse.Namespace) -> dict[str, str]:
    """Return the options of ``fit`` that were given, as a job's hyperparameters."""
    given = {name: value for name, value in vars(options).items() if not isinstance(value, Default)}
    return {name.replace("_", "-"): str(given[name]) for name in sorted(_names() & given.keys())}


def _given(value: Any) -> Any:
    return value.value if isinstance(value, Default) else value


def _names() -> set[str]:
    return set(vars(fit_parser().parse_args([]))) - NOT_OF_FIT


def _writable(folder: Path) -> bool:
    """Return whether a folder can be written, or made."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _is_file(weights: str) -> bool:
    return "/" in weights or weights.endswith(".safetensors") or Path(weights).is_file()
