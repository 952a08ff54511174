"""Regions with AWS's Deep Learning Containers, and those without."""

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import region_info
from aws_cdk.assertions import Template

from stacks.common.deep_learning_containers import ACCOUNTS
from stacks.endpoint.artifact import Artifact
from stacks.endpoint.stack import EndpointStack
from stacks.settings import Settings
from stacks.settings.errors import ConfigurationError
from stacks.training.stack import TrainingStack

ARTIFACT = Artifact("0" * 64, bucket="models-bucket", key="7/model.tar.gz")
GOVCLOUD = "us-gov-west-1"
OWN = "123456789012.dkr.ecr.us-gov-west-1.amazonaws.com/pytorch"

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def endpoint(dev: Settings, in_project: None) -> Make:
    def make(env: cdk.Environment | None = None, **changes: Any) -> dict[str, Any]:
        changed = dev.model_copy(update={"endpoint": dev.endpoint.model_copy(update=changes)})
        stack = EndpointStack(cdk.App(), "KennelEndpoint-dev", settings=changed, artifact=ARTIFACT, env=env)
        return dict(Template.from_stack(stack).to_json())

    return make


@pytest.fixture
def training(dev: Settings) -> Make:
    def make(env: cdk.Environment | None = None, **changes: Any) -> dict[str, Any]:
        changed = dev.model_copy(update={"training": dev.training.model_copy(update=changes)})
        return dict(
            Template.from_stack(TrainingStack(cdk.App(), "KennelTraining-dev", settings=changed, env=env)).to_json()
        )

    return make


ADDED = [
    "af-south-1",
    "ap-northeast-3",
    "ap-southeast-5",
    "ap-southeast-7",
    "ca-west-1",
    "il-central-1",
    "mx-central-1",
]
"""Regions that the CDK's facts lacked in 2.275: its mapping failed there at deployment."""


def test_the_mapping_has_every_region_of_awss_page(training: Make) -> None:
    mapping = training()["Mappings"]["DlcRepositoryAccountMap"]
    assert mapping == {region: {"value": account} for region, account in ACCOUNTS.items()}
    assert len(mapping) == 36
    assert mapping.keys() >= set(ADDED)


def test_our_table_agrees_with_the_cdks_facts() -> None:
    facts = {
        region.name: account
        for region in region_info.RegionInfo.regions
        if region.partition in ("aws", "aws-cn") and (account := region.dlc_repository_account)
    }
    assert facts.items() <= ACCOUNTS.items()


@pytest.mark.parametrize("region", [GOVCLOUD, "us-gov-east-1", "eusc-de-east-1", "xx-nowhere-1"])
def test_a_region_without_an_account_is_refused_at_synth_with_the_way_out(
    endpoint: Make, training: Make, monkeypatch: pytest.MonkeyPatch, region: str
) -> None:
    monkeypatch.setenv("CDK_DEFAULT_REGION", region)
    with pytest.raises(
        ConfigurationError, match=rf'KennelEndpoint-dev: .* {region}: set endpoint.container to "image"'
    ):
        endpoint(container="ray")
    with pytest.raises(ConfigurationError, match=rf"KennelTraining-dev: .* {region}: set training.repository to"):
        training()


def test_a_stack_that_pulls_nothing_of_awss_goes_to_any_region(
    endpoint: Make, training: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDK_DEFAULT_REGION", GOVCLOUD)
    assert "Mappings" not in endpoint(container="image")
    template = training(repository=OWN)
    assert "Mappings" not in template
    assert template["Outputs"]["TrainingRepositoryUri"]["Value"] == OWN


def test_jobs_may_pull_from_the_repository_of_the_settings_only(training: Make) -> None:
    template = training(repository=OWN)
    (role,) = [item for name, item in template["Resources"].items() if name.startswith("JobRole")]
    statements = [s for policy in role["Properties"]["Policies"] for s in policy["PolicyDocument"]["Statement"]]
    (pull,) = [statement for statement in statements if statement["Sid"] == "PullImage"]
    assert pull["Resource"]["Fn::Join"][1] == [
        "arn:",
        {"Ref": "AWS::Partition"},
        ":ecr:us-gov-west-1:123456789012:repository/pytorch",
    ]


def test_a_stack_that_is_bound_to_a_region_names_its_account(endpoint: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDK_DEFAULT_REGION", GOVCLOUD)  # not where it goes
    template = endpoint(cdk.Environment(account="123456789012", region="af-south-1"), container="ray")
    assert "Mappings" not in template
    (model,) = [item for item in template["Resources"].values() if item["Type"] == "AWS::SageMaker::Model"]
    assert str(model["Properties"]["PrimaryContainer"]["Image"]).count(ACCOUNTS["af-south-1"]) == 1
    with pytest.raises(ConfigurationError, match=GOVCLOUD):
        endpoint(cdk.Environment(account="123456789012", region=GOVCLOUD), container="ray")
