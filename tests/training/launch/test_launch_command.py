"""The command line of ``launch``: what it asks AWS for, and what it refuses before it does."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.training.launch.fakes import SITE, FakeS3, error
from training.commands.search_options import fit_parser
from training.common.aws import Aws
from training.launch.job_spec import MAX_NAME, new_name
from training.launch.run import RunStatus

Run = Callable[..., tuple[int, str, str]]


class FakeSageMaker:
    """Takes requests, and describes every job as completed."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.status = "Completed"
        self.stopped: list[str] = []

    def create_training_job(self, **request: Any) -> None:
        self.requests.append(request)

    def create_hyper_parameter_tuning_job(self, **request: Any) -> None:
        self.requests.append(request)

    def describe_training_job(self, *, TrainingJobName: str) -> dict[str, Any]:  # noqa: N803
        if TrainingJobName not in [request.get("TrainingJobName") for request in self.requests]:
            raise error("ValidationException", text="Requested resource not found.")
        return {"TrainingJobStatus": self.status, "SecondaryStatus": self.status}

    def describe_hyper_parameter_tuning_job(self, *, HyperParameterTuningJobName: str) -> dict[str, Any]:  # noqa: N803
        metric = {"MetricName": "valid_accuracy", "Value": 0.9}
        best = {"TrainingJobName": "trial", "FinalHyperParameterTuningJobObjectiveMetric": metric}
        return self.requests[0] | {
            "HyperParameterTuningJobStatus": "Completed",
            "TrainingJobStatusCounters": {"Completed": 2},
            "BestTrainingJob": best | {"TunedHyperParameters": {"lr": "0.004"}},
        }

    def stop_training_job(self, *, TrainingJobName: str) -> None:  # noqa: N803
        self.stopped.append(TrainingJobName)


class NoLogs:
    """An account without a log group."""

    def get_paginator(self, _: str) -> Any:
        raise error("ResourceNotFoundException")


@pytest.fixture
def sagemaker(monkeypatch: pytest.MonkeyPatch) -> FakeSageMaker:
    """A stand-in for SageMaker, and for the stack."""
    made = FakeSageMaker()
    monkeypatch.setattr(Aws, "sagemaker", made)
    monkeypatch.setattr(Aws, "logs", NoLogs())
    monkeypatch.setattr("training.launch.follow.LATE_SECONDS", 0)
    monkeypatch.setattr("training.launch.site.find_site", lambda *_: SITE)
    monkeypatch.setattr("training.launch.state.find_site", lambda *_: SITE)
    return made


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> FakeS3:
    made = FakeS3()
    monkeypatch.setattr(Aws, "s3", made)
    return made


def test_a_launch_sends_fits_options_that_were_given(
    run: Run, data: Path, sagemaker: FakeSageMaker, s3: FakeS3, tmp_path: Path
) -> None:
    options = ["--epochs", "3", "--arch", "resnet18", "--lr", "0.01", "--detach"]
    status, output, errors = run("launch", "--data", data, "--out", tmp_path / "build", *options)
    assert (status, errors) == (0, "")
    (request,) = sagemaker.requests
    own = {name: value for name, value in request["HyperParameters"].items() if not name.startswith("sagemaker_")}
    assert own == {"arch": "resnet18", "epochs": "3", "lr": "0.01"}
    left = json.loads((tmp_path / "build" / "launch.json").read_bytes())["runs"]
    assert left == [{"name": request["TrainingJobName"], "kind": "training", "environment": "dev"}]
    assert f"--attach {request['TrainingJobName']}" in output


def test_what_decides_the_training_and_its_splits_goes_to_the_job(
    run: Run, data: Path, sagemaker: FakeSageMaker, s3: FakeS3, tmp_path: Path
) -> None:
    options = ["--split", "0.5,0.25,0.25", "--no-test", "--class-weights", "balanced", "--patience", "3", "--detach"]
    status, _, errors = run("launch", "--data", data / "train", "--out", tmp_path / "build", *options)
    assert (status, errors) == (0, "")
    (request,) = sagemaker.requests
    own = {name: value for name, value in request["HyperParameters"].items() if not name.startswith("sagemaker_")}
    assert own == {"split": "0.5,0.25,0.25", "no-test": "True", "class-weights": "balanced", "patience": "3"}
    parsed = vars(fit_parser().parse_args([f"--{name}={value}" for name, value in own.items()]))
    assert (parsed["split"], parsed["no_test"], parsed["patience"]) == ((0.5, 0.25, 0.25), True, 3)
    photos = [key for key in s3.objects if key.startswith("data/")]
    assert len(photos) == 24
    assert not any("/train/" in key for key in photos)


