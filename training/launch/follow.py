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
from training.launch.run import Look, Run
from training.launch.site import Site

MANIFEST, REPORT = "model.json", "report.html"

POLL_SECONDS = 3.0
LATE_SECONDS = 5.0
"""How long CloudWatch may take with a run's last lines."""


def follow(aws: Aws, run: Run, poll_seconds: float = POLL_SECONDS) -> Look:
    """Show what a run does until nothing more will come of it, and return how it ended.

    Raises
    ------
    TrainingError
        AWS cannot be asked any more; the run goes on.
    """
    while True:
        look = _Following(aws, run, poll_seconds)()
        if look.state != "interrupted":
            return look
        say("Status", f"interrupted: {look.detail}")
        with explained():
            if not run.again():
                return Look("failed", look.detail, "its spot instances were taken away too often")
        say("Status", "another instance goes on from the last checkpoint")


def bring_home(aws: Aws, site: Site, run: Run, out: Path) -> Path:
    """Write ``report.html`` and ``model.json`` of a run that has completed, and return the path of the latter.

    `./kennel cdk deploy` reads it next.

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


class _Following:
    def __init__(self, aws: Aws, run: Run, poll_seconds: float) -> None:
        self.run, self.poll_seconds = run, poll_seconds
        # A tuning job's trials print side by side; its state says what came of them.
        self.tail = LogTail(aws, run.log_group, f"{run.name}/") if run.kind != "tuning" else None
        self.seen = ""

    def __call__(self) -> Look:
        with console.status(f"{self.run.name}") as status:
            while True:
                with explained():
                    look = self.run.look()
                if look.detail != self.seen:
                    say("Status", look.detail)
                    status.update(f"{self.run.name}: {look.detail}")
                    self.seen = look.detail
                self._print()
                if look.over:
                    if self.tail is not None:
                        time.sleep(min(LATE_SECONDS, self.poll_seconds))
                        self._print()
                        self._excuse(look)
                    return look
                time.sleep(self.poll_seconds)

    def _print(self) -> None:
        if self.tail is None:
            return
        try:
            with explained():
                for line in self.tail.lines():
                    console.print(line, markup=False)
        except TrainingError as error:
            say("Log", f"cannot be read: {error}")
            self.tail = None

    def _excuse(self, look: Look) -> None:
        """Show the end of a log that never came to Kennel's own words."""
        if look.state == "failed" and self.tail is not None and not self.tail.begun:
            for line in self.tail.before:
                console.print(line, markup=False)
