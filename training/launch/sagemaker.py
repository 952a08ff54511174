"""SageMaker's training and tuning jobs as runs."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from training.common.aws import Aws
from training.common.aws_errors import code_of
from training.common.console import say
from training.launch import places
from training.launch.best import best_job, best_name, search_facts
from training.launch.job_spec import JobSpec
from training.launch.requests import training_job, tuning_job
from training.launch.run import RunStatus
from training.launch.site import Site

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
    def start(cls, aws: Aws, spec: JobSpec) -> "TrainingJob":
        """Create the job."""
        aws.sagemaker.create_training_job(**training_job(spec))
        return cls(aws, spec.name)

    def exists(self) -> bool:
        """Return whether SageMaker has it."""
        return _exists(self.status)

    def status(self) -> RunStatus:
        """See ``Run``."""
        job = self.aws.sagemaker.describe_training_job(TrainingJobName=self.name)
        state = STATES.get(job["TrainingJobStatus"], "running")
        transitions = job.get("SecondaryStatusTransitions", [])
        message = transitions[-1].get("StatusMessage", "") if transitions else ""
        secondary = job["SecondaryStatus"]
        if state == "stopped" and secondary in ("MaxRuntimeExceeded", "MaxWaitTimeExceeded"):
            return RunStatus("failed", secondary, f"{message}; give it more --hours" if message else secondary)
        return RunStatus(state, f"{secondary}: {message}" if message else secondary, reason(job))

    def stop(self) -> bool:
        """See ``Run``."""
        if self.status().is_over:
            return False
        self.aws.sagemaker.stop_training_job(TrainingJobName=self.name)
        return True

    def restart(self) -> bool:
        """See ``Run``."""
        return False

    def next_run(self) -> None:
        """See ``Run``."""


@dataclass(frozen=True)
class TuningJob:
    """A tuning job, whose trials leave metrics only: the job after it fits the best settings."""

    aws: Aws
    site: Site
    name: str
    kind: str = "tuning"
    log_group: str = LOG_GROUP

    @classmethod
    def start(cls, aws: Aws, spec: JobSpec) -> "TuningJob":
        """Create the job."""
        aws.sagemaker.create_hyper_parameter_tuning_job(**tuning_job(spec))
        return cls(aws, spec.site, spec.name)

    def exists(self) -> bool:
        """Return whether SageMaker has it."""
        return _exists(self._describe)

    def status(self) -> RunStatus:
        """See ``Run``."""
        job = self._describe()
        counts = job["TrainingJobStatusCounters"]
        done, running = counts.get("Completed", 0), counts.get("InProgress", 0)
        failed = counts.get("NonRetryableError", 0) + counts.get("RetryableError", 0)
        detail = f"{done} trials done, {running} running" + (f", {failed} failed" if failed else "")
        if best := job.get("BestTrainingJob"):
            detail += f"; best {_merit(best)} with {_settings(best)}"
        state = STATES.get(job["HyperParameterTuningJobStatus"], "running")
        if state == "completed" and not best:
            return RunStatus("failed", detail, f"no trial has succeeded; {LOG_GROUP} says why")
        return RunStatus(state, detail, self._why(job) if state == "failed" else "")

    def stop(self) -> bool:
        """See ``Run``: whichever of the two jobs is under way."""
        if self.status().is_over:
            return self._last.exists() and self._last.stop()
        self.aws.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=self.name)
        return True

    def restart(self) -> bool:
        """See ``Run``."""
        return False

    def next_run(self) -> TrainingJob:
        """See ``Run``: the best settings are fitted once more, tested once, and delivered."""
        last, search = self._last, self._describe()
        if not last.exists():
            self.aws.bucket(self.site.bucket).write(places.search_key(last.name), search_facts(search))
            try:
                self.aws.sagemaker.create_training_job(**best_job(search, self.site))
            except ClientError as error:
                if code_of(error) != "ResourceInUse":  # somebody else who follows the search was first
                    raise
        tuned = search["BestTrainingJob"]["TunedHyperParameters"]
        say("Settings", " ".join(f"--{name}={value}" for name, value in sorted(tuned.items())))
        say("", f"{last.name} is the one more job that fits with these, tests and delivers")
        return last

    @property
    def _last(self) -> TrainingJob:
        return TrainingJob(self.aws, best_name(self.name))

    def _describe(self) -> Mapping[str, Any]:
        return self.aws.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=self.name)

    def _why(self, job: Mapping[str, Any]) -> str:
        """Return the tuning job's own reason, and that of a trial, which says more."""
        trials = self.aws.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=self.name, StatusEquals="Failed", MaxResults=1
        )["TrainingJobSummaries"]
        said = [job.get("FailureReason", ""), *(reason(trial) for trial in trials)]
        return " ".join(text for text in said if text)


def reason(job: Mapping[str, Any]) -> str:
    """Return why a job failed: Kennel's own words where there are some, SageMaker's else, in one line."""
    text = str(job.get("FailureReason", ""))
    if found := OWN_WORDS.search(text):
        return " ".join(found["words"].split())
    return " ".join(text.split())


def _exists(ask: Callable[[], object]) -> bool:
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
