"""Termination protection, and the edits of a deployed template."""

import dataclasses
import json
from typing import Any

import pytest

from operate import stack as stacks
from operate.errors import OperateError
from tests.operate.fakes import DEV, FakeCloudFormation, account

PROTECTED = dataclasses.replace(DEV, settings={"account": {"termination_protection": True}})
TEMPLATE: dict[str, Any] = {
    "Parameters": {"BootstrapVersion": {"Type": "AWS::SSM::Parameter::Value<String>"}},
    "Resources": {
        "Endpoint": {"Type": "AWS::SageMaker::Endpoint", "DependsOn": ["Role", "Target"]},
        "Target": {"Type": "AWS::ApplicationAutoScaling::ScalableTarget"},
        "Policy": {"Type": "AWS::ApplicationAutoScaling::ScalingPolicy", "DependsOn": "Target"},
        "Role": {"Type": "AWS::IAM::Role"},
    },
}


@pytest.mark.parametrize("by_settings", [True, False])
def test_a_protected_environment_is_refused_unless_the_caller_insists(by_settings: bool) -> None:
    cloudformation = FakeCloudFormation()
    cloudformation.add("KennelApi-dev", protected=not by_settings)
    environment = PROTECTED if by_settings else DEV
    there = account(cloudformation=cloudformation)
    with pytest.raises(OperateError, match=r"so sleeping is refused; .* --production \(make: PRODUCTION=yes\)"):
        stacks.refuse_protected(there, environment, production=False, verb="sleeping")
    stacks.refuse_protected(there, environment, production=True, verb="sleeping")
    cloudformation.stacks["KennelApi-dev"]["EnableTerminationProtection"] = False
    stacks.refuse_protected(there, DEV, production=False, verb="sleeping")


def test_protection_is_lifted_from_what_is_deleted_alone() -> None:
    cloudformation = FakeCloudFormation()
    cloudformation.add("KennelApi-dev", protected=True)
    cloudformation.add("KennelStorage-dev", protected=True)
    there = account(cloudformation=cloudformation)
    (api, storage) = stacks.present(there, DEV)
    stacks.delete(there, [api])
    assert list(cloudformation.stacks) == ["KennelStorage-dev"]
    assert storage.get("EnableTerminationProtection")


def test_an_edit_keeps_all_else_of_the_template_and_the_stack() -> None:
    cloudformation = FakeCloudFormation()
    cloudformation.add("KennelEndpoint-dev", TEMPLATE)
    assert stacks.edit(account(cloudformation=cloudformation), "KennelEndpoint-dev", stacks.without_scaling)
    (update,) = cloudformation.updates
    assert json.loads(update["TemplateBody"]) == {
        **TEMPLATE,
        "Resources": {
            "Endpoint": {"Type": "AWS::SageMaker::Endpoint", "DependsOn": ["Role"]},
            "Role": {"Type": "AWS::IAM::Role"},
        },
    }
    assert update["Parameters"] == [{"ParameterKey": "BootstrapVersion", "UsePreviousValue": True}]
    assert "Tags" not in update, "CloudFormation keeps the stack's tags"
    assert "CAPABILITY_IAM" in update["Capabilities"]


def test_an_edit_that_changes_nothing_updates_nothing() -> None:
    cloudformation = FakeCloudFormation()
    cloudformation.add("KennelApi-dev", {"Resources": {"Role": {"Type": "AWS::IAM::Role"}}})
    assert not stacks.edit(account(cloudformation=cloudformation), "KennelApi-dev", stacks.without_scaling)
    assert cloudformation.updates == []


def test_an_edit_that_cloudformation_undoes_is_an_error_with_its_reason() -> None:
    cloudformation = FakeCloudFormation()
    cloudformation.add("KennelEndpoint-dev", TEMPLATE)
    cloudformation.ends = "UPDATE_ROLLBACK_COMPLETE"
    with pytest.raises(OperateError, match="KennelEndpoint-dev is UPDATE_ROLLBACK_COMPLETE: Alias: no"):
        stacks.edit(account(cloudformation=cloudformation), "KennelEndpoint-dev", stacks.without_scaling)
