"""Which model an endpoint serves, and whether it is the one that the stack declares."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from operate.account import Account, code_of
from operate.environment import Environment
from operate.errors import OperateError

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.type_defs import DescribeEndpointOutputTypeDef

RUNBOOK = 'docs/runbook.md, "endpoint-state"'


@dataclass(frozen=True)
class Served:
    """What one variant serves.

    Attributes
    ----------
    address
        The artifact in S3; None if the model has none.
    sha256
        The artifact's hash; None if the model does not say.
    instance_type
        None for a serverless variant.
    """

    variant: str
    address: str | None
    sha256: str | None
    instance_type: str | None

    def __str__(self) -> str:
        return f"{(self.sha256 or 'unknown')[:12]} ({self.address})"


@dataclass(frozen=True)
class Live:
    """An endpoint: its status and configuration, and what its production variants serve."""

    status: str
    config: str
    failure: str
    served: tuple[Served, ...]

    def __str__(self) -> str:
        if len(self.served) == 1:
            return str(self.served[0])
        return ", ".join(f"{served.variant}: {served}" for served in self.served)

    def artifact(self, environment: Environment) -> str | None:
        """Return the address of the environment's artifact, which the variants without a model of their own serve."""
        own = environment.own_models
        return next((served.address for served in self.served if served.variant not in own), None)


def live(account: Account, environment: Environment) -> Live | None:
    """Return the environment's endpoint, or None if there is none."""
    endpoint = _described(account, environment)
    if endpoint is None:
        return None
    config = endpoint.get("EndpointConfigName", "")
    return Live(
        status=endpoint["EndpointStatus"],
        config=config,
        failure=" ".join(endpoint.get("FailureReason", "").split()),
        served=tuple(_served(account, config)),
    )


def _described(account: Account, environment: Environment) -> "DescribeEndpointOutputTypeDef | None":
    try:
        return account.sagemaker.describe_endpoint(EndpointName=environment.endpoint)
    except ClientError as error:
        if is_missing(error):
            return None
        raise


def is_missing(error: ClientError) -> bool:
    """Return whether SageMaker says that there is no such thing, which it does with a code of many meanings."""
    text = str(error).lower()
    return code_of(error) == "ValidationException" and ("could not find" in text or "does not exist" in text)


def _served(account: Account, config: str) -> Iterator[Served]:
    try:
        variants = account.sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
    except ClientError as error:
        if is_missing(error):
            return  # deleted by hand: the endpoint serves on, and nobody can say what
        raise
    for variant in variants:
        container: Any = {}
        try:
            container = account.sagemaker.describe_model(ModelName=variant["ModelName"]).get("PrimaryContainer", {})
        except ClientError as error:
            if not is_missing(error):
                raise
        yield Served(
            variant["VariantName"],
            container.get("ModelDataUrl"),
            container.get("Environment", {}).get("MODEL_ARTIFACT_SHA256"),
            variant.get("InstanceType"),
        )


def verdict(account: Account, environment: Environment) -> str:
    """Say in one line which model serves, and that it is the one of the stack.

    A rollback of SageMaker's can leave an endpoint ``InService`` with its old configuration and without a reason, so
    the status of neither the endpoint nor the stack is enough (terraform-provider-aws issues 39099 and 48997).

    Raises
    ------
    OperateError
        The endpoint serves another configuration than the stack's, or is not in service.
    """
    now = live(account, environment)
    if now is None:
        raise OperateError(f"there is no endpoint {environment.endpoint} in {account}: look at the stack's events")
    stack = environment.stack("Endpoint")
    declared = resources(account, stack, "AWS::SageMaker::EndpointConfig")
    # CloudFormation's physical id is an ARN; SageMaker writes the name in an ARN in lower case.
    if now.config.lower() not in {physical.rsplit("/", 1)[-1].lower() for physical in declared}:
        reason = f" SageMaker's reason: {now.failure}" if now.failure else " SageMaker gives no reason."
        raise OperateError(
            f"{environment.endpoint} serves {now} with configuration {now.config}, which is not the one of {stack}: "
            f"SageMaker rolled the update back.{reason} See {RUNBOOK}"
        )
    if now.status != "InService":
        raise OperateError(f"{environment.endpoint} is {now.status}, with {now}. {now.failure}".rstrip())
    return f"{environment.endpoint} serves {now}, as {stack} declares."


def resources(account: Account, stack: str, kind: str) -> list[str]:
    """Return the physical ids of a stack's resources of a type; none if there is no such stack."""
    try:
        pages = account.cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
        return [
            item["PhysicalResourceId"]
            for page in pages
            for item in page["StackResourceSummaries"]
            if item["ResourceType"] == kind
            and "PhysicalResourceId" in item
            and item["ResourceStatus"] != "DELETE_COMPLETE"
        ]
    except ClientError as error:
        if code_of(error) == "ValidationError":
            return []
        raise
