"""``launch`` on an embedded AWS: SageMaker jobs under AWS's own training toolkit, and an EC2 instance."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.embedded import KENNEL, environment_of, eventually, free_port, run_local
from tests.end_to_end.project import NAME, Deployment, Model, processes_under, run, synthesised

TINY = ["--arch", "shufflenet_v2_x0_5", "--epochs", "2", "--batch-size", "16"]
CPU = ["--instance-type", "ml.c7i.large"]


class Launcher:
    """The command line, its folder, and the AWS that it starts jobs on."""

    def __init__(self, aws: Deployment, folder: Path, few: Path) -> None:
        self.aws, self.folder, self.few = aws, folder, few
        account = aws.sts.get_caller_identity()["Account"]
        self.bucket = f"{NAME}-{account}-{aws.environment['AWS_REGION']}"

    def __call__(self, *options: Any, data: Path | None = None, check: bool = True) -> str:
        fixed = ["--environment", "local", "--data", data or self.few, "--out", self.folder]
        return run(KENNEL, "launch", *fixed, *options, env=self.aws.environment, check=check)

    @property
    def manifest(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "model.json").read_bytes()))

    @property
    def name(self) -> str:
        """The run that was started last."""
        return str(json.loads((self.folder / "launch.json").read_bytes())["runs"][0]["name"])

    def keys(self, prefix: str) -> list[str]:
        found = self.aws.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [each["Key"] for each in found.get("Contents", [])]

    def check_delivery(self) -> None:
        """Hold the artifact in S3 to the manifest that came home."""
        artifact = self.manifest["artifact"]
        assert artifact["location"] == f"s3://{self.bucket}/models/{artifact['sha256']}.tar.gz"
        found = self.aws.s3.head_object(Bucket=self.bucket, Key=f"models/{artifact['sha256']}.tar.gz")
        assert found["ContentLength"] == artifact["size"]


@pytest.fixture(scope="module")
def few(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few of the digits."""
    folder = tmp_path_factory.mktemp("few")
    for split, count in {"train": 8, "valid": 3, "test": 3}.items():
        for digit in sorted((photos / split).iterdir()):
            (folder / split / digit.name).mkdir(parents=True)
            for photo in sorted(digit.iterdir())[:count]:
                shutil.copy(photo, folder / split / digit.name)
    return folder


