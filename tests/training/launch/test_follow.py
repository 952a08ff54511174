"""Following a run, and bringing its model home."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from tests.training.launch.fakes import SITE, FakeS3, aws_with, error
from tests.training.launch.test_logs import Logs
from training.common.errors import TrainingError
from training.launch.follow import download_result, follow
from training.launch.logs import BEGIN
from training.launch.run import RunStatus
from training.launch.sagemaker import TrainingJob, reason


@dataclass
class FakeRun:
    """A run that goes through some states, one at a time."""

    statuses: list[RunStatus]
    name: str = "job"
    kind: str = "training"
    log_group: str = "group"
    restarts: int = 1
    stopped: list[str] = field(default_factory=list)

    def status(self) -> RunStatus:
        return self.statuses.pop(0)

    def stop(self) -> bool:
        self.stopped.append(self.name)
        return True

    def restart(self) -> bool:
        self.restarts -= 1
        return self.restarts >= 0

    def next_run(self) -> None: ...


RUNNING, DONE = RunStatus("running", "Training"), RunStatus("completed", "Completed")


def test_states_and_lines_are_shown_until_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    aws = aws_with(logs=Logs(job_1=["pip", BEGIN, "epoch=1 valid_accuracy=0.5"]))
    assert follow(aws, FakeRun([RUNNING, RUNNING, DONE]), 0) == DONE
    printed = capfd.readouterr().out
    assert printed.count("Status      Training") == 1
    assert printed.count("epoch=1 valid_accuracy=0.5") == 1
    assert "pip" not in printed


def test_a_job_that_never_began_shows_its_last_lines(capfd: pytest.CaptureFixture[str]) -> None:
    aws = aws_with(logs=Logs(job_1=["pip cannot find onnx"]))
    failed = RunStatus("failed", "Failed", "why")
    assert follow(aws, FakeRun([failed]), 0) == failed
    assert "pip cannot find onnx" in capfd.readouterr().out


def test_an_interrupted_run_is_started_again_but_not_for_ever() -> None:
    interrupted = RunStatus("interrupted", "taken away")
    aws = aws_with(logs=Logs())
    assert follow(aws, FakeRun([interrupted, RUNNING, DONE]), 0) == DONE
    assert follow(aws, FakeRun([interrupted, interrupted, interrupted]), 0).state == "failed"


def test_a_log_that_may_not_be_read_does_not_end_the_following(capfd: pytest.CaptureFixture[str]) -> None:
    class Denied(Logs):
        def get_log_events(self, **_: Any) -> dict[str, Any]:
            raise error("AccessDeniedException", text="not authorized to perform logs:GetLogEvents")

    assert follow(aws_with(logs=Denied(job_1=[])), FakeRun([RUNNING, DONE]), 0) == DONE
    assert capfd.readouterr().out.count("cannot be read") == 1


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            'AlgorithmError: ExecuteUserScriptError:\nExitCode 2\nErrorMessage "Exception: kennel: valid is missing'
            '"\nCommand "python job.py", exit code: 1',
            "valid is missing",
        ),
        (
            "CapacityError: Unable to provision\nrequested capacity",
            "CapacityError: Unable to provision requested capacity",
        ),
        ("", ""),
    ],
)
def test_kennels_own_words_are_found_in_a_failure_reason(said: str, expected: str) -> None:
    assert reason({"FailureReason": said}) == expected


def test_a_job_that_ran_too_long_has_failed_though_sagemaker_says_stopped() -> None:
    client = boto3.client("sagemaker")
    job: Any = {
        "TrainingJobName": "job",
        "TrainingJobArn": "arn:aws:sagemaker:eu-west-1:123456789012:training-job/job",
        "ModelArtifacts": {"S3ModelArtifacts": "s3://b/k"},
        "TrainingJobStatus": "Stopped",
        "SecondaryStatus": "MaxRuntimeExceeded",
        "StoppingCondition": {},
        "CreationTime": "2026-11-21T00:00:00Z",
    }
    with Stubber(client) as stub:
        stub.add_response("describe_training_job", job, {"TrainingJobName": "job"})
        status = TrainingJob(aws_with(sagemaker=client), "job").status()
    assert (status.state, status.reason) == ("failed", "MaxRuntimeExceeded")


def manifest(content: bytes = b"artifact") -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    artifact = {"location": SITE.uri(f"models/{digest}.tar.gz"), "sha256": digest, "size": len(content)}
    return {"schema": 1, "artifact": artifact, "metrics": {"test": {"accuracy": 0.9}}}


def test_a_jobs_manifest_comes_home_and_names_the_artifact_in_s3(tmp_path: Path) -> None:
    made = manifest()
    s3 = FakeS3(
        {"training/runs/job/model.json": json.dumps(made).encode(), "training/runs/job/report.html": b"its page"}
    )
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "report.html").write_text("the page of another model")
    download_result(aws_with(s3=s3), SITE, FakeRun([DONE]), tmp_path / "build")
    assert json.loads((tmp_path / "build" / "model.json").read_bytes()) == made
    assert (tmp_path / "build" / "report.html").read_bytes() == b"its page"
    assert {path.name for path in (tmp_path / "build").iterdir()} == {"model.json", "report.html"}


def test_a_run_without_a_manifest_leaves_the_old_one_in_place(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("old")
    s3 = FakeS3({"training/runs/job/report.html": b"page"})
    with pytest.raises(TrainingError, match=r"job has left no model\.json"):
        download_result(aws_with(s3=s3), SITE, FakeRun([DONE]), tmp_path)
    assert (tmp_path / "model.json").read_text() == "old"
