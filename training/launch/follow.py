"""A run from wherever it stands to its end: its states, its log, its model."""

import json
import time
from pathlib import Path
from typing import Any

from training.common.aws import Aws
from training.common.aws_errors import explained
from training.common.console import console, say
from training.common.errors import TrainingError
from training.common.files import publish, workspace
from training.launch import places
from training.launch.logs import LogTail
from training.launch.run import Run, RunStatus
from training.launch.site import Site

MANIFEST, REPORT = "model.json", "report.html"

POLL_SECONDS = 3.0
LATE_SECONDS = 5.0
"""How long CloudWatch may take with a run's last lines."""


def follow(aws: Aws, run: Run, poll_seconds: float = POLL_SECONDS) -> RunStatus:
    """Show what a run does until nothing more will come of it, and return how it ended.

    Parameters
    ----------
    poll_seconds
        Between two questions about its state.

    Raises
    ------
    TrainingError
        AWS cannot be asked any more; the run goes on.
    """
    while True:
        status = _Follower(aws, run, poll_seconds).follow()
        if status.state != "interrupted":
            return status
        say("Status", f"interrupted: {status.detail}")
        with explained():
            if not run.restart():
                return RunStatus("failed", status.detail, "its spot instances were taken away too often")
        say("Status", "another instance goes on from the last checkpoint")


def download_result(aws: Aws, site: Site, run: Run, out: Path) -> Path:
    """Write ``report.html`` and ``model.json`` of a run that has completed, and return the path of the latter.

    `./kennel cdk deploy` reads it next.

    Parameters
    ----------
    out
        The folder that gets them.

    Raises
    ------
    TrainingError
        The run has left no model.
    """
    target = out / MANIFEST
    with explained(), workspace(out.absolute() / run.name) as work:
        names = [MANIFEST]
        for name in (MANIFEST, REPORT):
            if name == REPORT:
                if not _tested(json.loads((work / MANIFEST).read_bytes())):
                    break  # nothing was measured that a report could show
                names.insert(0, REPORT)
            key = places.result_key(run.name, name)
            content = aws.bucket(site.bucket).read_if_exists(key)
            if content is None:
                raise TrainingError(f"{run.name} has left no {name} in {site.uri(key)}")
            (work / name).write_bytes(content)
        manifest = json.loads((work / MANIFEST).read_bytes())
        publish(work, out, names)
    if test := _tested(manifest):
        say("Result", f"test accuracy {test['accuracy']:.4f}; {out / REPORT} shows where it errs")
    else:
        say("Result", "there was no test split: nothing is known of the model's accuracy, and it cannot be deployed")
    say("Artifact", manifest["artifact"]["location"])
    if test:
        say("", f"{target} names it: the next `make deploy ENVIRONMENT={site.environment}` serves it")
    return target


def _tested(manifest: dict[str, Any]) -> dict[str, Any] | None:
    """Return what was measured on the test split; None without one."""
    test: dict[str, Any] | None = manifest["metrics"]["test"]
    return test


class _Follower:
    """Shows the states and the log of a run."""

    def __init__(self, aws: Aws, run: Run, poll_seconds: float) -> None:
        self.run, self.poll_seconds = run, poll_seconds
        # A tuning job's trials print side by side; its state says what came of them.
        self.log = LogTail(aws, run.log_group, f"{run.name}/") if run.kind != "tuning" else None
        self.shown = ""

    def follow(self) -> RunStatus:
        """Return how the run ended, once nothing more will come of it."""
        with console.status(self.run.name) as line:
            while True:
                with explained():
                    status = self.run.status()
                if status.detail != self.shown:
                    say("Status", status.detail)
                    line.update(f"{self.run.name}: {status.detail}")
                    self.shown = status.detail
                self._print_log()
                if status.is_over:
                    self._print_last_lines(status)
                    return status
                time.sleep(self.poll_seconds)

    def _print_log(self) -> None:
        if self.log is None:
            return
        try:
            with explained():
                for line in self.log.lines():
                    console.print(line, markup=False)
        except TrainingError as error:
            say("Log", f"cannot be read: {error}")
            self.log = None

    def _print_last_lines(self, status: RunStatus) -> None:
        """Print what comes late, and of a log that never came to Kennel's own words its end."""
        if self.log is None:
            return
        time.sleep(min(LATE_SECONDS, self.poll_seconds))
        self._print_log()
        if status.state == "failed" and self.log is not None and not self.log.begun:
            for line in self.log.before:
                console.print(line, markup=False)
