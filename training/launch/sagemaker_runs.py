"""SageMaker's training and tuning jobs as runs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from training.errors import TrainingError
from training.launch.aws import Aws, code_of
from training.launch.order import Order
from training.launch.requests import training_job, tuning_job
from training.launch.run import Look

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
STATES = {"Completed": "completed", "Failed": "failed", "Stopped": "stopped"}
OWN_WORDS = re.compile(r"kennel: (?P<words>[^\n\"]+)")


@dataclass(frozen=True)
class TrainingJob:
    """A training job; SageMaker itself starts an interrupted one again."""

    aws: Aws
    name: str
    kind: str = "training"
    log_group: str = LOG_GROUP

    @classmethod
    def start(cls, aws: Aws, order: Order) -> "TrainingJob":
        """Create the job."""
        aws.sagemaker.create_training_job(**training_job(order))
        return cls(aws, order.name)

    def exists(self) -> bool:
        """Return whether SageMaker has it."""
        return _found(lambda: self.look())

    def look(self) -> Look:
        """See ``Run``."""
        job = self.aws.sagemaker.describe_training_job(TrainingJobName=self.name)
        state = STATES.get(job["TrainingJobStatus"], "running")
        transitions = job.get("SecondaryStatusTransitions", [])
        message = transitions[-1].get("StatusMessage", "") if transitions else ""
        secondary = job["SecondaryStatus"]
        if state == "stopped" and secondary in ("MaxRuntimeExceeded", "MaxWaitTimeExceeded"):
            return Look("failed", secondary, f"{message}; give it more --hours" if message else secondary)
        return Look(state, f"{secondary}: {message}" if message else secondary, reason(job))

    def stop(self) -> None:
        """See ``Run``."""
        self.aws.sagemaker.stop_training_job(TrainingJobName=self.name)

    def again(self) -> bool:
        """See ``Run``."""
        return False

    def winner(self) -> str:
        """See ``Run``."""
        return self.name


@dataclass(frozen=True)
class TuningJob:
    """A tuning job, whose model is that of its best training job."""

    aws: Aws
    name: str
    kind: str = "tuning"
    log_group: str = LOG_GROUP

    @classmethod
    def start(cls, aws: Aws, order: Order) -> "TuningJob":
        """Create the job."""
        aws.sagemaker.create_hyper_parameter_tuning_job(**tuning_job(order))
        return cls(aws, order.name)

    def exists(self) -> bool:
        """Return whether SageMaker has it."""
        return _found(lambda: self._describe())

    def look(self) -> Look:
        """See ``Run``."""
        job = self._describe()
        counts = job["TrainingJobStatusCounters"]
        done, running = counts.get("Completed", 0), counts.get("InProgress", 0)
        failed = counts.get("NonRetryableError", 0) + counts.get("RetryableError", 0)
        detail = f"{done} trials done, {running} running" + (f", {failed} failed" if failed else "")
        if best := job.get("BestTrainingJob"):
            detail += f"; best {_merit(best)} with {_settings(best)}"
        state = STATES.get(job["HyperParameterTuningJobStatus"], "running")
        return Look(state, detail, self._why(job) if state == "failed" else "")

    def stop(self) -> None:
        """See ``Run``."""
        self.aws.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=self.name)

    def again(self) -> bool:
        """See ``Run``."""
        return False

    def winner(self) -> str:
        """See ``Run``.

        Raises
        ------
        TrainingError
            No trial has succeeded.
        """
        best = self._describe().get("BestTrainingJob")
        if not best:
            raise TrainingError(f"no trial of {self.name} has succeeded; {LOG_GROUP} says why")
        return str(best["TrainingJobName"])

    def _describe(self) -> Mapping[str, Any]:
        return self.aws.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=self.name)

    def _why(self, job: Mapping[str, Any]) -> str:
        """Return the tuning job's own reason, and that of a trial, which says more."""
        trials = self.aws.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=self.name, StatusEquals="Failed", MaxResults=1
        )["TrainingJobSummaries"]
        said = [job.get("FailureReason", ""), *(reason(trial) for trial in trials)]
        return " ".join(each for each in said if each)


def reason(job: Mapping[str, Any]) -> str:
    """Return why a job failed: Kennel's own words where there are some, SageMaker's else, in one line."""
    text = str(job.get("FailureReason", ""))
    if found := OWN_WORDS.search(text):
        return " ".join(found["words"].split())
    return " ".join(text.split())


def _found(ask: Any) -> bool:
    try:
        ask()
    except ClientError as error:
        if code_of(error) in ("ValidationException", "ResourceNotFound"):
            return False
        raise
    return True


def _merit(trial: Mapping[str, Any]) -> str:
    metric = trial.get("FinalHyperParameterTuningJobObjectiveMetric")
    return f"{metric['MetricName']}={metric['Value']:.4f}" if metric else "so far"


def _settings(trial: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_short(value)}" for name, value in sorted(trial["TunedHyperParameters"].items()))


def _short(value: str) -> str:
    try:
        return f"{float(value):.3g}"
    except ValueError:
        return value.strip('"')
