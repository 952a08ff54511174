"""What runs in a SageMaker training job: ``fit``, and its artifact to S3; of a tuning job's trial, its metrics alone.

AWS's training toolkit starts this file, by torchrun where there are several processes, with the variables that ``fit``
reads: SM_CHANNEL_*, SM_HPS and SM_MODEL_DIR. Of Kennel's own there are

- KENNEL_RUNS and KENNEL_MODELS: prefixes of S3 for the manifest by the job's name, and for the artifact by its hash;
- KENNEL_TRIAL: this is a trial of a tuning job;
- KENNEL_SEARCH: address in S3 of what the manifest is to say of the search that found the hyperparameters;
- KENNEL_CHECKPOINTS: SageMaker keeps that folder in S3, one for all trials of a tuning job;
- KENNEL_PIDS: gets the processes' ids, so that the container's entry point can hand SIGTERM on to them.
"""

import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path

from training.__main__ import main
from training.common.aws import Aws
from training.common.s3 import split
from training.launch.logs import BEGIN
from training.launch.remote.delivery import deliver


class _Loud(io.TextIOBase):
    """Standard error in which Kennel's own words begin as the toolkit expects of an error.

    It makes a FailureReason of what it finds by the name of one of Python's exceptions (sagemaker-training,
    process.py), and of nothing else.
    """

    def __init__(self, stream: io.TextIOBase) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(f"Exception: {text}" if text.startswith("kennel: ") else text)
        return len(text)

    def flush(self) -> None:
        self.stream.flush()


def run(environment: dict[str, str]) -> int:
    """Train, and bring home the artifact; return the exit status."""
    name = environment["TRAINING_JOB_NAME"]
    with Path(environment["KENNEL_PIDS"]).open("a") as file:
        file.write(f"{os.getpid()}\n")
    os.environ["KENNEL_CACHE"] = str(_cache())
    trial, first = bool(environment.get("KENNEL_TRIAL")), environment.get("RANK", "0") == "0"
    if trial:
        environment["KENNEL_CHECKPOINTS"] += f"/{name}"
    if first and (search := environment.get("KENNEL_SEARCH")):
        environment["KENNEL_ABOUT"] = _read(search)
    if first:
        print(BEGIN, flush=True)  # noqa: T201
    with contextlib.redirect_stderr(_Loud(sys.stderr)):  # type: ignore[arg-type]
        status = main(["fit"], environment)
    if status == 0 and first and not trial:
        made, runs, models = (environment[each] for each in ("SM_MODEL_DIR", "KENNEL_RUNS", "KENNEL_MODELS"))
        deliver(Aws(), Path(made), name, runs, models, ["report.html"])  # the weights are in SageMaker's own archive
    return status


def _read(uri: str) -> str:
    address = split(uri)
    return Aws().bucket(address.bucket).read(address.key).decode()


def _cache() -> Path:
    """Return a folder for what ``fit`` keeps, on the job's own disk, that has the wheels which came with the code."""
    cache = Path(tempfile.gettempdir()) / "kennel"
    cache.mkdir(exist_ok=True)
    for folder in Path(__file__).with_name("wheels").glob("*"):
        with contextlib.suppress(FileExistsError):  # another process was first
            (cache / folder.name).symlink_to(folder)
    return cache


if __name__ == "__main__":
    sys.exit(run(dict(os.environ)))
