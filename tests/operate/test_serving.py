"""Which model serves, and what a silent rollback of SageMaker's looks like."""

import dataclasses

import pytest

from operate.errors import OperateError
from operate.serving import live, verdict
from tests.operate.fakes import ARN, DEV, FakeCloudFormation, FakeSageMaker, account

ADDRESS = "s3://photos/models/a.tar.gz"


def world(declared: str = "Config-New") -> tuple[FakeSageMaker, FakeCloudFormation]:
    """An endpoint that serves `Config-New`, and a stack that declares a configuration by an ARN in lower case."""
    sagemaker, cloudformation = FakeSageMaker(), FakeCloudFormation()
    sagemaker.serve("kennel-dev", "Config-New", "Model-New", "ab" * 32, ADDRESS)
    kind = "AWS::SageMaker::EndpointConfig"
    cloudformation.resources["KennelEndpoint-dev"] = [
        ("Config", kind, f"{ARN}:endpoint-config/{declared.lower()}"),
        ("Endpoint", "AWS::SageMaker::Endpoint", f"{ARN}:endpoint/kennel-dev"),
    ]
    return sagemaker, cloudformation


def test_one_line_says_which_model_serves() -> None:
    sagemaker, cloudformation = world()
    line = verdict(account(sagemaker=sagemaker, cloudformation=cloudformation), DEV)
    assert line == f"kennel-dev serves abababababab ({ADDRESS}), as KennelEndpoint-dev declares."


def test_a_rollback_without_a_reason_is_noticed_although_the_endpoint_is_in_service() -> None:
    sagemaker, cloudformation = world(declared="Config-Newer")
    with pytest.raises(OperateError) as caught:
        verdict(account(sagemaker=sagemaker, cloudformation=cloudformation), DEV)
    assert str(caught.value).startswith(
        f"kennel-dev serves abababababab ({ADDRESS}) with configuration Config-New, not the one that "
        "KennelEndpoint-dev declares: SageMaker rolled the update back. SageMaker gives no reason. See docs/runbook.md"
    )


def test_a_rollback_with_a_reason_shows_it() -> None:
    sagemaker, cloudformation = world(declared="Config-Newer")
    sagemaker.endpoints["kennel-dev"]["FailureReason"] = "alarm(s)\nin state ALARM"
    with pytest.raises(OperateError, match=r"SageMaker's reason: alarm\(s\) in state ALARM\. See"):
        verdict(account(sagemaker=sagemaker, cloudformation=cloudformation), DEV)


def test_an_endpoint_that_failed_is_no_success() -> None:
    sagemaker, cloudformation = world()
    sagemaker.endpoints["kennel-dev"]["EndpointStatus"] = "Failed"
    with pytest.raises(OperateError, match=r"^kennel-dev serves .*, but is Failed\."):
        verdict(account(sagemaker=sagemaker, cloudformation=cloudformation), DEV)


def test_without_an_endpoint_there_is_nothing_live() -> None:
    assert live(account(), DEV) is None
    with pytest.raises(OperateError, match="there is no endpoint kennel-dev in account 123456789012"):
        verdict(account(), DEV)


def test_the_live_artifact_is_that_of_a_variant_without_a_model_of_its_own() -> None:
    sagemaker, _ = world()
    sagemaker.configs["Config-New"].insert(0, {"VariantName": "Next", "ModelName": "Model-Next"})
    sagemaker.models["Model-Next"] = {"PrimaryContainer": {"ModelDataUrl": "s3://photos/next.tar.gz"}}
    variants = [{"name": "Next", "manifest": "build/next/model.json"}, {"name": "AllTraffic"}]
    environment = dataclasses.replace(DEV, settings={"endpoint": {"variants": variants}})
    now = live(account(sagemaker=sagemaker), environment)
    assert now is not None
    assert now.artifact(environment) == ADDRESS


def test_a_configuration_or_model_that_somebody_deleted_ends_nothing() -> None:
    sagemaker, _ = world()
    sagemaker.models.clear()
    now = live(account(sagemaker=sagemaker), DEV)
    assert now is not None
    assert now.artifact(DEV) is None
    sagemaker.configs.clear()
    now = live(account(sagemaker=sagemaker), DEV)
    assert now is not None
    assert now.served == ()
