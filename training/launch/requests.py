"""SageMaker's requests, field by field (API reference: CreateTrainingJob, CreateHyperParameterTuningJob)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from training.launch import places
from training.launch.order import GPU, IMAGE_TAGS, SAGEMAKER_TYPE, Order
from training.launch.site import tags
from training.launch.source import ENTRY
from training.tuning.space import Choices, Space

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.type_defs import (
        CreateHyperParameterTuningJobRequestTypeDef,
        CreateTrainingJobRequestTypeDef,
    )

OBJECTIVE = "valid_accuracy"
TEST = ("accuracy", "loss", "balanced_accuracy", "macro_f1")
METRICS = [
    {"Name": name, "Regex": rf"\b{name}=([0-9.]+)"}
    for name in ("train_loss", "valid_accuracy", "valid_loss", *(f"test_{each}" for each in TEST))
]
"""Read from the line that ``fit`` prints for each epoch, and its last one."""

CHECKPOINTS = "/opt/ml/checkpoints"
PIDS = "/opt/ml/output/pids"

HAND_SIGTERM_ON = (
    f"trap 'kill $(cat {PIDS})' TERM; s=$(type -P start_with_right_hostname.sh); "
    '${s:+bash -m "$s"} train & wait $!; wait $!'
)
"""The container's own entry point, from which SIGTERM goes on to what trains.

AWS's training toolkit keeps the signal to itself (issues 125 and 173 of sagemaker-training-toolkit), and a checkpoint
would be as old as the interval. The second ``wait`` is for the job's status: a signal ends the first. A tuning job's
request has no place for an entry point.
"""

SINGLE_GPU = ("xlarge", "2xlarge", "4xlarge", "8xlarge")


def training_job(order: Order) -> "CreateTrainingJobRequestTypeDef":
    """Return CreateTrainingJob's request."""
    request: Any = _definition(order) | {
        "TrainingJobName": order.name,
        "AlgorithmSpecification": with_entry_point(_algorithm(order)),
        "HyperParameters": _hyperparameters(order),
        "CheckpointConfig": _checkpoints(order),
        "Tags": tags(order.site),
    }
    return request  # type: ignore[no-any-return]


def tuning_job(order: Order) -> "CreateHyperParameterTuningJobRequestTypeDef":
    """Return CreateHyperParameterTuningJob's request: trials are such jobs too, but they neither test nor deliver."""
    definition = _definition(order)
    definition |= {
        "AlgorithmSpecification": _algorithm(order),
        "StaticHyperParameters": _hyperparameters(order),
        "Environment": definition["Environment"] | {"KENNEL_TRIAL": "1"},
    }
    if order.spot:  # without interruptions a trial needs none, and each would fetch those of all others
        definition["CheckpointConfig"] = _checkpoints(order)
    request: Any = {
        "HyperParameterTuningJobName": order.name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": OBJECTIVE},
            "ResourceLimits": {
                "MaxNumberOfTrainingJobs": order.trials,
                "MaxParallelTrainingJobs": min(order.parallel, order.trials),
            },
            "ParameterRanges": ranges(order.space),
            "RandomSeed": int(order.options.get("seed", "0")),
        },
        "TrainingJobDefinition": definition,
        "Tags": tags(order.site),
    }
    return request  # type: ignore[no-any-return]


def with_entry_point(algorithm: Mapping[str, Any]) -> dict[str, Any]:
    """Return an algorithm that hands SIGTERM on."""
    return {**algorithm, "ContainerEntrypoint": ["bash", "-c"], "ContainerArguments": [HAND_SIGTERM_ON]}


def _algorithm(order: Order) -> dict[str, Any]:
    kind = "gpu" if GPU.match(_type(order)) else "cpu"
    return {
        "TrainingImage": f"{order.site.repository}:{IMAGE_TAGS[kind]}",
        "TrainingInputMode": "File",
        "MetricDefinitions": METRICS,
    }


def _definition(order: Order) -> dict[str, Any]:
    """Return what a training job and a tuning job's definition have in common."""
    site = order.site
    output = {"S3OutputPath": site.uri(places.OUTPUT.rstrip("/"))}
    seconds = int(order.hours * 3600)
    definition: dict[str, Any] = {
        "RoleArn": site.role,
        "InputDataConfig": [_channel("training", order.photos)]
        + ([_channel("weights", order.weights)] if order.weights else []),
        "OutputDataConfig": output | ({"KmsKeyId": site.key} if site.key else {}),
        "ResourceConfig": {
            "InstanceType": _type(order),
            "InstanceCount": order.instances,
            "VolumeSizeInGB": order.disk_gb,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": seconds},
        # The container installs packages, and delivers its artifact itself.
        "EnableNetworkIsolation": False,
        "Environment": {
            "KENNEL_RUNS": site.uri(places.RUNS),
            "KENNEL_MODELS": site.uri(places.MODELS),
            "KENNEL_CHECKPOINTS": CHECKPOINTS,
            "KENNEL_PIDS": PIDS,
        },
    }
    if order.spot:
        definition["EnableManagedSpotTraining"] = True
        definition["StoppingCondition"]["MaxWaitTimeInSeconds"] = max(int(order.wait_hours * 3600), seconds)
    if site.subnets:
        definition["VpcConfig"] = {"Subnets": list(site.subnets), "SecurityGroupIds": list(site.security_groups)}
    return definition


def _channel(name: str, uri: str) -> dict[str, Any]:
    return {
        "ChannelName": name,
        "DataSource": {
            "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
        },
    }


def _hyperparameters(order: Order) -> dict[str, str]:
    """Return ``fit``'s options and the toolkit's own (github.com/aws/sagemaker-training-toolkit, params.py)."""
    own = {"sagemaker_program": ENTRY, "sagemaker_submit_directory": order.site.uri(order.code)}
    if order.instances > 1 or _may_have_several_gpus(order):
        own |= {
            "sagemaker_torch_distributed_enabled": "true",
            "sagemaker_instance_type": _type(order),
            "sagemaker_distribution_instance_groups": '["homogeneousCluster"]',
        }
    options = dict(order.options)
    if order.weights:
        options["weights"] = f"/opt/ml/input/data/weights/{order.weights.rpartition('/')[2]}"
    return options | own


def _checkpoints(order: Order) -> dict[str, str]:
    return {"S3Uri": order.site.uri(order.checkpoints), "LocalPath": CHECKPOINTS}


def ranges(space: Space) -> dict[str, Any]:
    """Return the search space in SageMaker's words, all of whose values are strings."""
    said: dict[str, list[dict[str, Any]]] = {}
    for name, each in space.items():
        if isinstance(each, Choices):
            said.setdefault("CategoricalParameterRanges", []).append({"Name": name, "Values": list(each.values)})
            continue
        kind = "IntegerParameterRanges" if each.whole else "ContinuousParameterRanges"
        scaling = "Logarithmic" if each.log else "Linear"
        bounds = {"MinValue": str(each.low), "MaxValue": str(each.high), "ScalingType": scaling}
        said.setdefault(kind, []).append({"Name": name} | bounds)
    return said


def _type(order: Order) -> str:
    return order.instance_type or SAGEMAKER_TYPE


def _may_have_several_gpus(order: Order) -> bool:
    """Return whether torchrun should start a process for each GPU: one alone costs it a second or two."""
    kind = _type(order)
    return bool(GPU.match(kind)) and kind.rpartition(".")[2] not in SINGLE_GPU
