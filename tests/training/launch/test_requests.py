"""What SageMaker is asked for; botocore's model of the API holds each request to its members, types and lengths."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.validate import ParamValidator

from tests.training.launch.fakes import SITE, TAGS, job_spec
from training.launch.requests import HAND_SIGTERM_ON, METRICS, training_job, tuning_job
from training.tuning.space import Choices, Numbers, Space

SPACE: Space = {
    "lr": Numbers(0.0003, 0.01, log=True),
    "epochs": Numbers(3, 9, whole=True),
    "batch-size": Choices(("32", "64")),
}


def valid(operation: str, request: Any) -> dict[str, Any]:
    shape: Any = boto3.client("sagemaker").meta.service_model.operation_model(operation).input_shape
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()
    return dict(request)


def job(**changes: Any) -> dict[str, Any]:
    return valid("CreateTrainingJob", training_job(job_spec(**changes)))


def tuning(**changes: Any) -> dict[str, Any]:
    return valid("CreateHyperParameterTuningJob", tuning_job(job_spec(space=SPACE, trials=6, parallel=3, **changes)))


@pytest.mark.parametrize(
    ("kind", "tag"),
    [
        (None, "2.13-cu133-amzn2023-sagemaker"),
        ("ml.p5.48xlarge", "2.13-cu133-amzn2023-sagemaker"),
        ("ml.c7i.large", "2.13-cpu-amzn2023-sagemaker"),
        ("ml.m5.xlarge", "2.13-cpu-amzn2023-sagemaker"),
    ],
)
def test_the_container_suits_the_instance(kind: str | None, tag: str) -> None:
    image = job(instance_type=kind)["AlgorithmSpecification"]["TrainingImage"]
    assert image == f"763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch:{tag}"


def test_jobs_have_the_tags_of_the_stack() -> None:
    """SageMaker gives those of a tuning job to its trials (API reference, CreateHyperParameterTuningJob, Tags)."""
    assert training_job(job_spec())["Tags"] == TAGS
    assert tuning_job(job_spec(space=SPACE, trials=2))["Tags"] == TAGS


def test_the_containers_pytorch_is_the_one_of_the_requirements() -> None:
    pins = Path("training/requirements.txt").read_text()
    version = re.search(r"^torch==(\d+\.\d+)", pins, re.MULTILINE)
    assert version is not None
    assert f":{version[1]}-" in job()["AlgorithmSpecification"]["TrainingImage"]


@pytest.mark.parametrize(
    ("kind", "instances", "distributed"),
    [
        ("ml.c7i.large", 1, False),
        ("ml.c7i.large", 2, True),
        ("ml.g4dn.xlarge", 1, False),
        ("ml.g4dn.12xlarge", 1, True),
    ],
)
def test_torchrun_starts_where_there_are_several_processes(kind: str, instances: int, distributed: bool) -> None:
    made = job(instance_type=kind, instances=instances)
    assert ("sagemaker_torch_distributed_enabled" in made["HyperParameters"]) == distributed
    assert made["ResourceConfig"]["InstanceCount"] == instances


def test_a_job_gets_fits_options_its_photos_and_its_own_places() -> None:
    made = job(options={"arch": "resnet50"})
    assert made["HyperParameters"]["arch"] == "resnet50"
    assert made["HyperParameters"]["sagemaker_program"] == "job.py"
    assert made["HyperParameters"]["sagemaker_submit_directory"] == SITE.uri("training/code/abc.tar.gz")
    (channel,) = made["InputDataConfig"]
    assert channel["ChannelName"] == "training"
    assert made["CheckpointConfig"]["S3Uri"] == SITE.uri(f"training/checkpoints/{made['TrainingJobName']}/")
    assert made["Environment"]["KENNEL_MODELS"] == SITE.uri("models/")
    assert made["EnableNetworkIsolation"] is False
    assert "VpcConfig" not in made
    assert "EnableManagedSpotTraining" not in made


def test_a_spot_job_may_wait_longer_than_it_may_run() -> None:
    made = job(spot=True, hours=2.0, wait_hours=1.0)
    assert made["EnableManagedSpotTraining"] is True
    stopping = made["StoppingCondition"]
    assert stopping["MaxWaitTimeInSeconds"] >= stopping["MaxRuntimeInSeconds"] == 7200


def test_the_settings_network_and_key_are_used() -> None:
    site = replace(SITE, subnets=("subnet-1",), security_groups=("sg-1",), key="arn:aws:kms:eu-west-1:1:key/k")
    made = job(site=site)
    assert made["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    assert made["OutputDataConfig"]["KmsKeyId"] == site.key


def test_weights_of_a_file_come_by_a_channel() -> None:
    made = job(weights=SITE.uri("training/weights/abc.safetensors"))
    assert made["HyperParameters"]["weights"] == "/opt/ml/input/data/weights/abc.safetensors"
    assert {channel["ChannelName"] for channel in made["InputDataConfig"]} == {"training", "weights"}


def test_a_resumed_job_goes_on_with_the_others_checkpoints() -> None:
    assert job(resume="old")["CheckpointConfig"]["S3Uri"] == SITE.uri("training/checkpoints/old/")


def test_a_tuning_job_searches_the_space_for_the_best_validation() -> None:
    config = tuning()["HyperParameterTuningJobConfig"]
    assert config["ResourceLimits"] == {"MaxNumberOfTrainingJobs": 6, "MaxParallelTrainingJobs": 3}
    assert config["HyperParameterTuningJobObjective"] == {"Type": "Maximize", "MetricName": "valid_accuracy"}
    assert config["ParameterRanges"] == {
        "ContinuousParameterRanges": [
            {"Name": "lr", "MinValue": "0.0003", "MaxValue": "0.01", "ScalingType": "Logarithmic"}
        ],
        "IntegerParameterRanges": [{"Name": "epochs", "MinValue": "3", "MaxValue": "9", "ScalingType": "Linear"}],
        "CategoricalParameterRanges": [{"Name": "batch-size", "Values": ["32", "64"]}],
    }


def test_trials_are_told_that_they_are_and_keep_checkpoints_on_spot_instances_alone() -> None:
    definition = tuning()["TrainingJobDefinition"]
    assert definition["Environment"]["KENNEL_TRIAL"]
    assert "KENNEL_TRIAL" not in job()["Environment"]
    assert "CheckpointConfig" not in definition
    assert "CheckpointConfig" in tuning(spot=True)["TrainingJobDefinition"]


def test_the_metrics_are_read_from_the_line_of_an_epoch() -> None:
    line = "epoch=3 train_loss=0.1234 valid_accuracy=0.9876 valid_loss=0.0456 seconds=12.3"
    found = {each["Name"]: re.findall(each["Regex"], line) for each in METRICS}
    assert found == {
        "train_loss": ["0.1234"],
        "valid_accuracy": ["0.9876"],
        "valid_loss": ["0.0456"],
        "test_accuracy": [],
        "test_loss": [],
        "test_balanced_accuracy": [],
        "test_macro_f1": [],
    }
    line = "test_accuracy=0.9 test_loss=0.4 test_balanced_accuracy=0.8 test_macro_f1=0.7"
    found = {each["Name"]: re.findall(each["Regex"], line) for each in METRICS if each["Name"].startswith("test")}
    assert [*found.values()] == [["0.9"], ["0.4"], ["0.8"], ["0.7"]]


def test_the_entry_point_hands_sigterm_on_and_keeps_the_exit_status(tmp_path: Path) -> None:
    """``train`` here is what the toolkit is to the signal: deaf; what it starts hears it, and ends with 7."""
    hears = tmp_path / "hears"
    hears.write_text("#!/bin/bash\ntrap 'exit 7' TERM\necho $$ > pids\necho ready\nwhile :; do sleep 0.1; done\n")
    train = tmp_path / "train"
    train.write_text("#!/bin/bash\ntrap : TERM\n./hears & child=$!\nwait $child; exit $?\n")
    for script in (hears, train):
        script.chmod(0o755)
    command = HAND_SIGTERM_ON.replace("/opt/ml/output/pids", "pids")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    with subprocess.Popen(
        ["bash", "-c", command], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(10) == 7
    assert len(HAND_SIGTERM_ON) <= 256, "the longest argument that SageMaker takes"
