"""SageMaker's requests, field by field (API reference: CreateTrainingJob, CreateHyperParameterTuningJob)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from training.launch import places
from training.launch.job_spec import GPU, IMAGE_TAGS, SAGEMAKER_TYPE, JobSpec
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
    for name in ("train_loss", "valid_accuracy", "valid_loss", *(f"test_{name}" for name in TEST))
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


def training_job(spec: JobSpec) -> "CreateTrainingJobRequestTypeDef":
    """Return CreateTrainingJob's request."""
    request: Any = _definition(spec) | {
        "TrainingJobName": spec.name,
        "AlgorithmSpecification": with_entry_point(_algorithm(spec)),
        "HyperParameters": _hyperparameters(spec),
        "CheckpointConfig": _checkpoints(spec),
        "Tags": tags(spec.site),
    }
    return request  # type: ignore[no-any-return]


def tuning_job(spec: JobSpec) -> "CreateHyperParameterTuningJobRequestTypeDef":
    """Return CreateHyperParameterTuningJob's request: trials are such jobs too, but they neither test nor deliver."""
    definition = _definition(spec)
    definition |= {
        "AlgorithmSpecification": _algorithm(spec),
        "StaticHyperParameters": _hyperparameters(spec),
        "Environment": definition["Environment"] | {"KENNEL_TRIAL": "1"},
    }
    if spec.spot:  # without interruptions a trial needs none, and each would fetch those of all others
        definition["CheckpointConfig"] = _checkpoints(spec)
    request: Any = {
        "HyperParameterTuningJobName": spec.name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": OBJECTIVE},
            "ResourceLimits": {
                "MaxNumberOfTrainingJobs": spec.trials,
                "MaxParallelTrainingJobs": min(spec.parallel, spec.trials),
            },
            "ParameterRanges": ranges(spec.space),
            "RandomSeed": int(spec.options.get("seed", "0")),
        },
        "TrainingJobDefinition": definition,
        "Tags": tags(spec.site),
    }
    return request  # type: ignore[no-any-return]


def with_entry_point(algorithm: Mapping[str, Any]) -> dict[str, Any]:
    """Return an algorithm that hands SIGTERM on."""
    return {**algorithm, "ContainerEntrypoint": ["bash", "-c"], "ContainerArguments": [HAND_SIGTERM_ON]}


def _algorithm(spec: JobSpec) -> dict[str, Any]:
    kind = "gpu" if GPU.match(_type(spec)) else "cpu"
    return {
        "TrainingImage": f"{spec.site.repository}:{IMAGE_TAGS[kind]}",
        "TrainingInputMode": "File",
        "MetricDefinitions": METRICS,
    }


def _definition(spec: JobSpec) -> dict[str, Any]:
    """Return what a training job and a tuning job's definition have in common."""
    site = spec.site
    output = {"S3OutputPath": site.uri(places.OUTPUT.rstrip("/"))}
    seconds = int(spec.hours * 3600)
    definition: dict[str, Any] = {
        "RoleArn": site.role,
        "InputDataConfig": [_channel("training", spec.photos)]
        + ([_channel("weights", spec.weights)] if spec.weights else []),
        "OutputDataConfig": output | ({"KmsKeyId": site.key} if site.key else {}),
        "ResourceConfig": {
            "InstanceType": _type(spec),
            "InstanceCount": spec.instances,
            "VolumeSizeInGB": spec.disk_gb,
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
    if spec.spot:
        definition["EnableManagedSpotTraining"] = True
        definition["StoppingCondition"]["MaxWaitTimeInSeconds"] = max(int(spec.wait_hours * 3600), seconds)
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


def _hyperparameters(spec: JobSpec) -> dict[str, str]:
    """Return ``fit``'s options and the toolkit's own (github.com/aws/sagemaker-training-toolkit, params.py)."""
    own = {"sagemaker_program": ENTRY, "sagemaker_submit_directory": spec.site.uri(spec.code)}
    if spec.instances > 1 or _may_have_several_gpus(spec):
        own |= {
            "sagemaker_torch_distributed_enabled": "true",
            "sagemaker_instance_type": _type(spec),
            "sagemaker_distribution_instance_groups": '["homogeneousCluster"]',
        }
    options = dict(spec.options)
    if spec.weights:
        options["weights"] = f"/opt/ml/input/data/weights/{spec.weights.rpartition('/')[2]}"
    return options | own


def _checkpoints(spec: JobSpec) -> dict[str, str]:
    return {"S3Uri": spec.site.uri(spec.checkpoints), "LocalPath": CHECKPOINTS}


def ranges(space: Space) -> dict[str, Any]:
    """Return the search space in SageMaker's words, all of whose values are strings."""
    parameter_ranges: dict[str, list[dict[str, Any]]] = {}
    parameter: dict[str, Any]
    for name, values in space.items():
        if isinstance(values, Choices):
            kind, parameter = "CategoricalParameterRanges", {"Values": list(values.values)}
        else:
            kind = "IntegerParameterRanges" if values.whole else "ContinuousParameterRanges"
            scaling = "Logarithmic" if values.log else "Linear"
            parameter = {"MinValue": str(values.low), "MaxValue": str(values.high), "ScalingType": scaling}
        parameter_ranges.setdefault(kind, []).append({"Name": name, **parameter})
    return parameter_ranges


def _type(spec: JobSpec) -> str:
    return spec.instance_type or SAGEMAKER_TYPE


def _may_have_several_gpus(spec: JobSpec) -> bool:
    """Return whether torchrun should start a process for each GPU: one alone costs it a second or two."""
    kind = _type(spec)
    return bool(GPU.match(kind)) and kind.rpartition(".")[2] not in SINGLE_GPU
