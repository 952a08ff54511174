"""The stack's outputs, and what is said where they cannot be had."""

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from tests.training.launch.fakes import aws_with
from training.common.aws import Aws
from training.common.errors import TrainingError
from training.launch import site
from training.launch.site import find_site, tags

OUTPUTS = {
    "TrainingRoleArn": "arn:aws:iam::123456789012:role/Train",
    "TrainingRepositoryUri": "763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch",
    "TrainingUri": "s3://kennel-dev-123456789012-eu-west-1/training/",
    "SubnetIds": "subnet-1,subnet-2",
    "LaunchTemplateId": "lt-1",
    "InstanceMarket": "spot",
}
TAGS = {"Deployment": "kennel-dev", "owner": "vision"}


def stubbed(outputs: dict[str, str]) -> tuple[Aws, Stubber]:
    client = boto3.client("cloudformation")
    stub = Stubber(client)
    stack: Any = {
        "StackName": "KennelTraining-dev",
        "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/KennelTraining-dev/1",
        "CreationTime": "2026-11-21T00:00:00Z",
        "StackStatus": "CREATE_COMPLETE",
        "Tags": [{"Key": key, "Value": value} for key, value in {**TAGS, "aws:servicecatalog:x": "y"}.items()],
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
    }
    stub.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": "KennelTraining-dev"})
    stub.activate()
    return aws_with(cloudformation=client), stub


def test_the_outputs_say_where_to_train() -> None:
    place = find_site(stubbed(OUTPUTS)[0], "dev")
    assert place.bucket == "kennel-dev-123456789012-eu-west-1"
    assert place.subnets == ("subnet-1", "subnet-2")
    assert (place.template, place.key, place.region) == ("lt-1", None, "eu-west-1")
    assert place.spot


def test_what_is_started_has_the_tags_of_the_stack() -> None:
    """With ``Deployment``, by which the budget finds it, and ``account.tags``; AWS's own may not be named."""
    assert tags(find_site(stubbed(OUTPUTS)[0], "dev")) == [
        {"Key": "Deployment", "Value": "kennel-dev"},
        {"Key": "owner", "Value": "vision"},
    ]


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        ('id = "123456789012"\nregion = "eu-west-1"', None),
        ("", None),
        (
            'id = "210987654321"',
            r'account.id = "210987654321".* lead to 123456789012: nothing was started; set AWS_PROFILE',
        ),
        ('region = "us-east-1"', r"lead to eu-west-1: nothing was started; set AWS_REGION=us-east-1$"),
        ("id = ", r"^settings/dev\.toml cannot be read: "),
    ],
)
def test_an_environment_that_is_bound_trains_in_no_other_account_or_region(
    bound: str, message: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(site, "SETTINGS", tmp_path)
    (tmp_path / "dev.toml").write_text(f"[account]\n{bound}\n")
    if message is None:
        find_site(stubbed(OUTPUTS)[0], "dev")
        return
    with pytest.raises(TrainingError, match=message):
        find_site(stubbed(OUTPUTS)[0], "dev")


def test_a_stack_of_an_older_version_says_nothing_of_the_market() -> None:
    aws, _ = stubbed({key: value for key, value in OUTPUTS.items() if key != "InstanceMarket"})
    assert not find_site(aws, "dev").spot


def test_a_stack_without_an_output_is_told() -> None:
    aws, _ = stubbed({key: value for key, value in OUTPUTS.items() if key != "TrainingRoleArn"})
    with pytest.raises(TrainingError, match="KennelTraining-dev is CREATE_COMPLETE and has no output TrainingRoleArn"):
        find_site(aws, "dev")


def test_a_stack_that_is_not_deployed_is_told() -> None:
    client = boto3.client("cloudformation")
    stub = Stubber(client)
    stub.add_client_error("describe_stacks", "ValidationError", "Stack with id KennelTraining-dev does not exist")
    stub.activate()
    with pytest.raises(TrainingError, match=r"no stack KennelTraining-dev .* eu-west-1; `./kennel cdk deploy"):
        find_site(aws_with(cloudformation=client), "dev")


def test_an_account_that_may_not_ask_is_told() -> None:
    client = boto3.client("cloudformation")
    stub = Stubber(client)
    stub.add_client_error("describe_stacks", "AccessDenied", "not authorized to perform DescribeStacks", 403)
    stub.activate()
    with pytest.raises(TrainingError, match="not authorized to perform DescribeStacks"):
        find_site(aws_with(cloudformation=client), "dev")


def test_missing_credentials_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(TrainingError, match="no usable AWS credentials"):
        find_site(Aws(), "dev")


def test_a_missing_region_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(TrainingError, match="no AWS region; set AWS_REGION"):
        find_site(Aws(), "dev")


def test_nobody_at_the_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("training.common.aws._CONFIG", Config(retries={"total_max_attempts": 1}))
    with pytest.raises(TrainingError, match=r"Could not connect .*; is there a network, and is AWS_ENDPOINT_URL right"):
        find_site(Aws(), "dev")
