"""What every stack has: tags, boundary, protection, outputs; and nothing that ties it to one region or account."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam

from stacks.common.every_stack import every_stack
from stacks.settings import Settings
from stacks.settings.account import AccountSettings

Template = dict[str, Any]
Templates = dict[str, Template]
OfType = Callable[[Template, str], dict[str, Template]]

ENVIRONMENTS = ["dev", "local", "prod"]
STACK = "aws:cloudformation:stack"
REGION = re.compile(r"\b(?:af|ap|ca|cn|eu|eusc|il|me|mx|sa|us)(?:-gov|-iso[a-z]?)?-[a-z]+-\d\b")
ACCOUNT = re.compile(r"(?<![0-9a-f])\d{12}(?![0-9a-f])")


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_every_stack_is_tagged_and_only_prod_is_protected(
    tmp_path: Path, synthesise: Callable[..., Templates], manifest: Path, environment: str
) -> None:
    synthesise(tmp_path, manifest, environment)
    artifacts = json.loads((tmp_path / "manifest.json").read_text())["artifacts"]
    stacks = {name: item["properties"] for name, item in artifacts.items() if item["type"] == STACK}
    nouns = ("Storage", "Training", "Endpoint", "Api", "Monitoring")
    assert set(stacks) >= {f"Kennel{noun}-{environment}" for noun in nouns}
    for properties in stacks.values():
        assert properties["tags"] == {
            "Project": "kennel",
            "Environment": environment,
            "Deployment": f"kennel-{environment}",
        }
        assert properties.get("terminationProtection", False) is (environment == "prod")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_stack_says_what_it_made(templates: Callable[[str], Templates], environment: str) -> None:
    outputs = {noun: set(template.get("Outputs", {})) for noun, template in templates(environment).items()}
    assert all(outputs.values()), outputs
    assert outputs["Monitoring"] == {"AlarmTopicArn", "DashboardName"}
    assert "BucketName" in outputs["Storage"]
    assert "EndpointName" in outputs["Endpoint"]
    assert {"FunctionName", "AliasArn", "FunctionUrl"} <= outputs["Api"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_template_names_a_region_an_account_or_a_partition(
    templates: Callable[[str], Templates], environment: str
) -> None:
    for noun, template in templates(environment).items():
        # A mapping of region facts is what makes the others unnecessary.
        text = json.dumps({name: part for name, part in template.items() if name != "Mappings"})
        found = REGION.findall(text) + ACCOUNT.findall(text) + re.findall(r"arn:aws[a-z-]*:", text)
        assert not found, f"{noun}: {found}"


def test_the_search_finds_what_it_looks_for() -> None:
    for region in ("us-east-1", "eu-central-2", "us-gov-west-1", "cn-north-1", "ap-southeast-5", "us-isob-east-1"):
        assert REGION.search(f"logs.{region}.amazonaws.com")
    assert ACCOUNT.search("arn:x:iam::123456789012:role/x")
    assert not ACCOUNT.search("asset." + "0123456789ab" * 5)


def in_one_stack(tmp_path: Path, settings: Settings, account: AccountSettings) -> tuple[Template, dict[str, Any]]:
    """Make a stack with a role of each construct level under some account settings."""
    app = cdk.App(outdir=str(tmp_path))
    stack = cdk.Stack(app, "Stack", **every_stack(settings.model_copy(update={"account": account})))
    iam.Role(stack, "Two", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    iam.CfnRole(stack, "One", assume_role_policy_document={})
    app.synth()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    return json.loads((tmp_path / "Stack.template.json").read_text()), manifest["artifacts"]["Stack"]["properties"]


def boundaries(template: Template) -> list[Any]:
    return [
        item["Properties"].get("PermissionsBoundary")
        for item in template["Resources"].values()
        if item["Type"] == "AWS::IAM::Role"
    ]


def test_a_boundary_is_on_every_role_when_the_setting_is_there(tmp_path: Path, dev: Settings) -> None:
    arn = "arn:aws:iam::123456789012:policy/path/Boundary"
    by_arn = AccountSettings(termination_protection=False, permissions_boundary=arn)
    assert boundaries(in_one_stack(tmp_path / "arn", dev, by_arn)[0]) == [arn, arn]
    by_name = AccountSettings(termination_protection=False, permissions_boundary="Boundary")
    for value in boundaries(in_one_stack(tmp_path / "name", dev, by_name)[0]):
        text = json.dumps(value)
        assert "AWS::Partition" in text
        assert "AWS::AccountId" in text
        assert ":policy/Boundary" in text
    without = AccountSettings(termination_protection=False)
    assert boundaries(in_one_stack(tmp_path / "none", dev, without)[0]) == [None, None]


def test_the_boundary_reaches_the_roles_of_every_stack(
    tmp_path: Path,
    synthesise: Callable[..., Templates],
    manifest: Path,
    resources: OfType,
    monkeypatch: pytest.MonkeyPatch,
    dev: Settings,
) -> None:
    account = AccountSettings(termination_protection=False, permissions_boundary="Boundary")
    monkeypatch.setattr("app.load_settings", lambda name: dev.model_copy(update={"account": account}))
    roles = [
        role
        for template in synthesise(tmp_path, manifest, "dev").values()
        for role in resources(template, "AWS::IAM::Role").values()
    ]
    assert len(roles) >= 3
    assert all("PermissionsBoundary" in role["Properties"] for role in roles)


def test_the_users_tags_stand_beside_kennels(tmp_path: Path, dev: Settings) -> None:
    account = AccountSettings(termination_protection=True, tags={"Owner": "vision"})
    _, properties = in_one_stack(tmp_path, dev, account)
    assert properties["tags"] == {
        "Owner": "vision",
        "Project": "kennel",
        "Environment": "dev",
        "Deployment": "kennel-dev",
    }
    assert properties["terminationProtection"] is True
