"""A training job's life: its hosts from start to end, its statuses, and what it leaves."""

import logging
import math
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from local.container.logs import LogSource, LogTail
from local.core.account import Account, Credentials
from local.core.errors import JobError, ServiceError
from local.core.names import arn
from local.core.ports import free_port
from local.sagemaker.training.channels import download_channel
from local.sagemaker.training.checkpoints import Checkpoints
from local.sagemaker.training.host import BASE, HostPlace, TrainingHost
from local.sagemaker.training.metrics import JobMetrics
from local.sagemaker.training.output import model_uri, require_key, upload_outputs

log = logging.getLogger(__name__)

GRACE_SECONDS = 120.0
"""Between SIGTERM and SIGKILL (API reference, StopTrainingJob)."""

WATCH_SECONDS = 0.1
SYNC_SECONDS = 1.0
"""How often checkpoints and metrics are looked for."""

MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "The Spot instances were interrupted.",
    "Stopping": "Stopping the training job",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}
"""Secondary statuses, with SageMaker's messages where they are known."""


class Logs(Protocol):
    """Takes what hosts print."""

    def follow(self, source: LogSource) -> None:
        """Take the lines of a log from now on."""

    def finish(self, source: LogSource) -> None:
        """Take its last lines."""


class TrainingJob:
    """A job from its creation on.

    Parameters
    ----------
    request
        ``CreateTrainingJob``'s parameters, already checked.
    directory
        For the hosts' files.
    account, logs
        Where the job's role is assumed, and what takes its log.
    python
        Interpreter of the environment that has AWS's training toolkit.
    grace
        Seconds between SIGTERM and SIGKILL.
    is_interrupted
        Told the seconds that the hosts have trained; whether they are taken away now, as Spot instances are.
    """

    def __init__(
        self,
        request: Mapping[str, Any],
        directory: Path,
        account: Account,
        logs: Logs,
        python: Path,
        *,
        grace: float,
        is_interrupted: Callable[[float], bool],
    ) -> None:
        self.request = request
        self.name = str(request["TrainingJobName"])
        self.arn = arn("sagemaker", f"training-job/{self.name}")
        self.created = self.modified = time.time()
        self.status = "InProgress"
        self.metrics = JobMetrics(request["AlgorithmSpecification"].get("MetricDefinitions", ()))
        self.ended = threading.Event()
        self._directory = directory
        self._account, self._logs, self._python = account, logs, python
        self._grace = grace
        self._is_interrupted = is_interrupted
        self._stopping = threading.Event()
        self._transitions: list[dict[str, Any]] = []
        self._facts: dict[str, Any] = {}
        self._trained = 0.0
        self._move("Starting")

    def begin(self) -> None:
        """Run in the background."""
        threading.Thread(target=self._run, name=f"training {self.name}", daemon=True).start()

    def stop(self) -> None:
        """Ask for the end; a job that has ended is left alone."""
        if not self.ended.is_set() and not self._stopping.is_set():
            self.status = "Stopping"
            self._move("Stopping")
            self._stopping.set()

    @property
    def secondary_status(self) -> str:
        """The newest of the transitions."""
        return str(self._transitions[-1]["Status"])

    def describe(self) -> dict[str, Any]:
        """Return what DescribeTrainingJob does."""
        return {
            **{member: value for member, value in self.request.items() if member != "Tags"},
            "TrainingJobArn": self.arn,
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary_status,
            "SecondaryStatusTransitions": [dict(transition) for transition in self._transitions],
            "ModelArtifacts": {"S3ModelArtifacts": model_uri(self.request)},
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "FinalMetricDataList": self.metrics.final,
            **self._facts,
        }

    # From start to end

    def _run(self) -> None:
        outcome, reason = "Failed", ""
        try:
            outcome = self._train()
        except (JobError, ServiceError) as error:
            reason = str(error)
        except Exception:
            log.exception("training job %s", self.name)
            reason = "InternalServerError: We encountered an internal error. Please see the gateway's log."
        if reason:
            self._facts["FailureReason"] = reason[:1024]
        if self._trained:
            seconds = max(1, math.ceil(self._trained))
            self._facts |= {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}
        self._facts["TrainingEndTime"] = time.time()
        self._move(outcome)
        self.status = "Stopped" if outcome == "MaxRuntimeExceeded" else outcome
        self._transitions[-1]["EndTime"] = time.time()
        self.ended.set()

    def _train(self) -> str:
        """Run the hosts, again after an interruption, upload what they leave, and return the last secondary status."""
        role = self._account.assume(str(self.request["RoleArn"]), "sagemaker", "SageMaker")
        outcome = "Interrupted"
        while outcome == "Interrupted":
            hosts = self._make_hosts()
            try:
                outcome = self._attempt(hosts, role)
                if outcome in ("Completed", "Stopped", "MaxRuntimeExceeded") and self._trained:
                    self._move("Uploading")
                    folders = [[host.path(part) for host in hosts] for part in ("model", "output/data")]
                    require_key(self._account.client("kms", role), self.request)
                    upload_outputs(self._account.client("s3", role), self.request, *folders)
            finally:
                for host in hosts:
                    host.kill()
                    self._logs.finish(host)
                    host.clean()
            if outcome == "Interrupted":
                shutil.rmtree(self._directory)
                self._move("Starting")
        shutil.rmtree(self._directory, ignore_errors=True)
        return outcome

    def _make_hosts(self) -> list[TrainingHost]:
        count, port = int(self.request["ResourceConfig"]["InstanceCount"]), free_port()
        return [
            TrainingHost(
                self.request,
                HostPlace(number, count, port),
                self._directory / f"algo-{number}",
                self._account,
                self._python,
            )
            for number in range(1, count + 1)
        ]

    def _attempt(self, hosts: list[TrainingHost], role: Credentials) -> str:
        s3 = self._account.client("s3", role)
        self._move("Downloading")
        for host in hosts:
            host.prepare()
        for channel in self.request.get("InputDataConfig", ()):
            folders = [host.path("input/data") for host in hosts]
            download_channel(s3, channel, folders, str(self.request["RoleArn"]))
        checkpoints = self._restore_checkpoints(hosts, s3)
        if self._stopping.is_set():
            return "Stopped"
        self._move("Training")
        self._facts.setdefault("TrainingStartTime", time.time())
        started = time.monotonic()
        for host in hosts:
            host.log.touch()
            host.start(role)
            self._logs.follow(host)
        tails, cloudwatch = [LogTail(host.log) for host in hosts], self._account.client("cloudwatch", role)
        try:
            outcome = self._watch(hosts, lambda: self._sync(tails, cloudwatch, checkpoints))
        finally:
            self._trained += time.monotonic() - started
        return outcome

    def _restore_checkpoints(self, hosts: list[TrainingHost], s3: Any) -> Checkpoints | None:
        config = self.request.get("CheckpointConfig")
        if not config:
            return None
        local = config.get("LocalPath", f"{BASE}/checkpoints")
        checkpoints = Checkpoints(s3, config["S3Uri"], [host.path(local) for host in hosts])
        checkpoints.restore()
        return checkpoints

    def _watch(self, hosts: list[TrainingHost], sync: Callable[[], None]) -> str:
        """Follow the hosts until the job is over, and return how it ended.

        Parameters
        ----------
        sync
            Takes over what the hosts have written so far.

        Raises
        ------
        JobError
            A container failed.
        """
        started = time.monotonic()
        deadline = started + self.request["StoppingCondition"].get("MaxRuntimeInSeconds", 86400) - self._trained
        outcome, kill_at, sync_at = "Completed", math.inf, started
        while not _are_over(hosts) and (now := time.monotonic()) < kill_at:
            if kill_at == math.inf and (asked := self._asked_to_end(now - started, now > deadline)):
                outcome, kill_at = asked, now + self._grace
                for host in hosts:
                    host.terminate()
            if now >= sync_at:
                sync()
                sync_at = time.monotonic() + SYNC_SECONDS
            time.sleep(WATCH_SECONDS)
        failed = next((host for host in hosts if host.status), None)
        for host in hosts:
            host.kill()  # the others of one that failed, and what outlived the grace
        sync()
        if outcome == "Completed" and failed:
            raise JobError(failed.failure())
        return outcome

    def _asked_to_end(self, trained: float, too_long: bool) -> str | None:
        if self._stopping.is_set():
            return "Stopped"
        if too_long:
            return "MaxRuntimeExceeded"
        if self._is_interrupted(trained):
            self._move("Interrupted")
            return "Interrupted"
        return None

    def _sync(self, tails: list[LogTail], cloudwatch: Any, checkpoints: Checkpoints | None) -> None:
        for tail in tails:
            while lines := tail.read():
                self.metrics.scan(lines)
        self.metrics.publish(cloudwatch, self.name)
        if checkpoints:
            checkpoints.push()

    def _move(self, status: str) -> None:
        now = time.time()
        if self._transitions:
            self._transitions[-1]["EndTime"] = now
        self._transitions.append({"Status": status, "StartTime": now, "StatusMessage": MESSAGES[status]})
        self.modified = now


def _are_over(hosts: list[TrainingHost]) -> bool:
    """Return whether all containers have ended, or one has failed: SageMaker then ends the others."""
    statuses = [host.status for host in hosts]
    return None not in statuses or any(statuses)
