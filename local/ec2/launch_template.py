"""What RunInstances takes from a launch template."""

from collections.abc import Callable
from typing import Any

MEMBERS = ("ImageId", "InstanceType", "KeyName", "UserData", "InstanceInitiatedShutdownBehavior")
"""Members of a launch template that a request overrides one by one, those that matter here."""

Template = dict[str, Any]


def merge_template(parameters: dict[str, str], template: Template) -> dict[str, str]:
    """Return RunInstances' parameters with what they leave to the launch template; one count, as AWS fulfils it.

    Parameters
    ----------
    parameters
        The request's parameters, as the query protocol spells them.
    template
        The launch template's data, {} without one.
    """
    merged = {**parameters, "MinCount": parameters.get("MaxCount", "1")}
    for member in MEMBERS:
        if template.get(member):
            merged.setdefault(member, str(template[member]))
    for structure, flatten in STRUCTURES.items():
        if not any(name.startswith(f"{structure}.") for name in parameters):
            merged |= flatten(template)
    return merged


def _security_groups(template: Template) -> dict[str, str]:
    groups = template.get("SecurityGroupIds", ())
    return {f"SecurityGroupId.{number}": group for number, group in enumerate(groups, start=1)}


def _market(template: Template) -> dict[str, str]:
    if "InstanceMarketOptions" not in template:
        return {}
    return {"InstanceMarketOptions.MarketType": template["InstanceMarketOptions"].get("MarketType", "")}


def _profile(template: Template) -> dict[str, str]:
    return {f"IamInstanceProfile.{key}": value for key, value in template.get("IamInstanceProfile", {}).items()}


def _tags(template: Template) -> dict[str, str]:
    flat = {}
    for number, specification in enumerate(template.get("TagSpecifications", ()), start=1):
        flat[f"TagSpecification.{number}.ResourceType"] = specification["ResourceType"]
        for index, tag in enumerate(specification["Tags"], start=1):
            flat[f"TagSpecification.{number}.Tag.{index}.Key"] = tag["Key"]
            flat[f"TagSpecification.{number}.Tag.{index}.Value"] = tag["Value"]
    return flat


STRUCTURES: dict[str, Callable[[Template], dict[str, str]]] = {
    "SecurityGroupId": _security_groups,
    "InstanceMarketOptions": _market,
    "IamInstanceProfile": _profile,
    "TagSpecification": _tags,
}
"""Parameters of the query protocol that a request overrides as a whole, and how a template gives them."""