def test_without_a_test_split_two_splits_are_uploaded_and_no_report_is_waited_for(
    run: Run, data: Path, sagemaker: FakeSageMaker, s3: FakeS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(data / "test")
    artifact = {"location": SITE.uri("models/abc.tar.gz"), "sha256": "abc", "size": 1}
    manifest = {"schema": 1, "artifact": artifact, "metrics": {"test": None}}
    monkeypatch.setattr("training.launch.job_spec.new_name", lambda _: "job")
    s3.objects |= {"training/runs/job/model.json": json.dumps(manifest).encode()}
    status, output, errors = run("launch", "--data", data, "--out", tmp_path / "build", "--no-test")
    assert (status, errors) == (0, "")
    assert json.loads((tmp_path / "build" / "model.json").read_bytes()) == manifest
    assert "it cannot be deployed" in output
    assert "make deploy" not in output


def test_a_job_that_completes_leaves_its_manifest(
    run: Run, data: Path, sagemaker: FakeSageMaker, s3: FakeS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = {"location": SITE.uri("models/abc.tar.gz"), "sha256": "abc", "size": 1}
    manifest = {"schema": 1, "artifact": artifact, "metrics": {"test": {"accuracy": 0.9}}}
    monkeypatch.setattr("training.launch.job_spec.new_name", lambda _: "job")
    s3.objects |= {"training/runs/job/model.json": json.dumps(manifest).encode(), "training/runs/job/report.html": b""}
    status, output, errors = run("launch", "--data", data, "--out", tmp_path / "build")
    assert (status, errors) == (0, "")
    assert json.loads((tmp_path / "build" / "model.json").read_bytes()) == manifest
    assert "make deploy ENVIRONMENT=dev" in output


def test_an_interrupt_lets_go_of_the_run_and_says_how_to_go_on(
    run: Run, data: Path, sagemaker: FakeSageMaker, s3: FakeS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.launch.follow.follow", interrupted)
    status, output, _ = run("launch", "--data", data, "--out", tmp_path)
    assert status == 130
    assert "goes on: `./kennel launch --attach" in output
    assert sagemaker.stopped == []


@pytest.fixture
def searched(
    run: Run, data: Path, sagemaker: FakeSageMaker, s3: FakeS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Start a search, and let go of it; return what was printed."""
    monkeypatch.setattr("training.launch.job_spec.new_name", lambda _: "search")
    status, output, _ = run("launch", "--data", data, "--out", tmp_path / "build", "--tune", "2", "--detach")
    assert status == 0
    return output


def test_a_search_ends_with_one_job_more_whose_model_comes_home(
    run: Run, searched: str, sagemaker: FakeSageMaker, s3: FakeS3, tmp_path: Path
) -> None:
    assert "2 trials, 2 at a time; then one more job fits the best settings" in searched
    assert "when its trials have ended, `--attach` starts the one more job" in searched
    artifact = {"location": SITE.uri("models/abc.tar.gz"), "sha256": "abc", "size": 1}
    manifest = {"schema": 1, "artifact": artifact, "metrics": {"test": {"accuracy": 0.9}}}
    for name, content in {"model.json": json.dumps(manifest), "report.html": ""}.items():
        s3.objects[f"training/runs/search-best/{name}"] = content.encode()
    for _ in range(2):
        assert run("launch", "--attach", "--out", tmp_path / "build")[0] == 0
        assert json.loads((tmp_path / "build" / "model.json").read_bytes()) == manifest
    assert [request.get("TrainingJobName") for request in sagemaker.requests] == [None, "search-best"]
    assert sagemaker.requests[1]["HyperParameters"]["lr"] == "0.004"


@pytest.mark.parametrize(
    ("ending", "status", "said"),
    [
        (None, 130, "Detached    search-best goes on: `./kennel launch --attach search` follows it"),
        (RunStatus("stopped", "Stopped"), 1, "Stopped     search-best; there is no model of it"),
        (RunStatus("failed", "Failed", "no capacity"), 2, "search-best failed: no capacity; with the settings above"),
    ],
)
def test_the_last_job_of_a_search_may_be_left_and_may_end_badly(
    run: Run, searched: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: Any, status: int, said: str
) -> None:
    def follow(_: Aws, each: Any) -> RunStatus:
        if each.kind == "training" and ending is None:
            raise KeyboardInterrupt
        return RunStatus("completed", "Completed") if each.kind == "tuning" else ending

    monkeypatch.setattr("training.launch.follow.follow", follow)
    found, output, errors = run("launch", "--attach", "--out", tmp_path / "build")
    assert found == status
    assert said in output + errors
    assert "Settings    --lr=0.004" in output
    assert "when its trials have ended" not in output


def test_stop_ends_the_latest_run_if_it_still_runs(
    run: Run, data: Path, sagemaker: FakeSageMaker, s3: FakeS3, tmp_path: Path
) -> None:
    run("launch", "--data", data, "--out", tmp_path, "--detach")
    sagemaker.status = "InProgress"
    assert run("launch", "--stop", "--out", tmp_path)[0] == 0
    assert sagemaker.stopped == [sagemaker.requests[0]["TrainingJobName"]]
    sagemaker.status = "Completed"
    status, output, _ = run("launch", "--stop", "--out", tmp_path)
    assert (status, len(sagemaker.stopped)) == (0, 1)
    assert "there is nothing to stop" in output


def test_a_folder_that_is_full_costs_neither_the_runs_name_nor_its_model(
    run: Run, data: Path, sagemaker: FakeSageMaker, s3: FakeS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("training.launch.job_spec.new_name", lambda _: "job")
    with monkeypatch.context() as patch:
        patch.setattr("training.launch.state.remember", full)
        status, _, errors = run("launch", "--data", data, "--out", tmp_path / "build")
    assert (status, errors) == (2, "kennel: no space left on device; job was started: `--attach job`, or `--stop`\n")
    monkeypatch.setattr("training.launch.follow.download_result", full)
    status, _, errors = run("launch", "--attach", "job", "--out", tmp_path / "build")
    assert status == 2
    assert "job is still there: `./kennel launch --attach job`" in errors


def test_what_the_command_line_decides_is_not_searched(
    run: Run, data: Path, sagemaker: FakeSageMaker, s3: FakeS3, tmp_path: Path
) -> None:
    run("launch", "--data", data, "--out", tmp_path, "--tune", "3", "--lr", "0.01", "--detach")
    (request,) = sagemaker.requests
    ranges = request["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert [each["Name"] for kind in ranges.values() for each in kind] != []
    assert "lr" not in [each["Name"] for kind in ranges.values() for each in kind]
    assert request["TrainingJobDefinition"]["StaticHyperParameters"]["lr"] == "0.01"


def test_weights_of_a_file_are_uploaded_once(
    run: Run, data: Path, sagemaker: FakeSageMaker, s3: FakeS3, tmp_path: Path
) -> None:
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(b"weights")
    for _ in range(2):
        status, _, errors = run("launch", "--data", data, "--out", tmp_path, "--weights", weights, "--detach")
        assert (status, errors) == (0, "")
    assert len([key for _, key in s3.calls if key.startswith("training/weights/")]) == 1
    assert sagemaker.requests[0]["HyperParameters"]["weights"].startswith("/opt/ml/input/data/weights/")


def test_the_key_of_the_weights_goes_to_the_job(
    run: Run, data: Path, sagemaker: FakeSageMaker, s3: FakeS3, tmp_path: Path
) -> None:
    (tmp_path / "mine.pth").write_bytes(b"weights")
    words = ["--weights", tmp_path / "mine.pth", "--weights-key", "model_ema", "--detach"]
    status, _, errors = run("launch", "--data", data, "--out", tmp_path, *words)
    assert (status, errors) == (0, "")
    assert sagemaker.requests[0]["HyperParameters"]["weights-key"] == "model_ema"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--data DIR or s3://... is needed"),
        (["--data", "missing"], "--data missing: there is no such folder"),
        (["--data", "s3://elsewhere/photos"], "jobs of dev may read"),
        (["--data", "DATA", "--on", "azure"], "invalid choice: 'azure'"),
        (["--data", "DATA", "--epochs", "0"], "must be at least 1, not 0"),
        (["--data", "DATA", "--instances", "0"], "must be from 1 to 100, not 0"),
        (["--data", "DATA", "--hours", "0"], "must be above 0"),
        (["--data", "DATA", "--tune", "0"], "must be from 1 to 750, not 0"),
        (["--data", "DATA", "--mode", "head"], "give it --weights"),
        (["--data", "DATA", "--weights", "no/such.safetensors"], "there is no such file"),
        (["--data", "DATA", "--weights", "DEFAULT", "--weights-key", "ema"], "and --weights DEFAULT is no file"),
        (["--data", "DATA", "--on", "ec2", "--instances", "2"], "--on ec2 trains on one instance"),
        (["--data", "DATA", "--on", "ec2", "--tune", "2"], "leave out --on ec2"),
        (["--data", "DATA", "--on", "ec2", "--instance-type", "ml.g5.xlarge"], "on ec2 it is g5.xlarge"),
        (["--data", "DATA", "--instance-type", "g5.xlarge"], "on sagemaker it is ml.g5.xlarge"),
        (["--data", "DATA", "--space", "x.toml"], "give --tune N too"),
        (["--data", "DATA", "--tune", "2", "--space", "x.toml"], "there is no such search space"),
        (["--data", "DATA", "--tune", "2", "--space", "UNKNOWN"], "[colour] is no option of `fit`"),
        (["--data", "DATA", "--tune", "2", "--space", "BAD"], "[epochs] argument --epochs: must be at least 1, not 0"),
        (["--data", "DATA", "--tune", "2", "--space", "LR", "--lr", "0.1"], "the command line decides all"),
        (["--data", "DATA", "--resume", "old"], "--resume old: there is no checkpoint"),
        (["--data", "DATA", "--resume", "old", "--tune", "2"], "leave out --tune"),
        (["--data", "DATA", "--out", "/dev/null/build"], "--out /dev/null/build cannot be written"),
        (["--data", "DATA", "--checkpoints", "here"], "it names a folder of this machine"),
        (["--attach"], "nothing was launched from here"),
        (["--stop"], "nothing was launched from here"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_started(
    run: Run, data: Path, sagemaker: FakeSageMaker, s3: FakeS3, tmp_path: Path, arguments: list[str], said: str
) -> None:
    spaces = {
        "UNKNOWN": "[colour]\nlow = 1\nhigh = 2",
        "BAD": "[epochs]\nlow = 0\nhigh = 2",
        "LR": "[lr]\nvalues = [1]",
    }
    for name, text in spaces.items():
        (tmp_path / f"{name}.toml").write_text(text)
    places = {"DATA": data} | {name: tmp_path / f"{name}.toml" for name in spaces}
    out = tmp_path / "build"
    status, _, errors = run("launch", "--out", out, *(places.get(each, each) for each in arguments))
    assert status == 2
    assert said in errors
    assert errors.count("\n") == 1
    assert sagemaker.requests == []
    assert not out.exists()


TYPES = "[ml.m5.large, ml.c7i.large, ml.c7i.xlarge, ml.g5.xlarge]"
NO_SUCH_TYPE = "1 validation error detected: Value 'ml.c7i.huge' at 'resourceConfig.instanceType' failed to satisfy "
NO_SUCH_TYPE += f"constraint: Member must satisfy enum value set: {TYPES}"


@pytest.mark.parametrize(
    ("code", "text", "said"),
    [
        ("ResourceLimitExceeded", "The limit 'ml.p5.48xlarge' is 0 Instances.", "is 0 Instances. Ask for the quota"),
        ("ValidationException", NO_SUCH_TYPE, "trains on no ml.c7i.huge, but on ml.c7i.large, ml.c7i.xlarge"),
    ],
)
def test_a_refusal_of_aws_is_one_line_and_leaves_nothing(
    run: Run,
    data: Path,
    sagemaker: FakeSageMaker,
    s3: FakeS3,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    text: str,
    said: str,
) -> None:
    def refuse(**_: Any) -> None:
        raise error(code, text=text)

    monkeypatch.setattr(sagemaker, "create_training_job", refuse)
    status, _, errors = run("launch", "--data", data, "--out", tmp_path / "build")
    assert status == 2
    assert said in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize("environment", ["dev", "an-environment-of-a-long-name"])
def test_names_differ_and_fit_a_tuning_job(environment: str) -> None:
    names = {new_name(environment) for _ in range(20)}
    assert len(names) > 10
    assert all(len(name) <= MAX_NAME and "--" not in name for name in names)
