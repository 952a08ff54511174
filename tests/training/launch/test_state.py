"""What was started from here, and the run that a name means."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber

from tests.training.launch.fakes import SITE, FakeS3, aws_with
from training.common.errors import TrainingError
from training.launch.state import KEPT, LaunchedRun, find_run, launched_runs, remember


def test_runs_are_remembered_the_latest_first(tmp_path: Path) -> None:
    for number in range(KEPT + 5):
        remember(tmp_path, LaunchedRun(f"run-{number}", "training", "dev"))
    runs = launched_runs(tmp_path)
    assert len(runs) == KEPT
    assert runs[0].name == f"run-{KEPT + 4}"
    assert [path.name for path in tmp_path.iterdir()] == ["launch.json"]


def test_launches_at_the_same_time_are_all_remembered(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: remember(tmp_path, LaunchedRun(f"run-{number}", "training", "dev")), range(40)))
    assert len(launched_runs(tmp_path)) == 40


def test_a_damaged_memory_is_told(tmp_path: Path) -> None:
    (tmp_path / "launch.json").write_text('{"runs": [{"name"')
    with pytest.raises(TrainingError, match=r"launch\.json is damaged"):
        launched_runs(tmp_path)


def test_nothing_launched_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing was launched from here"):
        find_run(aws_with(), "", "dev", tmp_path)


@pytest.mark.parametrize("kind", ["training", "tuning", "instance"])
def test_the_latest_run_is_found_without_its_name(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.launch.state.find_site", lambda *_: SITE)
    remember(tmp_path, LaunchedRun("first", "training", "dev"))
    remember(tmp_path, LaunchedRun("last", kind, "dev"))
    _, run = find_run(aws_with(), "", "prod", tmp_path)
    assert (run.name, run.kind) == ("last", kind)


def test_a_run_that_was_started_elsewhere_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.launch.state.find_site", lambda *_: SITE)
    client = boto3.client("sagemaker")
    s3 = FakeS3()
    for known in (False, True):
        with Stubber(client) as stub:
            stub.add_client_error("describe_training_job", "ValidationException", "Requested resource not found.")
            stub.add_client_error("describe_hyper_parameter_tuning_job", "ResourceNotFound", "can't find")
            if known:
                s3.objects["training/runs/far/order.json"] = b"{}"
                assert find_run(aws_with(sagemaker=client, s3=s3), "far", "dev", tmp_path)[1].kind == "instance"
            else:
                with pytest.raises(TrainingError, match="dev has no run far in eu-west-1"):
                    find_run(aws_with(sagemaker=client, s3=s3), "far", "dev", tmp_path)
