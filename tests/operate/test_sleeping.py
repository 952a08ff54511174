"""What sleep and wake refuse; tests/end_to_end/test_operate.py puts an environment to sleep and wakes it."""

import dataclasses

import pytest

from operate.errors import OperateError
from operate.instance_type import change_instance_type
from operate.sleeping import RECORD, sleep, wake
from tests.operate.fakes import DEV, ID, REGION, FakeCloudFormation, FakeS3, FakeSageMaker, account

BUCKET = f"kennel-dev-{ID}-{REGION}"
PROTECTED = dataclasses.replace(DEV, settings={"account": {"termination_protection": True}})


def serving(instance_type: str = "ml.c7i.large") -> FakeSageMaker:
    sagemaker = FakeSageMaker()
    sagemaker.serve("kennel-dev", "Config", "Model", "ab" * 32, "s3://photos/models/a.tar.gz")
    sagemaker.configs["Config"][0]["InstanceType"] = instance_type
    return sagemaker


def test_both_refuse_a_protected_environment() -> None:
    with pytest.raises(OperateError, match="putting it to sleep is refused; allow it with --production"):
        sleep(account(), PROTECTED, manifest=None, production=False, yes=True)
    with pytest.raises(OperateError, match="waking it is refused; allow it with --production"):
        wake(account(), PROTECTED, production=False, yes=True)


def test_without_an_endpoint_there_is_nothing_to_put_to_sleep() -> None:
    with pytest.raises(OperateError, match="there is no KennelEndpoint-dev in account 123456789012"):
        sleep(account(), DEV, manifest=None, production=False, yes=True)


def test_what_could_not_be_woken_is_not_put_to_sleep() -> None:
    cloudformation = FakeCloudFormation()
    cloudformation.add("KennelEndpoint-dev")
    there = account(sagemaker=serving(), cloudformation=cloudformation)
    with pytest.raises(OperateError, match="has no manifest beside it"):
        sleep(there, DEV, manifest=None, production=False, yes=True)
    assert "KennelEndpoint-dev" in cloudformation.stacks


def test_what_does_not_sleep_is_not_woken(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OperateError, match=r"dev is not asleep .*: deploy it with `make deploy ENVIRONMENT=dev`"):
        wake(account(), DEV, production=False, yes=True)
    wake(account(sagemaker=serving()), DEV, production=False, yes=True)
    assert "dev is awake." in capsys.readouterr().out


@pytest.mark.parametrize("record", [b"", b"[]", b'{"artifact": "s3://b/a.tar.gz"}'])
def test_a_broken_record_says_what_to_do(record: bytes) -> None:
    s3 = FakeS3({(BUCKET, RECORD): record})
    with pytest.raises(
        OperateError, match="not a valid record of a sleeping environment: delete this object, and deploy"
    ):
        wake(account(s3=s3), DEV, production=False, yes=True)


def test_an_instance_type_that_is_there_already_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    cloudformation = FakeCloudFormation()
    target = {"Type": "AWS::ApplicationAutoScaling::ScalableTarget"}
    cloudformation.add("KennelEndpoint-dev", {"Resources": {"Target": target}})
    environment = dataclasses.replace(DEV, settings={"endpoint": {"instance_type": "ml.c7i.large"}})
    there = account(sagemaker=serving(), cloudformation=cloudformation)
    change_instance_type(there, environment, manifest=None, yes=True)
    assert "already has the variants of settings/dev.toml: AllTraffic on ml.c7i.large." in capsys.readouterr().out
    assert cloudformation.updates == []


def test_a_serverless_endpoint_has_no_instance_type() -> None:
    environment = dataclasses.replace(DEV, settings={"endpoint": {"serverless": {}}})
    cloudformation = FakeCloudFormation()
    cloudformation.add("KennelEndpoint-dev")
    with pytest.raises(
        OperateError, match="is serverless, and SageMaker cannot change an endpoint from or to serverless"
    ):
        change_instance_type(
            account(sagemaker=serving(), cloudformation=cloudformation), environment, manifest=None, yes=True
        )
