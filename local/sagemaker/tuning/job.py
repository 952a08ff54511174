"""A hyperparameter tuning job's life: training jobs side by side, one after another, and the best of them."""

import logging
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from local.core.errors import ServiceError
from local.core.names import arn
from local.sagemaker.training.job import TrainingJob
from local.sagemaker.tuning.search import generate_candidates, grid_size

log = logging.getLogger(__name__)

GIVE_UP = 5
"""Training jobs that may fail in a row from the start before a tuning job gives up (its FailureReason says so)."""

DEFAULT_JOBS = 20
"""``MaxNumberOfTrainingJobs`` where a request leaves it out; AWS then goes by its other limits."""


class Launcher(Protocol):
    """Starts training jobs."""

    def check(self, request: dict[str, Any]) -> None:
        """Refuse a request that cannot be run."""

    def launch(self, request: Mapping[str, Any], **facts: str) -> TrainingJob:
        """Start a job whose request has been checked."""


class TuningJob:
    """A tuning job from its creation on.

    Parameters
    ----------
    request
        ``CreateHyperParameterTuningJob``'s parameters, already checked.
    launcher
        Starts its training jobs.
    """

    def __init__(self, request: Mapping[str, Any], launcher: Launcher) -> None:
        self.request = request
        self.name = str(request["HyperParameterTuningJobName"])
        self.arn = arn("sagemaker", f"hyper-parameter-tuning-job/{self.name}")
        self.status = "InProgress"
        self.created = self.modified = time.time()
        self.ended = threading.Event()
        self._launcher = launcher
        self._jobs: list[tuple[TrainingJob, dict[str, str]]] = []
        self._facts: dict[str, Any] = {}
        self._stopping = threading.Event()
        config = request["HyperParameterTuningJobConfig"]
        self._strategy = str(config["Strategy"])
        self._ranges = config["ParameterRanges"]
        self._objective = config["HyperParameterTuningJobObjective"]
        self._seed = config.get("RandomSeed")
        self._limits = config["ResourceLimits"]

    def begin(self) -> None:
        """Run in the background."""
        threading.Thread(target=self._run, name=f"tuning {self.name}", daemon=True).start()

    def stop(self) -> None:
        """Stop the training jobs that run, and start no more."""
        if not self.ended.is_set():
            self.status = "Stopping"
            self._stopping.set()

    # What it tells

    def describe(self) -> dict[str, Any]:
        """Return what DescribeHyperParameterTuningJob does."""
        summaries = self.training_jobs()
        scored = [summary for summary in summaries if "FinalHyperParameterTuningJobObjectiveMetric" in summary]
        best = max(scored, key=self._merit, default=None)
        return {
            **{member: value for member, value in self.request.items() if member != "Tags"},
            "HyperParameterTuningJobArn": self.arn,
            "HyperParameterTuningJobStatus": self.status,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "TrainingJobStatusCounters": self._count_statuses(summaries),
            "ObjectiveStatusCounters": {
                status: sum(summary["ObjectiveStatus"] == status for summary in summaries)
                for status in ("Succeeded", "Pending", "Failed")
            },
            **({"BestTrainingJob": best} if best else {}),
            **self._facts,
        }

    def training_jobs(self) -> list[dict[str, Any]]:
        """Return the summaries of its training jobs, the oldest first."""
        return [self._summary(job, tuned) for job, tuned in list(self._jobs)]

    def _summary(self, job: TrainingJob, tuned: dict[str, str]) -> dict[str, Any]:
        described = job.describe()
        members = ("TrainingStartTime", "TrainingEndTime", "FailureReason")
        summary = {
            "TrainingJobName": job.name,
            "TrainingJobArn": job.arn,
            "CreationTime": job.created,
            "LastModifiedTime": job.modified,
            "TrainingJobStatus": job.status,
            "TunedHyperParameters": tuned,
            "ObjectiveStatus": "Pending",
            **{member: described[member] for member in members if member in described},
        }
        name = self._objective["MetricName"]
        value = next((metric["Value"] for metric in job.metrics.final if metric["MetricName"] == name), None)
        if job.ended.is_set():
            # A job that was stopped counts with what it had reached (API reference, ObjectiveStatus).
            counts = value is not None and job.status in ("Completed", "Stopped")
            summary["ObjectiveStatus"] = "Succeeded" if counts else "Failed"
            if counts:
                metric = {"Type": self._objective["Type"], "MetricName": name, "Value": value}
                summary["FinalHyperParameterTuningJobObjectiveMetric"] = metric
        return summary

    def _merit(self, summary: Mapping[str, Any]) -> float:
        value = float(summary["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])
        return value if self._objective["Type"] == "Maximize" else -value

    @staticmethod
    def _count_statuses(summaries: list[dict[str, Any]]) -> dict[str, int]:
        counts = Counter(str(summary["TrainingJobStatus"]) for summary in summaries)
        return {
            "Completed": counts["Completed"],
            "InProgress": counts["InProgress"] + counts["Stopping"],
            "RetryableError": 0,
            "NonRetryableError": counts["Failed"],
            "Stopped": counts["Stopped"],
        }

    # From start to end

    def _run(self) -> None:
        outcome = "Failed"
        try:
            outcome = self._search()
        except ServiceError as error:
            self._facts["FailureReason"] = str(error)[:1024]
        except Exception:
            log.exception("tuning job %s", self.name)
            self._facts["FailureReason"] = "InternalServerError: We encountered an internal error."
        self.modified = self._facts["HyperParameterTuningEndTime"] = time.time()
        self.status = outcome
        self.ended.set()

    def _search(self) -> str:
        wanted = int(self._limits.get("MaxNumberOfTrainingJobs", DEFAULT_JOBS))
        if self._strategy == "Grid":
            wanted = grid_size(self._ranges)
        hosts = int(self.request["TrainingJobDefinition"]["ResourceConfig"]["InstanceCount"])
        side_by_side = min(int(self._limits["MaxParallelTrainingJobs"]), max(1, (os.cpu_count() or 1) // hosts))
        room = threading.Semaphore(side_by_side)
        search = generate_candidates(self._ranges, self._strategy, self._seed)
        for number in range(1, wanted + 1):
            self._wait_for(room)
            if self._stopping.is_set():
                break
            if reason := self._find_reason_to_give_up():
                self._facts["FailureReason"] = reason
                break
            self._launch(number, next(search), room)
        for job, _ in self._jobs:
            while not job.ended.wait(0.1):
                if self._stopping.is_set():
                    job.stop()
        if self._stopping.is_set():
            return "Stopped"
        if not any(job.status == "Completed" for job, _ in self._jobs):
            self._facts.setdefault("FailureReason", "No training job succeeded.")
            return "Failed"
        return "Completed"

    def _wait_for(self, room: threading.Semaphore) -> None:
        while not room.acquire(timeout=0.1):
            if self._stopping.is_set():
                return

    def _find_reason_to_give_up(self) -> str | None:
        ended = [job for job, _ in self._jobs if job.ended.is_set()]
        if len(ended) < GIVE_UP or any(job.status != "Failed" for job in ended):
            return None
        return (
            f"No training job succeeded after {GIVE_UP} attempts. For additional details, please take a look at the "
            "training job failures by listing training jobs for the hyperparameter tuning job."
        )

    def _launch(self, number: int, tuned: dict[str, str], room: threading.Semaphore) -> None:
        request = self.training_request(f"{self.name}-{number:03}-{uuid.uuid4().hex[:8]}", tuned)
        job = self._launcher.launch(request, TuningJobArn=self.arn)
        self._jobs.append((job, tuned))

        def make_room() -> None:
            job.ended.wait()
            room.release()

        threading.Thread(target=make_room, name=f"after {job.name}", daemon=True).start()

    def training_request(self, name: str, tuned: Mapping[str, str]) -> dict[str, Any]:
        """Return CreateTrainingJob's parameters for one try.

        Parameters
        ----------
        name
            The training job's.
        tuned
            The hyperparameters that the search chose.
        """
        definition = dict(self.request["TrainingJobDefinition"])
        static = definition.pop("StaticHyperParameters", {})
        for member in ("DefinitionName", "TuningObjective", "HyperParameterRanges"):
            definition.pop(member, None)
        return {
            **definition,
            "TrainingJobName": name,
            # The toolkit keeps this one from the script's arguments (sagemaker-training, params.py).
            "HyperParameters": {
                **static,
                **tuned,
                "_tuning_objective_metric": self._objective["MetricName"],
            },
            "Tags": self.request.get("Tags", []),
        }
