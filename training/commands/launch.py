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
    from training.launch.job_spec import JobSpec
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
    from training.common.aws import Aws  # boto3, and more below
    from training.launch.state import find_run

    aws = Aws()
    if options.stop is not None:
        _, launched = find_run(aws, options.stop, options.environment, options.out)
        _stop(launched)
        return 0
    if options.attach is not None:
        site, launched = find_run(aws, options.attach, options.environment, options.out)
        return _follow(aws, site, launched, options.out)
    site, launched = _start(aws, options)
    if not options.detach:
        return _follow(aws, site, launched, options.out)
    from training.common.console import say

    say("", f"follow it with `{COMMAND} --attach {launched.name}`")
    _remind(launched)
    return 0


def _stop(run: "Run") -> None:
    from training.common.aws_errors import explained
    from training.common.console import say

    with explained():
        stopping = run.stop()
    if stopping:
        say("Stopping", f"{run.name}; `--attach {run.name}` shows its end")
    else:
        say("Ended", f"{run.name}: there is nothing to stop")


def _start(aws: "Aws", options: argparse.Namespace) -> tuple["Site", "Run"]:
    from training.common.aws_errors import explained
    from training.common.console import say
    from training.launch.ec2 import Instance
    from training.launch.job_spec import SAGEMAKER_TYPE
    from training.launch.sagemaker import TrainingJob, TuningJob
    from training.launch.site import find_site
    from training.launch.state import LaunchedRun, remember

    check_weights(_given(options.weights), _given(options.weights_key))
    _check(options)
    space = _space(options)
    site = find_site(aws, options.environment)
    spec = _job_spec(aws, site, options, space)
    with explained():
        run: Run
        if options.on == "ec2":
            run = Instance.start(aws, spec)
        else:
            run = (TuningJob if spec.trials else TrainingJob).start(aws, spec)
    where = "an EC2 instance" if options.on == "ec2" else f"{spec.instances} x {spec.instance_type or SAGEMAKER_TYPE}"
    say("Launched", f"{spec.name} on {where}{' spot' if spec.spot else ''} in {site.region}")
    if spec.trials:
        at_a_time = min(spec.parallel, spec.trials)
        say("", f"{spec.trials} trials, {at_a_time} at a time; then one more job fits the best settings and tests once")
    try:
        remember(options.out, LaunchedRun(spec.name, run.kind, site.environment))
    except (TrainingError, OSError) as error:  # it runs all the same: whoever reads this must get its name
        raise TrainingError(f"{error}; {spec.name} was started: `--attach {spec.name}`, or `--stop`") from error
    return site, run


def _check(options: argparse.Namespace) -> None:
    """Refuse what could only fail on AWS, after minutes and for money."""
    on_ec2, tuning = options.on == "ec2", bool(options.tune)
    refusals = (
        (options.data is None, "--data DIR or s3://... is needed; `./kennel sample data/digits` writes photos"),
        (
            on_ec2 and options.instances > 1,
            "--on ec2 trains on one instance, with all its GPUs; --on sagemaker takes several",
        ),
        (on_ec2 and tuning, "--tune is a SageMaker tuning job: leave out --on ec2"),
        (options.resume and tuning, "--resume goes on with one training: leave out --tune"),
        (options.space and not tuning, "--space is what --tune tries: give --tune N too"),
        (not _writable(options.out), f"--out {options.out} cannot be written; give another folder"),
    )
    for refused, message in refusals:
        if refused:
            raise TrainingError(message)
    _check_instance_type(options.instance_type, options.on)
    _check_fit(options)


def _check_instance_type(name: str | None, service: str) -> None:
    if name and name.startswith("ml.") != (service == "sagemaker"):
        better = name.removeprefix("ml.") if service == "ec2" else f"ml.{name}"
        raise TrainingError(f"--instance-type {name}: on {service} it is {better}")


def _check_fit(options: argparse.Namespace) -> None:
    """Refuse what ``fit`` itself would refuse there."""
    values = {name: _given(value) for name, value in vars(options).items() if name in _names()}
    if _is_file(values["weights"]) and not Path(values["weights"]).is_file():
        raise TrainingError(f"--weights {values['weights']}: there is no such file")
    from training.fit.options import Options, configure

    configure(Options(folders={}, out=options.out, **values))


def _job_spec(aws: "Aws", site: "Site", options: argparse.Namespace, space: Mapping[str, "Range"]) -> "JobSpec":
    from training.common.aws_errors import explained
    from training.launch.job_spec import JobSpec, new_name
    from training.launch.photos import check_checkpoints, locate
    from training.launch.places import WEIGHTS
    from training.launch.source import upload_file, upload_source

    if options.resume:
        check_checkpoints(aws, site, options.resume)
    fit_options = _fit_options(options)
    splits = (
        None
        if "split" in fit_options
        else tuple(split for split in SPLITS if split != "test" or not _given(options.no_test))
    )
    photos, weights = locate(aws, site, options.data, splits), None
    if _is_file(fit_options.get("weights", "")):
        with explained():
            weights = site.uri(upload_file(aws.bucket(site.bucket), WEIGHTS, Path(fit_options.pop("weights"))))
    return JobSpec(
        new_name(site.environment),
        site,
        photos,
        upload_source(aws, site),
        options=fit_options,
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


def _follow(aws: "Aws", site: "Site", launched: "Run", out: Path) -> int:
    from training.common.aws_errors import explained
    from training.common.console import say
    from training.launch.follow import download_result, follow

    run = launched
    try:
        while True:
            status = follow(aws, run)
            with explained():
                next_run = run.next_run() if status.state == "completed" else None
            if next_run is None:
                break
            run = next_run
        if status.state == "completed":
            download_result(aws, site, run, out)
            return 0
    except KeyboardInterrupt:
        say("Detached", f"{run.name} goes on: `{COMMAND} --attach {launched.name}` follows it, `--stop` ends it")
        _remind(run)
        return 130
    except (TrainingError, OSError) as error:
        raise TrainingError(f"{error}; {run.name} is still there: `{COMMAND} --attach {launched.name}`") from error
    again = "" if run is launched else "; with the settings above, `launch` without --tune tries once more"
    if status.state == "failed":
        raise TrainingError(f"{run.name} failed: {status.reason or status.detail}{again}")
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

    return left_open(options.space or SEARCH, [name.replace("-", "_") for name in _fit_options(options)])


def _fit_options(options: argparse.Namespace) -> dict[str, str]:
    """Return the options of ``fit`` that were given, as a job's hyperparameters."""
    given = {name: value for name, value in vars(options).items() if not isinstance(value, Default)}
    return {name.replace("_", "-"): str(given[name]) for name in sorted(_names() & given.keys())}


def _given(value: Any) -> Any:
    return value.value if isinstance(value, Default) else value


def _names() -> set[str]:
    return set(vars(fit_parser().parse_args([]))) - NOT_OF_FIT


def _writable(folder: Path) -> bool:
    """Return whether a folder can be written, or made."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _is_file(weights: str) -> bool:
    return "/" in weights or weights.endswith(".safetensors") or Path(weights).is_file()
