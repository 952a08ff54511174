"""What updates retained is found by its tags, and deleted: no more and no less."""

import io

import pytest

from operate.destroy import destroy
from operate.errors import OperateError
from operate.retained import retained
from tests.operate.fakes import ARN, DEV, FakeCloudFormation, FakeSageMaker, account

OURS = {"Project": "kennel", "Deployment": "kennel-dev", "Owner": "team"}


def world() -> tuple[FakeSageMaker, FakeCloudFormation]:
    """Two generations of dev, of which the stack has the newer; and things of others."""
    sagemaker, cloudformation = FakeSageMaker(), FakeCloudFormation()
    for name in ("Old", "New", "Dev2", "Theirs"):
        sagemaker.serve("kennel-dev", f"Config-{name}", f"Model-{name}", "ab" * 32, "s3://b/a.tar.gz")
        for thing in (f"config-{name}".lower(), f"model-{name}".lower()):
            sagemaker.tags[thing] = {} if name == "Theirs" else OURS
    sagemaker.tags["model-dev2"] = sagemaker.tags["config-dev2"] = {**OURS, "Deployment": "kennel-dev-2"}
    sagemaker.endpoints["kennel-dev"]["EndpointConfigName"] = "Config-New"
    cloudformation.add("KennelEndpoint-dev")
    cloudformation.resources["KennelEndpoint-dev"] = [
        ("Config", "AWS::SageMaker::EndpointConfig", f"{ARN}:endpoint-config/config-new"),
        ("Model", "AWS::SageMaker::Model", f"{ARN}:model/model-new"),
    ]
    return sagemaker, cloudformation


def names(sagemaker: FakeSageMaker, cloudformation: FakeCloudFormation) -> list[str]:
    return [thing.name for thing in retained(account(sagemaker=sagemaker, cloudformation=cloudformation), DEV)]


def test_what_an_update_retained_is_found_and_nothing_else() -> None:
    assert names(*world()) == ["Config-Old", "Model-Old"]


def test_what_serves_an_endpoint_of_somebody_else_is_left_to_them() -> None:
    sagemaker, cloudformation = world()
    sagemaker.endpoints["theirs"] = {"EndpointStatus": "InService", "EndpointConfigName": "Config-Old"}
    assert names(sagemaker, cloudformation) == []


def test_destroy_deletes_the_stacks_and_what_was_retained() -> None:
    sagemaker, cloudformation = world()
    there = account(sagemaker=sagemaker, cloudformation=cloudformation)
    destroy(there, DEV, production=False, yes=True)
    assert cloudformation.stacks == {}
    # The fake's stack leaves its model and configuration behind, as a failed deletion of AWS's may.
    assert sorted(sagemaker.deleted) == ["Config-New", "Config-Old", "Model-New", "Model-Old"]


def test_destroy_finds_what_is_left_over_where_the_stacks_are_gone() -> None:
    sagemaker, cloudformation = world()
    cloudformation.stacks.clear()
    cloudformation.resources["KennelEndpoint-dev"].clear()
    destroy(account(sagemaker=sagemaker, cloudformation=cloudformation), DEV, production=False, yes=True)
    assert "Model-Old" in sagemaker.deleted
    assert sorted(sagemaker.models) == ["Model-Dev2", "Model-Theirs"]


def test_what_cannot_be_deleted_is_listed_with_the_command_that_does_it(capsys: pytest.CaptureFixture[str]) -> None:
    sagemaker, cloudformation = world()
    sagemaker.models["Refused"] = {}
    sagemaker.tags["refused"] = OURS
    with pytest.raises(
        OperateError, match="1 of the models and endpoint configurations could not be deleted; run the commands above"
    ):
        destroy(account(sagemaker=sagemaker, cloudformation=cloudformation), DEV, production=False, yes=True)
    assert "aws sagemaker delete-model --model-name Refused" in capsys.readouterr().out
    assert "Model-Old" in sagemaker.deleted


@pytest.mark.parametrize("answer", ["no\n", "\n", ""])
def test_without_a_yes_nothing_is_deleted(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sagemaker, cloudformation = world()
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    with pytest.raises(OperateError, match="nothing was done"):
        destroy(account(sagemaker=sagemaker, cloudformation=cloudformation), DEV, production=False, yes=False)
    assert sagemaker.deleted == []
    assert "KennelEndpoint-dev" in cloudformation.stacks


def test_where_nothing_is_there_nothing_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    destroy(account(), DEV, production=False, yes=False)
    assert "dev has no resources in account 123456789012" in capsys.readouterr().out
