"""The run that a name means."""

from pathlib import Path

from training.common.aws import Aws, explained
from training.common.errors import TrainingError
from training.launch.ec2 import Instance
from training.launch.run import Run
from training.launch.sagemaker import TrainingJob, TuningJob
from training.launch.site import Site, find_site
from training.launch.state import Started, recall


def find(aws: Aws, name: str, environment: str, out: Path) -> tuple[Site, Run]:
    """Return a run that was started here or elsewhere.

    Parameters
    ----------
    name
        Empty: the latest that was started here.
    environment
        Where to look for one that was started elsewhere.

    Raises
    ------
    TrainingError
        There is none of that name.
    """
    started = recall(out)
    known = next((each for each in started if each.name == name), None) if name else next(iter(started), None)
    if known is None and not name:
        raise TrainingError(f"nothing was launched from here ({out / 'launch.json'} is missing): name the run")
    site = find_site(aws, known.environment if known else environment)
    if known:
        return site, _run(aws, site, known)
    with explained():
        for run in (TrainingJob(aws, name), TuningJob(aws, site, name), Instance(aws, site, name)):
            if run.exists():
                return site, run
    raise TrainingError(f"{site.environment} has no run {name} in {site.region}; is --environment right?")


def _run(aws: Aws, site: Site, known: Started) -> Run:
    if known.kind == "training":
        return TrainingJob(aws, known.name)
    return TuningJob(aws, site, known.name) if known.kind == "tuning" else Instance(aws, site, known.name)
