"""No orphan role, and no policy of anyone but a role: the golden policies speak of roles and resources only."""

import json
from collections.abc import Callable
from typing import Any

from tests.stacks.iam.policy_model import POLICY_TYPES, Access, Template, access

Templates = dict[str, Template]

HANDED_OUT = {"Training-JobRole": "people pass it to the jobs they start"}
"""Roles that no resource of a template assumes, and who does."""


def test_nobody_gets_a_policy_but_roles_of_the_same_template(
    environment: str, templates: Callable[[str], Templates]
) -> None:
    for template in templates(environment).values():
        kinds = {name: item["Type"] for name, item in template["Resources"].items()}
        assert not {"AWS::IAM::User", "AWS::IAM::Group", "AWS::IAM::AccessKey"} & set(kinds.values())
        for name, kind in kinds.items():
            if kind in POLICY_TYPES:
                properties = template["Resources"][name]["Properties"]
                assert not properties.get("Users")
                assert not properties.get("Groups")
                roles = properties.get("Roles", [properties.get("RoleName")])
                assert roles, f"{name} is attached to nothing"
                assert {kinds[role["Ref"]] for role in roles} == {"AWS::IAM::Role"}


def orphans(stack: str, template: Template) -> list[str]:
    """Return the roles that nothing assumes: a policy attached to a role is no use of it."""
    resources = template["Resources"]

    def used(logical_id: str) -> bool:
        for name, item in resources.items():
            if name == logical_id or item["Type"] in POLICY_TYPES or not _names(item.get("Properties", {}), logical_id):
                continue
            if item["Type"] != "AWS::IAM::InstanceProfile" or used(name):
                return True
        return False

    def handed_out(role: Access) -> bool:
        return role.name in HANDED_OUT and _names(template.get("Outputs", {}), role.logical_id)

    roles = [role for role in access(stack, template).values() if role.trust]
    return [role.name for role in roles if not used(role.logical_id) and not handed_out(role)]


def _names(value: Any, logical_id: str) -> bool:
    text = json.dumps(value)
    return f'{{"Ref": "{logical_id}"}}' in text or f'{{"Fn::GetAtt": ["{logical_id}", "Arn"]}}' in text


def test_no_role_is_an_orphan(environment: str, templates: Callable[[str], Templates]) -> None:
    for stack, template in templates(environment).items():
        assert not orphans(stack, template)


def test_a_role_whose_users_are_gone_is_an_orphan(environment: str, templates: Callable[[str], Templates]) -> None:
    for stack, template in templates(environment).items():
        lonely = {name: item for name, item in template["Resources"].items() if item["Type"].startswith("AWS::IAM::")}
        roles = [name for name, role in access(stack, template).items() if role.trust]
        assert orphans(stack, {"Resources": lonely}) == roles
