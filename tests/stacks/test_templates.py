"""Snapshots of every template without its policies, and what matters in them whatever the snapshot says.

`.venv/bin/python -m pytest tests/stacks --snapshot-update` accepts a change. The golden policies hold what the policies
say (``tests/stacks/iam``); the snapshots hold whose they are.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.stacks.normalised import normalised

Template = dict[str, Any]
Templates = dict[str, Template]
OfType = Callable[[Template, str], dict[str, Template]]

ENVIRONMENTS = ["dev", "prod"]
STACKS = ["Storage", "Training", "Endpoint", "Api", "Monitoring"]
DOCUMENTS = {"AssumeRolePolicyDocument", "PolicyDocument", "KeyPolicy"}


def one(items: dict[str, Template]) -> Template:
    (item,) = items.values()
    properties: Template = item["Properties"]
    return properties


def without_policies(value: Any) -> Any:
    """Return a template with a word in place of each policy document."""
    if isinstance(value, list):
        return [without_policies(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: "<golden>" if key in DOCUMENTS else without_policies(one) for key, one in value.items()}


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_template_is_the_accepted_one(
    templates: Callable[[str], Templates], environment: str, stack: str, snapshot: SnapshotAssertion
) -> None:
    template = without_policies(normalised(templates(environment)[stack]))
    assert template == snapshot(extension_class=JSONSnapshotExtension)


def test_a_new_artifact_makes_a_new_model_of_the_same_endpoint(
    tmp_path: Path, synthesise: Callable[..., Templates], write_artifact: Callable[..., Path], resources: OfType
) -> None:
    before, after = (
        synthesise(tmp_path / f"out{number}", write_artifact(tmp_path, content), "dev")["Endpoint"]
        for number, content in enumerate([b"first", b"second"])
    )
    for kind in ("Endpoint", "EndpointConfig", "Model"):
        assert resources(before, f"AWS::SageMaker::{kind}").keys() == resources(after, f"AWS::SageMaker::{kind}").keys()
    first, second = (one(resources(template, "AWS::SageMaker::Endpoint")) for template in (before, after))
    rollback = [endpoint["DeploymentConfig"].pop("AutoRollbackConfiguration") for endpoint in (first, second)]
    assert first == second
    assert rollback[0] != rollback[1], "an alarm keeps its state when it gets another configuration"
    models = [one(resources(template, "AWS::SageMaker::Model"))["PrimaryContainer"] for template in (before, after)]
    assert models[0]["ModelDataUrl"] != models[1]["ModelDataUrl"]
    assert models[0]["Environment"] != models[1]["Environment"]
    access = [
        {name for name in resources(template, "AWS::IAM::Policy") if "HostingAccess" in name}
        for template in (before, after)
    ]
    assert all(access)
    assert access[0].isdisjoint(access[1]), "the running fleet would lose its artifact during the update"


def test_the_archive_keeps_the_suffix_that_sagemaker_asks_for_and_is_named_by_its_hash(
    tmp_path: Path, synthesise: Callable[..., Templates], manifest: Path
) -> None:
    synthesise(tmp_path, manifest, "dev")
    sha256 = json.loads(manifest.read_text())["artifact"]["sha256"]
    files = json.loads((tmp_path / "KennelEndpoint-dev.assets.json").read_text())["files"]
    keys = [place["objectKey"] for file in files.values() for place in file["destinations"].values()]
    assert f"{sha256}.tar.gz" in keys


def test_concurrency_is_reserved_only_when_the_setting_is_there(
    templates: Callable[[str], Templates], resources: OfType
) -> None:
    dev, prod = (one(resources(templates(name)["Api"], "AWS::Lambda::Function")) for name in ("dev", "prod"))
    assert "ReservedConcurrentExecutions" not in dev
    assert prod["ReservedConcurrentExecutions"] == 10
    dev, prod = (one(resources(templates(name)["Api"], "AWS::Lambda::Alias")) for name in ("dev", "prod"))
    assert "ProvisionedConcurrencyConfig" not in dev
    assert prod["ProvisionedConcurrencyConfig"] == {"ProvisionedConcurrentExecutions": 2}


def test_no_scalable_target_names_its_role_which_may_not_be_there_yet(
    templates: Callable[[str], Templates], resources: OfType
) -> None:
    found = [
        target["Properties"]
        for template in templates("prod").values()
        for target in resources(template, "AWS::ApplicationAutoScaling::ScalableTarget").values()
    ]
    assert {target["ServiceNamespace"] for target in found} == {"lambda", "sagemaker"}
    assert not any("RoleARN" in target for target in found)


def test_stacks_do_not_lock_one_another_with_exports(templates: Callable[[str], Templates]) -> None:
    for template in templates("prod").values():
        assert all("Export" not in output for output in template["Outputs"].values())
        assert "Fn::ImportValue" not in json.dumps(template)


def members(value: Any, path: str) -> Iterator[str]:
    """Yield the paths of a value and of everything in it."""
    yield path
    if isinstance(value, dict):
        for name, member in value.items():
            yield from members(member, f"{path}/{name}")
    elif isinstance(value, list):
        for item in value:
            yield from members(item, f"{path}[]")


def declared(template: Template) -> set[str]:
    """Return a template's outputs, and the members of its resources, below the resource's type."""
    resources = template["Resources"].values()
    return {path for resource in resources for path in members(resource, resource["Type"])} | {*template["Outputs"]}


@pytest.mark.parametrize("stack", STACKS)
def test_local_declares_nothing_that_neither_dev_nor_prod_does(
    templates: Callable[[str], Templates], stack: str
) -> None:
    dev, local, prod = (declared(templates(environment)[stack]) for environment in ("dev", "local", "prod"))
    assert local <= dev | prod, "settings/local.toml has other numbers alone: it needs no snapshots of its own"
