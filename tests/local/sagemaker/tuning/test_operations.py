"""Tuning jobs on the embedded AWS."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.host.state import Running
from local.host.status import report
from tests.embedded import Aws, eventually
from tests.local.jobs import BUCKET, log_of, make_role, policy, request

SCRIPT = """
import argparse, os
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--mode")
parser.add_argument("--fail", type=int, default=0)
options = parser.parse_args()
assert not options.fail
score = {"head": 0.5, "full": 0.9}[options.mode]
print(f"epoch=1 valid_accuracy={score - 0.1}")
print(f"epoch=2 valid_accuracy={score}")
open(os.environ["SM_MODEL_DIR"] + "/mode", "w").write(options.mode)
"""

MODES = {"CategoricalParameterRanges": [{"Name": "mode", "Values": ["head", "full"]}]}


@pytest.fixture(scope="module")
def role(aws: Aws) -> str:
    aws.s3.create_bucket(Bucket=BUCKET)
    aws.s3.put_object(Bucket=BUCKET, Key="data/train/1.txt", Body=b"1")
    return make_role(aws, "tuning", policy())


def tuning(aws: Aws, role: str, name: str, **changes: Any) -> dict[str, Any]:
    """Return CreateHyperParameterTuningJob's parameters; `changes` are those of its configuration."""
    definition = request(
        aws,
        role,
        name,
        changes.pop("script", SCRIPT),
        hyperparameters=changes.pop("hyperparameters", {"lr": "0.1"}),
        algorithm={"MetricDefinitions": [{"Name": "acc", "Regex": "valid_accuracy=([0-9.]+)"}]},
        Environment={"SAGEMAKER_TRAINING_MODULE": ""},
    )
    del definition["TrainingJobName"]
    config = {
        "Strategy": "Grid",
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "acc"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": MODES,
    }
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": config | changes,
        "TrainingJobDefinition": {
            "StaticHyperParameters": definition.pop("HyperParameters"),
            **definition,
        },
    }


def ended(aws: Aws, name: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        job: dict[str, Any] = aws.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        return None if job["HyperParameterTuningJobStatus"] in ("InProgress", "Stopping") else job

    job: dict[str, Any] = eventually(look, 90)
    return job


@pytest.fixture(scope="module")
def searched(aws: Aws, role: str) -> dict[str, Any]:
    """A tuning job that went well."""
    aws.sagemaker.create_hyper_parameter_tuning_job(**tuning(aws, role, "modes"))
    return ended(aws, "modes")


def trials(aws: Aws, name: str, **sorting: Any) -> list[dict[str, Any]]:
    listed = aws.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name, **sorting
    )
    found: list[dict[str, Any]] = listed["TrainingJobSummaries"]
    return found


def test_the_best_training_job_is_found(aws: Aws, searched: dict[str, Any]) -> None:
    assert searched["HyperParameterTuningJobStatus"] == "Completed", searched.get("FailureReason")
    best = searched["BestTrainingJob"]
    assert best["TunedHyperParameters"] == {"mode": "full"}
    assert best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == pytest.approx(0.9)
    assert searched["TrainingJobStatusCounters"]["Completed"] == 2
    assert searched["ObjectiveStatusCounters"] == {"Succeeded": 2, "Pending": 0, "Failed": 0}


def test_its_training_jobs_are_jobs_like_any_other(aws: Aws, searched: dict[str, Any]) -> None:
    order = {"SortBy": "FinalObjectiveMetricValue", "SortOrder": "Descending"}
    first, second = trials(aws, "modes", **order)
    assert first["TrainingJobName"] == searched["BestTrainingJob"]["TrainingJobName"]
    assert second["TunedHyperParameters"] == {"mode": "head"}
    assert {trial["TrainingJobName"][:10] for trial in (first, second)} == {"modes-001-", "modes-002-"}
    job = aws.sagemaker.describe_training_job(TrainingJobName=first["TrainingJobName"])
    assert job["TuningJobArn"] == searched["HyperParameterTuningJobArn"]
    assert job["HyperParameters"]["_tuning_objective_metric"] == "acc"
    assert job["HyperParameters"]["lr"] == "0.1"
    assert job["ModelArtifacts"]["S3ModelArtifacts"].endswith(f"{first['TrainingJobName']}/output/model.tar.gz")
    assert "--lr 0.1 --mode full" in log_of(aws, first["TrainingJobName"])
    listed = aws.sagemaker.list_hyper_parameter_tuning_jobs(NameContains="modes")["HyperParameterTuningJobSummaries"]
    assert [(job["HyperParameterTuningJobName"], job["Strategy"]) for job in listed] == [("modes", "Grid")]


