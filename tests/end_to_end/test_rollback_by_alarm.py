"""The settings of prod meet a model that starts well and fails every photo: its alarms take the update back."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.embedded import ROOT, Traffic, eventually
from tests.end_to_end.archives import repacked
from tests.end_to_end.environment import copied_project
from tests.end_to_end.project import Deployment, Model, synthesised

ENVIRONMENT = "guarded"
STACKS = (f"KennelStorage-{ENVIRONMENT}", f"KennelEndpoint-{ENVIRONMENT}")
FAIL = b"""

def respond(model, body, headers):
    return problem(500)
"""
"""What replaces the answer to a photo in `inference.py`, after the model has loaded and proved itself."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with prod's settings under another name, and nothing of them kept after the test."""
    folder = copied_project(tmp_path_factory.mktemp(ENVIRONMENT))
    settings = (ROOT / "settings" / "prod.toml").read_text()
    for kept in ("termination_protection", "retain"):
        assert f"\n{kept} = true" in settings
        settings = settings.replace(f"\n{kept} = true", f"\n{kept} = false")
    (folder / "settings" / f"{ENVIRONMENT}.toml").write_text(settings)
    return folder


@pytest.fixture(scope="module")
def guarded(bootstrapped: Deployment, first: Model, project: Path) -> Iterator[Deployment]:
    """Deploy the first model."""
    aws = dataclasses.replace(bootstrapped, settings=ENVIRONMENT)
    model = synthesised(first.folder, project / "cdk.out.first", environment=ENVIRONMENT, project=project)
    aws.roll_out(model, *STACKS)
    yield aws
    for stack in reversed(STACKS):
        aws.settled(stack)
        aws.cloudformation.delete_stack(StackName=stack)
        wait_until_gone(aws, stack)


def wait_until_gone(aws: Deployment, name: str) -> None:
    eventually(lambda: name not in [stack["StackName"] for stack in aws.cloudformation.describe_stacks()["Stacks"]], 60)


def failing(model: Model, folder: Path) -> Path:
    """Make the serving code inside an archive fail every photo, and write the manifest that belongs to it."""
    return repacked(model, folder, lambda name, data: data + (FAIL if name == "code/serving/inference.py" else b""))


def test_a_model_that_fails_photos_is_rolled_back_by_its_alarms(
    guarded: Deployment, first: Model, photos: Path, project: Path, tmp_path: Path
) -> None:
    bad = synthesised(failing(first, tmp_path), environment=ENVIRONMENT, project=project)
    before = guarded.sagemaker.describe_endpoint(EndpointName=guarded.name)
    photo = sorted((photos / "test").glob("*/*.png"))[0]
    with Traffic(lambda: guarded.ask_endpoint(photo), pause=0.1) as traffic:
        printed = guarded.roll_out(bad, STACKS[-1], check=False)
        failed, answered = len(traffic.failures), len(traffic.answers)
        eventually(lambda: len(traffic.answers) > answered + 20)
    assert guarded.status("Endpoint") == "UPDATE_ROLLBACK_COMPLETE"
    after = guarded.sagemaker.describe_endpoint(EndpointName=guarded.name)
    assert after["EndpointStatus"] == "InService"
    assert after["EndpointConfigName"] == before["EndpointConfigName"]
    assert "CloudWatch alarm(s) in state ALARM" in after["FailureReason"]
    assert "-guardrail-AllTraffic-" in after["FailureReason"]
    assert after["FailureReason"] in printed
    assert len(traffic.failures) == failed > 0
    assert all("Received server error (500)" in failure for failure in traffic.failures)
    assert {answer["artifact_sha256"] for answer in traffic.answers} == {first.sha256}
    (alarm,) = [name for name in rollback_alarms(guarded) if "ServerErrors" in name]
    history = guarded.cloudwatch.describe_alarm_history(AlarmName=alarm)["AlarmHistoryItems"]
    assert any("to ALARM" in item["HistorySummary"] for item in history)


def rollback_alarms(aws: Deployment) -> list[str]:
    config = aws.sagemaker.describe_endpoint(EndpointName=aws.name)["LastDeploymentConfig"]
    return [alarm["AlarmName"] for alarm in config["AutoRollbackConfiguration"]["Alarms"]]
