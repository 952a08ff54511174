"""SageMaker's operations on training jobs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.core.account import Account
from local.core.errors import ServiceError, validation_error
from local.core.json_service import Parameters
from local.core.listing import list_jobs
from local.core.tags import Tags
from local.sagemaker.training.job import GRACE_SECONDS, Logs, TrainingJob
from local.sagemaker.training.request import check_data, check_request

INTERRUPTION_TAG = "local:interrupt-after-seconds"
"""Tag of a managed spot job, from its creation on or added later: after so many seconds of training its hosts are taken
away, once."""

SUMMARY = (
    "TrainingJobName",
    "TrainingJobArn",
    "CreationTime",
    "TrainingEndTime",
    "LastModifiedTime",
    "TrainingJobStatus",
    "SecondaryStatus",
)


class TrainingJobs:
    """The operations of training jobs.

    Parameters
    ----------
    account, logs
        Where the jobs' roles are assumed, and what takes their logs.
    tags
        Where the service keeps its resources' tags.
    directory
        For the jobs' files.
    python
        Interpreter of the environment that has AWS's training toolkit.
    time_scale
        Shortens the grace after SIGTERM; how long a job may run is real time.
    """

    def __init__(
        self, account: Account, logs: Logs, tags: Tags, directory: Path, python: Path, time_scale: float
    ) -> None:
        self._account, self._logs, self._tags = account, logs, tags
        self._directory = directory
        self._python = python
        self._grace = GRACE_SECONDS / time_scale
        self._jobs: dict[str, TrainingJob] = {}

    def create_training_job(self, request: Parameters) -> Parameters:
        """Start a job in the background."""
        self.check(request)
        return {"TrainingJobArn": self.launch(request).arn}

    def check(self, request: Parameters) -> None:
        """Refuse a request as CreateTrainingJob does.

        Raises
        ------
        ServiceError
            It cannot be run.
        """
        if job := self._jobs.get(request["TrainingJobName"]):
            raise ServiceError(
                "ResourceInUse",
                "Training job names must be unique within an AWS account and region, and a training job with this name "
                f"already exists ({job.arn})",
            )
        check_request(request)
        if not self._python.exists():
            raise validation_error(
                f"The embedded AWS starts training jobs with {self._python}, which does not exist: "
                "create it with `make .venv-training/ready`, or start the embedded AWS with --training-python."
            )
        check_data(request, self._account)

    def launch(self, request: Mapping[str, Any], **facts: str) -> TrainingJob:
        """Start a job whose request has been checked.

        `facts` are further members of its description, for example ``TuningJobArn``.
        """
        job = TrainingJob(
            {**request, **facts},
            self._directory / str(request["TrainingJobName"]),
            self._account,
            self._logs,
            self._python,
            grace=self._grace,
            is_interrupted=lambda trained: self._take_interruption(job, trained),
        )
        self._jobs[job.name] = job
        self._tags.add(job.arn, dict(request))
        job.begin()
        return job

    def _take_interruption(self, job: TrainingJob, trained: float) -> bool:
        """Return whether it is time for the interruption that a tag asks for, and remove the tag if it is."""
        resource = {"ResourceArn": job.arn}
        tags = {tag["Key"]: tag["Value"] for tag in self._tags.list_tags(resource)["Tags"]}
        seconds = tags.get(INTERRUPTION_TAG)
        if seconds is None or trained < float(seconds) or not job.request.get("EnableManagedSpotTraining"):
            return False
        self._tags.delete_tags({**resource, "TagKeys": [INTERRUPTION_TAG]})
        return True

    def describe_training_job(self, request: Parameters) -> Parameters:
        """Return a job's request, status and outcome."""
        return self._job(request["TrainingJobName"]).describe()

    def list_training_jobs(self, request: Parameters) -> Parameters:
        """List jobs."""
        jobs = [job.describe() for job in list(self._jobs.values())]
        return list_jobs(jobs, request, "TrainingJob", "TrainingJobSummaries", SUMMARY)

    def stop_training_job(self, request: Parameters) -> None:
        """Send a job SIGTERM in the background, and SIGKILL after the grace."""
        job = self._job(request["TrainingJobName"])
        if job.ended.is_set():
            raise validation_error(f"The request was rejected because the training job is in status {job.status}.")
        job.stop()

    def _job(self, name: str) -> TrainingJob:
        if name not in self._jobs:
            raise validation_error("Requested resource not found.")
        return self._jobs[name]