def test_status_shows_the_newest_jobs(aws: Aws, searched: dict[str, Any]) -> None:
    environment = aws.environment
    running = Running(
        pid=0,
        url=environment["AWS_ENDPOINT_URL"],
        account="",
        region=environment["AWS_REGION"],
        access_key=environment["AWS_ACCESS_KEY_ID"],
        secret_key=environment["AWS_SECRET_ACCESS_KEY"],
        ca=environment["AWS_CA_BUNDLE"],
        time_scale=1,
        started=0,
    )
    lines = report(running).splitlines()
    assert "tuning      modes   Completed" in lines
    assert f"training    {searched['BestTrainingJob']['TrainingJobName']}   Completed" in lines


def test_a_tuning_job_whose_training_jobs_all_fail_gives_up(aws: Aws, role: str) -> None:
    failing = tuning(
        aws,
        role,
        "hopeless",
        script="raise SystemExit(3)",
        Strategy="Random",
        ResourceLimits={"MaxNumberOfTrainingJobs": 9, "MaxParallelTrainingJobs": 2},
    )
    aws.sagemaker.create_hyper_parameter_tuning_job(**failing)
    job = ended(aws, "hopeless")
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("No training job succeeded after 5 attempts.")
    assert 5 <= len(trials(aws, "hopeless")) < 9
    assert "BestTrainingJob" not in job


def test_stopping_a_tuning_job_stops_its_training_jobs(aws: Aws, role: str) -> None:
    slow = tuning(
        aws,
        role,
        "stopped",
        script="import time; print('valid_accuracy=0.4', flush=True); time.sleep(100)",
        Strategy="Bayesian",
        ResourceLimits={"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 1},
    )
    aws.sagemaker.create_hyper_parameter_tuning_job(**slow)
    eventually(lambda: any("valid_accuracy" in log_of(aws, job["TrainingJobName"]) for job in trials(aws, "stopped")))
    assert len(trials(aws, "stopped")) == 1
    aws.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped")
    job = ended(aws, "stopped")
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert job["TrainingJobStatusCounters"]["Stopped"] == 1
    assert job["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"}},
            "metric loss is not among",
        ),
        ({"hyperparameters": {"mode": "head"}}, "hyperparameter mode is given more than once"),
        ({"Strategy": "Hyperband"}, "does not simulate strategy Hyperband"),
        ({"ResourceLimits": {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1}}, "number of combinations, 2"),
        ({"TrainingJobEarlyStoppingType": "Auto"}, "does not simulate TrainingJobEarlyStoppingType Auto"),
    ],
)
def test_a_tuning_job_that_cannot_run_is_refused(aws: Aws, role: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ClientError, match="ValidationException") as caught:
        aws.sagemaker.create_hyper_parameter_tuning_job(**tuning(aws, role, "refused", **changes))
    assert words in str(caught.value)


def test_its_training_jobs_are_checked_before_it_starts(aws: Aws, role: str) -> None:
    job = tuning(aws, role, "nodata")
    source = job["TrainingJobDefinition"]["InputDataConfig"][0]["DataSource"]["S3DataSource"]
    source["S3Uri"] = f"s3://{BUCKET}/data/none"
    with pytest.raises(ClientError, match="No S3 objects found under S3 URL"):
        aws.sagemaker.create_hyper_parameter_tuning_job(**job)


def test_a_name_is_used_once(aws: Aws, role: str, searched: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="ResourceInUse"):
        aws.sagemaker.create_hyper_parameter_tuning_job(**tuning(aws, role, "modes"))
