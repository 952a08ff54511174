"""The job that a search ends with: made of what SageMaker tells of the tuning job, and started once."""

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.training.launch.fakes import SITE, FakeS3, aws_with, error, job_spec
from tests.training.launch.test_requests import SPACE, valid
from training.launch.best import best_job, read_ranges, search_facts
from training.launch.requests import HAND_SIGTERM_ON, ranges, training_job, tuning_job
from training.launch.sagemaker import TuningJob
from training.tuning.space import Numbers

BEST = {
    "TrainingJobName": "search-002-abc",
    "TunedHyperParameters": {"lr": "0.0042", "epochs": "5", "batch-size": "64"},
    "FinalHyperParameterTuningJobObjectiveMetric": {"MetricName": "valid_accuracy", "Value": 0.9166666865348816},
}


def told(status: str = "Completed", **changes: Any) -> dict[str, Any]:
    """Return what SageMaker tells of a tuning job: the request, with what it adds to that."""
    asked: Any = copy.deepcopy(tuning_job(job_spec(space=SPACE, trials=6, **changes)))
    asked["TrainingJobDefinition"]["StaticHyperParameters"]["_tuning_objective_metric"] = "valid_accuracy"
    counts = {"Completed": 4, "InProgress": 0, "RetryableError": 1, "NonRetryableError": 0, "Stopped": 1}
    return {
        **asked,
        "HyperParameterTuningJobStatus": status,
        "TrainingJobStatusCounters": counts,
        "BestTrainingJob": BEST,
    }


class SageMaker:
    """Knows one tuning job, and the training jobs that were made after it."""

    def __init__(self, search: dict[str, Any]) -> None:
        self.search = search
        self.jobs: dict[str, str] = {}
        self.made: list[Any] = []
        self.stopped: list[str] = []

    def describe_hyper_parameter_tuning_job(self, **_: str) -> dict[str, Any]:
        return self.search

    def describe_training_job(self, *, TrainingJobName: str) -> dict[str, Any]:  # noqa: N803
        if TrainingJobName not in self.jobs:
            raise error("ValidationException", text="Requested resource not found.")
        return {"TrainingJobStatus": self.jobs[TrainingJobName], "SecondaryStatus": "..."}

    def create_training_job(self, **request: Any) -> None:
        self.made.append(request)
        self.jobs[request["TrainingJobName"]] = "InProgress"

    def stop_training_job(self, **names: str) -> None:
        self.stopped += names.values()

    stop_hyper_parameter_tuning_job = stop_training_job


def search_on(sagemaker: SageMaker, s3: FakeS3 | None = None) -> TuningJob:
    return TuningJob(aws_with(sagemaker=sagemaker, s3=s3 or FakeS3()), SITE, job_spec().name)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"spot": True, "instances": 2, "instance_type": "ml.g5.12xlarge", "options": {"arch": "resnet50"}},
        {
            "site": replace(
                SITE, subnets=("subnet-1",), security_groups=("sg-1",), key="arn:aws:kms:eu-west-1:1:key/k"
            ),
            "weights": SITE.uri("training/weights/abc.safetensors"),
        },
    ],
)
def test_the_last_job_is_what_launch_would_ask_for_with_the_settings_that_were_found(changes: dict[str, Any]) -> None:
    made = valid("CreateTrainingJob", best_job(told(**changes), changes.get("site", SITE)))
    options = changes.get("options", {}) | BEST["TunedHyperParameters"]
    alike: Any = training_job(replace(job_spec(**changes), name=f"{job_spec().name}-best", options=options))
    search = made["Environment"].pop("KENNEL_SEARCH")
    assert search == SITE.uri(f"training/runs/{job_spec().name}-best/search.json")
    assert made == alike
    assert made["AlgorithmSpecification"]["ContainerArguments"] == [HAND_SIGTERM_ON]
    assert "KENNEL_TRIAL" not in made["Environment"]


def test_the_space_comes_back_from_sagemakers_words() -> None:
    space = {**SPACE, "ema": Numbers(0.9, 0.99)}
    assert read_ranges(ranges(space)) == space


def test_the_manifest_is_to_say_what_was_tried_and_what_was_best() -> None:
    said = json.loads(search_facts(told()))["tuning"]
    assert said["study"] == job_spec().name
    assert said["library"] == "Amazon SageMaker, Bayesian"
    assert said["trials"] == {"complete": 4, "stopped": 1, "failed": 1}
    assert said["space"]["lr"] == {"low": 0.0003, "high": 0.01, "whole": False, "log": True}
    assert said["space"]["batch-size"] == {"values": ["32", "64"]}
    assert said["best"] == {
        "trial": "search-002-abc",
        "parameters": {"lr": 0.0042, "epochs": 5, "batch-size": "64"},
        "validation_accuracy": 0.9167,
    }


def test_the_last_job_is_started_once_whoever_follows_the_search(capfd: pytest.CaptureFixture[str]) -> None:
    sagemaker, s3 = SageMaker(told()), FakeS3()
    for _ in range(2):
        assert search_on(sagemaker, s3).next_run().name == f"{job_spec().name}-best"
    assert len(sagemaker.made) == 1
    assert "tuning" in json.loads(s3.objects[f"training/runs/{job_spec().name}-best/search.json"])
    assert "--batch-size=64 --epochs=5 --lr=0.0042" in capfd.readouterr().out


def test_of_two_who_start_it_at_the_same_time_one_finds_the_others() -> None:
    class Race(SageMaker):
        def create_training_job(self, **_: Any) -> None:
            raise error("ResourceInUse", text="already exists")

    assert search_on(Race(told())).next_run().name == f"{job_spec().name}-best"


def test_a_search_without_a_good_trial_has_failed() -> None:
    search = told()
    del search["BestTrainingJob"]
    status = search_on(SageMaker(search)).status()
    assert (status.state, status.reason.partition(";")[0]) == ("failed", "no trial has succeeded")


@pytest.mark.parametrize(
    ("search", "last", "stopped"),
    [
        ("InProgress", "", [""]),
        ("Completed", "InProgress", ["-best"]),
        ("Completed", "Completed", []),
        ("Completed", "", []),
        ("Stopped", "", []),
    ],
)
def test_stop_ends_whichever_of_the_two_is_under_way(search: str, last: str, stopped: list[str]) -> None:
    sagemaker = SageMaker(told(search))
    if last:
        sagemaker.jobs[f"{job_spec().name}-best"] = last
    assert search_on(sagemaker).stop() == bool(stopped)
    assert sagemaker.stopped == [f"{job_spec().name}{tail}" for tail in stopped]