@pytest.fixture(scope="module")
def fitted(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``fit`` makes of the few photos on this machine."""
    folder = tmp_path_factory.mktemp("fitted")
    run(KENNEL, "fit", "--data", few, "--out", folder, *TINY)
    return folder


def past_the_gate(folder: Path) -> Model:
    """Synthesise what deploys a model that so few photos cannot make good enough: its manifest says it is."""
    manifest = json.loads((folder / "model.json").read_bytes())
    manifest["metrics"]["test"]["accuracy"] = 1.0
    (folder / "model.json").write_text(json.dumps(manifest))
    return synthesised(folder)


@pytest.fixture(scope="module")
def launch(fitted: Path, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Deploy what training needs on an embedded AWS of its own: its bucket will not be empty."""
    state = tmp_path_factory.mktemp("training-aws") / "state"
    model = past_the_gate(fitted)
    up = run_local("up", "--state", state, "--port", str(free_port()))
    assert up.returncode == 0, up.stdout + up.stderr
    try:
        aws = Deployment(environment_of(state))
        aws.cdk("bootstrap", "--app", model.assembly)
        # TrainingStack is deployed last, so that the CDK would deploy all others with it.
        aws.roll_out(model, "KennelStorage-local", "KennelTraining-local", "--exclusively")
        yield Launcher(aws, tmp_path_factory.mktemp("launched"), few)
    finally:
        run_local("down", "--state", state)
    assert processes_under(state) == {}, "the embedded AWS left processes behind"


def test_a_training_job_makes_the_artifact_that_fit_makes_here_and_the_next_deploy_serves_it(
    launch: Launcher, fitted: Path, few: Path
) -> None:
    printed = launch(*TINY, *CPU)
    assert "epoch=2 " in printed
    assert "sagemaker-training-toolkit" not in printed
    launch.check_delivery()
    made_here = json.loads((fitted / "model.json").read_bytes())["artifact"]["sha256"]
    assert launch.manifest["artifact"]["sha256"] == made_here
    launch.aws.roll_out(past_the_gate(launch.folder), "KennelEndpoint-local")
    photo = sorted((few / "test" / "7").iterdir())[0]
    assert launch.aws.ask_endpoint(photo)["artifact_sha256"] == made_here


@pytest.mark.accept  # two hosts: tests/local/sagemaker/training; two processes: tests/training/fit
def test_two_instances_train_one_model(launch: Launcher) -> None:
    printed = launch(*TINY, *CPU, "--instances", 2)
    assert "in 2 processes" in printed
    assert printed.count("epoch=2 ") == 1, "one of the two speaks"
    launch.check_delivery()


def test_a_tuning_jobs_trials_leave_metrics_and_its_best_settings_are_fitted_and_tested_once(launch: Launcher) -> None:
    assert "`--attach` starts the final job" in launch(*TINY, *CPU, "--tune", 2, "--detach")
    search = launch.name
    printed = launch("--attach", search)
    assert "2 trials completed" in printed
    assert printed.count("test_accuracy=") == 1
    launch.check_delivery()
    sagemaker = launch.aws.sagemaker
    best = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=search)["BestTrainingJob"]
    merit = best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    assert merit == pytest.approx(launch.manifest["metrics"]["validation"]["accuracy"], abs=1e-4)
    tried = launch.manifest["tuning"]
    assert (tried["study"], tried["trials"]["complete"], tried["best"]["trial"]) == (search, 2, best["TrainingJobName"])
    for name, value in tried["best"]["parameters"].items():
        assert str(launch.manifest["training"][name.replace("-", "_")]) == str(value)

    jobs = sagemaker.list_training_jobs(NameContains=search)["TrainingJobSummaries"]
    described = [sagemaker.describe_training_job(TrainingJobName=each["TrainingJobName"]) for each in jobs]
    tested = {
        each["TrainingJobName"]: "test_accuracy" in [metric["MetricName"] for metric in each["FinalMetricDataList"]]
        for each in described
    }
    assert sorted(tested.values()) == [False, False, True]
    assert tested[f"{search}-best"]
    left = [key for prefix in ("training/runs/", "training/output/") for key in launch.keys(f"{prefix}{search}")]
    folder = f"{search}-best"
    assert sorted(left) == [
        f"training/output/{folder}/output/model.tar.gz",
        f"training/runs/{folder}/model.json",
        f"training/runs/{folder}/report.html",
        f"training/runs/{folder}/search.json",
    ]

    manifest = launch.manifest
    launch("--attach", search)
    assert launch.manifest == manifest
    assert len(sagemaker.list_training_jobs(NameContains=search)["TrainingJobSummaries"]) == 3


def test_an_instance_trains_and_terminates_itself(launch: Launcher) -> None:
    printed = launch(*TINY, "--on", "ec2")
    assert "epoch=2 " in printed
    launch.check_delivery()
    named = [{"Name": "tag:Name", "Values": [launch.name]}]

    def states() -> list[str]:
        found = launch.aws.ec2.describe_instances(Filters=named)["Reservations"]
        return [each["State"]["Name"] for reservation in found for each in reservation["Instances"]]

    eventually(lambda: states() == ["terminated"])


@pytest.mark.accept  # a stopped job: tests/local/sagemaker/training; resuming: tests/training/fit/test_resume.py
def test_a_job_that_is_stopped_keeps_its_checkpoint_and_another_goes_on(launch: Launcher) -> None:
    options = [*TINY, "--epochs", "6", "--checkpoint-steps", "1", *CPU]
    launch(*options, "--detach")
    stopped = launch.name
    eventually(lambda: launch.keys(f"training/checkpoints/{stopped}/"), 60)
    launch("--stop", stopped)
    assert "wrote no model" in launch("--attach", stopped, check=False)
    printed = launch(*options, "--resume", stopped)
    assert "Resumed" in printed
    launch.check_delivery()


def test_a_job_that_fails_says_why_in_one_line_and_leaves_the_manifest_alone(launch: Launcher, tmp_path: Path) -> None:
    shutil.copytree(launch.few, tmp_path / "spoilt")
    photo = sorted((tmp_path / "spoilt" / "train" / "3").iterdir())[0]
    photo.write_bytes(b"no photo")
    before = launch.manifest
    printed = launch(*TINY, *CPU, data=tmp_path / "spoilt", check=False)
    last = printed.strip().splitlines()[-1]
    assert last.startswith(f"kennel: {launch.name} failed: ")
    assert photo.name in last
    assert launch.manifest == before
