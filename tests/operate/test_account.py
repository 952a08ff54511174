"""``[account] id`` and ``region`` bind an environment: other credentials are refused before anything happens."""

import contextlib
import dataclasses
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from operate import __main__ as command_line
from operate.account import REGION_VARIABLES, connect, if_there
from operate.environment import Environment, load_environment
from operate.errors import OperateError
from tests.operate.fakes import DEV, error

ARN = "arn:aws:iam::210987654321:user/me"


@dataclasses.dataclass
class FakeSession:
    """Credentials of account 210987654321, with a profile of a region; it answers STS and nothing else."""

    region_name: str | None = "eu-west-1"
    problem: Exception | None = None

    def client(self, service: str, config: object) -> Any:
        assert service == "sts", "something else was asked first"
        return self

    def get_caller_identity(self) -> dict[str, str]:
        if self.problem:
            raise self.problem
        return {"Account": "210987654321", "Arn": ARN}


@pytest.fixture(autouse=True)
def session(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in REGION_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(boto3, "Session", FakeSession)


def bound(**account: Any) -> Environment:
    return dataclasses.replace(DEV, settings={"account": account})


def test_without_a_binding_any_account_is_taken() -> None:
    account = connect(bound())
    assert (account.id, account.region) == ("210987654321", "eu-west-1")


def test_the_bound_account_and_region_are_taken() -> None:
    assert connect(bound(id="210987654321", region="eu-west-1")).id == "210987654321"


def test_credentials_of_another_account_are_refused() -> None:
    with pytest.raises(OperateError) as caught:
        connect(bound(id="123456789012"))
    assert str(caught.value) == (
        "settings/dev.toml binds dev to account 123456789012, but your credentials belong to account 210987654321 "
        f"({ARN}): nothing was done; set AWS_PROFILE to a profile of account 123456789012"
    )


def test_another_region_is_refused_without_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeSession, "client", None)
    with pytest.raises(OperateError, match=r"binds dev to region eu-central-1, .* is eu-west-1: nothing was done"):
        connect(bound(region="eu-central-1"))


def test_the_region_is_the_one_that_the_cdk_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert connect(bound()).region == "us-west-2"
    monkeypatch.setenv("AWS_REGION", "us-east-2")
    assert connect(bound()).region == "us-east-2"


def test_the_bound_region_serves_where_none_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        FakeSession, "__init__", lambda self, region_name=None: setattr(self, "region_name", region_name)
    )
    monkeypatch.setattr(FakeSession, "problem", None)
    assert connect(bound(region="eu-central-1")).region == "eu-central-1"
    with pytest.raises(OperateError, match="no AWS region; set AWS_REGION"):
        connect(bound())


@pytest.mark.parametrize(
    ("account", "says"),
    [
        ({"id": 123456789012}, "account.id = 123456789012: use the 12 digits"),
        ({"id": "12345678901"}, "account.id = '12345678901': use the 12 digits"),
        ({"region": "Frankfurt"}, "account.region = 'Frankfurt': use the name of an AWS region"),
    ],
)
def test_a_binding_of_another_form_is_refused(account: dict[str, Any], says: str) -> None:
    with pytest.raises(OperateError, match=f"^settings/dev.toml: {says}"):
        connect(bound(**account))


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        (NoCredentialsError(), "no usable AWS credentials"),
        (error("ExpiredToken", "The token is old"), "the AWS credentials have expired; sign in again"),
        (error("AccessDenied", "not authorized"), "AWS refused the request: .*not authorized"),
    ],
)
def test_what_aws_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch, problem: Exception, says: str) -> None:
    monkeypatch.setattr(FakeSession, "get_caller_identity", lambda self: (_ for _ in ()).throw(problem))
    with pytest.raises(OperateError, match=says) as caught:
        connect(bound())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("command", command_line.COMMANDS)
def test_every_command_refuses_other_credentials_before_it_begins(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_line, "load_environment", lambda name: bound(id="123456789012"))
    model = ["--model", "s3://bucket/a.tar.gz"] if command == "rollback" else []
    assert command_line.main([command, "--environment", "dev", "--yes", *model]) == 1
    assert capsys.readouterr().err.startswith("kennel: settings/dev.toml binds dev to account 123456789012")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing", r"settings/nothing\.toml: no such settings file \(there are: dev, local, prod\)"),
        ("../dev", "not an environment's name"),
        ("", "not an environment's name"),
        ("dev\n", "not an environment's name"),
    ],
)
def test_an_environment_without_settings_is_refused(name: str, says: str) -> None:
    with pytest.raises(OperateError, match=says) as caught:
        load_environment(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "text", "passed"),
    [
        ("NoSuchKey", "no", True),
        ("ValidationException", 'Could not find endpoint "kennel-dev".', True),
        ("ValidationException", "The model does not exist.", True),
        ("ValidationException", "RecordNotFound", True),
        ("ValidationException", "2 validation errors detected", False),
        ("AccessDenied", "it does not exist, or you may not see it", False),
        ("NoSuchBucket", "no", False),
    ],
)
def test_only_the_answer_that_there_is_no_such_thing_is_passed_over(code: str, text: str, passed: bool) -> None:
    with pytest.raises(ClientError) if not passed else contextlib.nullcontext(), if_there("NoSuchKey"):
        raise error(code, text)
