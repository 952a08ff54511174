"""``launch.json``: what was started from here, and the run that a name means."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from training.common.aws import Aws
from training.common.aws_errors import explained
from training.common.errors import TrainingError
from training.common.files import sync_folder
from training.launch.ec2 import Instance
from training.launch.run import Run
from training.launch.sagemaker import TrainingJob, TuningJob
from training.launch.site import Site, find_site

KEPT = 50


@dataclass(frozen=True)
class LaunchedRun:
    """A run, and where it goes on.

    Parameters
    ----------
    kind
        ``training``, ``tuning`` or ``instance``.
    """

    name: str
    kind: str
    environment: str


def remember(out: Path, run: LaunchedRun) -> None:
    """Put a run in front of the others.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        others = [other for other in launched_runs(out) if other.name != run.name]
        partial = out / ".launch.json.incomplete"
        text = json.dumps({"schema": 1, "runs": [asdict(each) for each in [run, *others][:KEPT]]}, indent=2)
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(out / "launch.json")
        sync_folder(out)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other launch changes the folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def launched_runs(out: Path) -> list[LaunchedRun]:
    """Return the runs, the latest first.

    Raises
    ------
    TrainingError
        The file is not one of ours.
    """
    file = out / "launch.json"
    if not file.exists():
        return []
    try:
        return [LaunchedRun(**members) for members in json.loads(file.read_bytes())["runs"]]
    except (ValueError, LookupError, TypeError):
        raise TrainingError(f"{file} is damaged; remove it, and give --attach the run's name") from None


def find_run(aws: Aws, name: str, environment: str, out: Path) -> tuple[Site, Run]:
    """Return a run that was started here or elsewhere.

    Parameters
    ----------
    name
        Empty: the latest that was started here.
    environment
        Where to look for one that was started elsewhere.
    out
        The folder that has ``launch.json``.

    Raises
    ------
    TrainingError
        There is none of that name.
    """
    record = next((run for run in launched_runs(out) if name in ("", run.name)), None)
    if record:
        site = find_site(aws, record.environment)
        return site, _run(aws, site, record)
    if not name:
        raise TrainingError(f"nothing was launched from here ({out / 'launch.json'} is missing): name the run")
    site = find_site(aws, environment)
    with explained():
        for run in (TrainingJob(aws, name), TuningJob(aws, site, name), Instance(aws, site, name)):
            if run.exists():
                return site, run
    raise TrainingError(f"{site.environment} has no run {name} in {site.region}; is --environment right?")


def _run(aws: Aws, site: Site, record: LaunchedRun) -> Run:
    if record.kind == "training":
        return TrainingJob(aws, record.name)
    return TuningJob(aws, site, record.name) if record.kind == "tuning" else Instance(aws, site, record.name)
