"""The training job that a search ends with: the best trial's settings, fitted once more, tested once, and delivered.

It is made of what SageMaker tells of the tuning job, so that whoever follows the search can start it.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from training.launch import places
from training.launch.requests import CHECKPOINTS, with_entry_point
from training.launch.site import Site, tags
from training.tuning.space import Choices, Numbers, Space

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef

LIKE_A_TRIAL = (
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
)
"""Members of a definition of trials and of CreateTrainingJob, alike in both (API reference)."""

SAGEMAKERS_OWN = "_tuning_objective_metric"
"""A hyperparameter that SageMaker adds to those of trials."""


def best_name(search: str) -> str:
    """Return the job's name: the same for whoever starts it, so that there is one."""
    return f"{search}-best"


def best_job(search: Mapping[str, Any], site: Site) -> "CreateTrainingJobRequestTypeDef":
    """Return CreateTrainingJob's request.

    Parameters
    ----------
    search
        What DescribeHyperParameterTuningJob returns of one that has completed, and has a best training job.
    """
    definition = search["TrainingJobDefinition"]
    name = best_name(search["HyperParameterTuningJobName"])
    hyperparameters = {
        **definition.get("StaticHyperParameters", {}),
        **search["BestTrainingJob"]["TunedHyperParameters"],
    }
    environment = {key: value for key, value in definition["Environment"].items() if key != "KENNEL_TRIAL"}
    request: Any = {member: definition[member] for member in LIKE_A_TRIAL if member in definition} | {
        "TrainingJobName": name,
        "AlgorithmSpecification": with_entry_point(definition["AlgorithmSpecification"]),
        "HyperParameters": {key: value for key, value in hyperparameters.items() if key != SAGEMAKERS_OWN},
        "Environment": environment | {"KENNEL_SEARCH": site.uri(places.search_key(name))},
        "CheckpointConfig": {"S3Uri": site.uri(f"{places.CHECKPOINTS}{name}/"), "LocalPath": CHECKPOINTS},
        "Tags": tags(site),
    }
    return request  # type: ignore[no-any-return]


def search_facts(search: Mapping[str, Any]) -> bytes:
    """Return what the manifest is to say of the search, as JSON: like that of a search on one machine.

    Parameters
    ----------
    search
        What DescribeHyperParameterTuningJob returns, as for ``best_job``.
    """
    counts, best = search["TrainingJobStatusCounters"], search["BestTrainingJob"]
    config = search["HyperParameterTuningJobConfig"]
    space = read_ranges(config["ParameterRanges"])
    facts = {
        "study": search["HyperParameterTuningJobName"],
        "library": f"Amazon SageMaker, {config['Strategy']}",
        "trials": {
            "complete": counts.get("Completed", 0),
            "stopped": counts.get("Stopped", 0),
            "failed": counts.get("NonRetryableError", 0) + counts.get("RetryableError", 0),
        },
        "space": {name: vars(bounds) for name, bounds in space.items()},
        "best": {
            "trial": best["TrainingJobName"],
            "parameters": {name: _typed(space, name, text) for name, text in best["TunedHyperParameters"].items()},
            # It comes as a float of 32 bits; four digits were printed.
            "validation_accuracy": round(best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"], 4),
        },
    }
    return json.dumps({"tuning": facts}).encode()


def read_ranges(ranges: Mapping[str, Any]) -> Space:
    """Return the search space that ``requests.ranges`` put into SageMaker's words."""
    space: dict[str, Numbers | Choices] = {
        choices["Name"]: Choices(tuple(choices["Values"])) for choices in ranges.get("CategoricalParameterRanges", [])
    }
    kinds: tuple[tuple[str, type[int] | type[float]], ...] = (
        ("IntegerParameterRanges", int),
        ("ContinuousParameterRanges", float),
    )
    for kind, number in kinds:
        for bounds in ranges.get(kind, []):
            low, high = number(bounds["MinValue"]), number(bounds["MaxValue"])
            space[bounds["Name"]] = Numbers(low, high, number is int, bounds.get("ScalingType") == "Logarithmic")
    return space


def _typed(space: Space, name: str, text: str) -> float | str:
    bounds = space.get(name)
    if not isinstance(bounds, Numbers):
        return text
    return int(float(text)) if bounds.whole else float(text)
