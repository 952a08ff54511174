"""What every stack gets: tags, a permissions boundary, termination protection."""

from typing import Any

from aws_cdk import PermissionsBoundary

from stacks.settings import Settings
from stacks.settings.account import AccountSettings


def every_stack(settings: Settings) -> dict[str, Any]:
    """Return the arguments that all stacks of an environment are made with.

    CloudFormation puts a stack's tags on everything in it that takes tags, and the CDK applies the boundary to every
    role, those made by AWS's constructs too.
    """
    return {
        "tags": stack_tags(settings),
        "termination_protection": settings.account.termination_protection,
        "permissions_boundary": _boundary(settings.account),
    }


def stack_tags(settings: Settings) -> dict[str, str]:
    """Return the user's tags and Kennel's own."""
    key, value = deployment_tag(settings.environment)
    return {**settings.account.tags, "Project": "kennel", "Environment": settings.environment, key: value}


def deployment_tag(environment: str) -> tuple[str, str]:
    """Return the tag that tells one environment from everything else in an account, as a budget needs it.

    Several tags in the filter of a budget mean any of them, so project and environment cannot be two.
    """
    return "Deployment", f"kennel-{environment}"


def _boundary(settings: AccountSettings) -> PermissionsBoundary | None:
    policy = settings.permissions_boundary
    if policy is None:
        return None
    return PermissionsBoundary.from_arn(policy) if policy.startswith("arn:") else PermissionsBoundary.from_name(policy)
