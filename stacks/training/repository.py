"""The repository that training jobs pull their container from: AWS's, or a copy of it in an account of yours."""

from aws_cdk import Stack
from constructs import Construct

from stacks.common.deep_learning_containers import Repository, aws_repository
from stacks.settings.training import ECR_REPOSITORY

NAME = "pytorch"
"""AWS's PyTorch training container; ``launch`` adds the tag (AWS Deep Learning Containers, "PyTorch Training")."""


def training_repository(scope: Construct, setting: str | None) -> Repository:
    """Return the repository of the setting, or else AWS's in the stack's region.

    Parameters
    ----------
    scope
        A construct of the stack.
    setting
        ``[training] repository``: the URI of an Amazon ECR repository, without a tag.

    Raises
    ------
    ConfigurationError
        There is no setting, and Kennel knows no repository of AWS's in the region.
    """
    if setting is None:
        way_out = f"set training.repository to an Amazon ECR repository of yours that has a copy of AWS's {NAME} images"
        return aws_repository(scope, NAME, way_out=way_out)
    match = ECR_REPOSITORY.fullmatch(setting)
    if not match:
        raise AssertionError(f"settings let {setting!r} pass")
    arn = Stack.of(scope).format_arn(
        service="ecr",
        region=match["region"],
        account=match["account"],
        resource="repository",
        resource_name=match["name"],
    )
    return Repository(setting, arn)
