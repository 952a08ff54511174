"""SageMaker's operations on hyperparameter tuning jobs."""

from collections.abc import Callable, Iterator

from local.core.errors import ServiceError, validation_error
from local.core.json_service import Parameters
from local.core.listing import list_jobs
from local.core.tags import Tags
from local.sagemaker.tuning.job import Launcher, TuningJob
from local.sagemaker.tuning.search import find_range_problems, grid_size

KIND = "HyperParameterTuningJob"
SUMMARY = (
    f"{KIND}Name",
    f"{KIND}Arn",
    f"{KIND}Status",
    "Strategy",
    "CreationTime",
    "HyperParameterTuningEndTime",
    "LastModifiedTime",
    "TrainingJobStatusCounters",
    "ObjectiveStatusCounters",
    "ResourceLimits",
)
NOT_SIMULATED = ("TrainingJobDefinitions", "WarmStartConfig", "Autotune")
NEEDED = ("TrainingJobDefinition",)
NEEDED_IN_CONFIG = (f"{KIND}Objective", "ParameterRanges")
NOT_SIMULATED_IN_CONFIG: tuple[tuple[Callable[[Parameters], bool], str], ...] = (
    (
        lambda config: config["Strategy"] == "Hyperband",
        "the embedded AWS does not simulate strategy Hyperband; use Random, Bayesian or Grid",
    ),
    (
        lambda config: config.get("TrainingJobEarlyStoppingType", "Off") != "Off",
        "the embedded AWS does not simulate TrainingJobEarlyStoppingType Auto; use Off",
    ),
    (
        lambda config: "TuningJobCompletionCriteria" in config,
        "the embedded AWS does not simulate TuningJobCompletionCriteria; remove it",
    ),
)


class TuningJobs:
    """The operations of tuning jobs.

    Parameters
    ----------
    launcher
        Checks and starts the training jobs.
    tags
        Where the service keeps its resources' tags.
    """

    def __init__(self, launcher: Launcher, tags: Tags) -> None:
        self._launcher = launcher
        self._tags = tags
        self._jobs: dict[str, TuningJob] = {}

    def create_hyper_parameter_tuning_job(self, request: Parameters) -> Parameters:
        """Start a tuning job in the background."""
        name = request[f"{KIND}Name"]
        if name in self._jobs:
            raise ServiceError(
                "ResourceInUse",
                "Tuning job names must be unique within an AWS account and region, and a tuning job with this name "
                f"already exists ({self._jobs[name].arn})",
            )
        if problems := list(_find_problems(request)):
            raise validation_error(f"The tuning job cannot be run: {'; '.join(problems)}.")
        job = TuningJob(request, self._launcher)
        self._launcher.check(job.training_request(f"{name}-000", {}))
        self._jobs[name] = job
        self._tags.add(job.arn, request)
        job.begin()
        return {f"{KIND}Arn": job.arn}

    def describe_hyper_parameter_tuning_job(self, request: Parameters) -> Parameters:
        """Return a tuning job's request, status, counters and best training job."""
        return self._job(request).describe()

    def list_hyper_parameter_tuning_jobs(self, request: Parameters) -> Parameters:
        """List tuning jobs."""
        described = [job.describe() for job in list(self._jobs.values())]
        shown = [{**job, **job[f"{KIND}Config"]} for job in described]
        return list_jobs(shown, request, KIND, f"{KIND}Summaries", SUMMARY)

    def list_training_jobs_for_hyper_parameter_tuning_job(self, request: Parameters) -> Parameters:
        """List a tuning job's training jobs; those without an objective's value come last when that sorts."""
        jobs = self._job(request).training_jobs()
        shown = {field for job in jobs for field in job} - {"LastModifiedTime"}
        last = float("inf" if request.get("SortOrder") == "Ascending" else "-inf")
        for job in jobs:
            job["Objective"] = job.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value", last)
        return list_jobs(jobs, request, "TrainingJob", "TrainingJobSummaries", shown)

    def stop_hyper_parameter_tuning_job(self, request: Parameters) -> None:
        """Stop a tuning job's training jobs, and start no more."""
        job = self._job(request)
        if job.ended.is_set():
            raise validation_error(f"The request was rejected because the tuning job is in status {job.status}.")
        job.stop()

    def _job(self, request: Parameters) -> TuningJob:
        name = request[f"{KIND}Name"]
        if name not in self._jobs:
            raise ServiceError("ResourceNotFound", f"Amazon SageMaker can't find a tuning job with name {name}.")
        return self._jobs[name]


def _find_problems(request: Parameters) -> Iterator[str]:
    """Yield what is wrong with a request, apart from its training jobs."""
    config: Parameters = request[f"{KIND}Config"]
    missing = [member for member in NEEDED_IN_CONFIG if member not in config]
    missing += [member for member in NEEDED if member not in request]
    yield from (f"the embedded AWS does not simulate {member}" for member in NOT_SIMULATED if member in request)
    yield from (f"{member} is required" for member in missing)
    if missing:
        return
    definition: Parameters = request["TrainingJobDefinition"]
    yield from (problem for is_asked, problem in NOT_SIMULATED_IN_CONFIG if is_asked(config))
    if "ResourceConfig" not in definition:
        yield "the embedded AWS needs ResourceConfig in TrainingJobDefinition"
    yield from _find_objective_problems(config[f"{KIND}Objective"]["MetricName"], definition)
    static = definition.get("StaticHyperParameters", {})
    yield from find_range_problems(config["ParameterRanges"], config["Strategy"], static)
    yield from _find_limit_problems(config)


def _find_objective_problems(objective: str, definition: Parameters) -> Iterator[str]:
    metrics = [metric["Name"] for metric in definition["AlgorithmSpecification"].get("MetricDefinitions", ())]
    if objective not in metrics:
        yield f"the objective metric {objective} is not among the metric definitions ({', '.join(metrics) or 'none'})"


def _find_limit_problems(config: Parameters) -> Iterator[str]:
    limits, combinations = config["ResourceLimits"], grid_size(config["ParameterRanges"])
    jobs = limits.get("MaxNumberOfTrainingJobs")
    if jobs is not None and limits["MaxParallelTrainingJobs"] > jobs:
        yield f"MaxParallelTrainingJobs must not be above MaxNumberOfTrainingJobs, {jobs}"
    if config["Strategy"] == "Grid" and jobs not in (None, combinations):
        yield f"with strategy Grid, MaxNumberOfTrainingJobs must be the number of combinations, {combinations}"
