"""Which model an endpoint serves, and whether it is the one that the stack declares."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from operate.account import Account, if_there
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
        failure=" ".join(endpoint.get("FailureReason", "").split()).removesuffix("."),
        served=tuple(_served(account, config)),
    )


def _described(account: Account, environment: Environment) -> "DescribeEndpointOutputTypeDef | None":
    with if_there():
        return account.sagemaker.describe_endpoint(EndpointName=environment.endpoint)
    return None


def _served(account: Account, config: str) -> Iterator[Served]:
    described: Any = {}
    with if_there():
        described = account.sagemaker.describe_endpoint_config(EndpointConfigName=config)
    # If somebody deleted the configuration, the endpoint still serves, and what it serves is unknown.
    for variant in described.get("ProductionVariants", []):
        container: Any = {}
        with if_there():
            container = account.sagemaker.describe_model(ModelName=variant["ModelName"]).get("PrimaryContainer", {})
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
    now, stack = live(account, environment), environment.stack("Endpoint")
    if now is None:
        raise OperateError(
            f"there is no endpoint {environment.endpoint} in {account}: see the events of the stack {stack}"
        )
    declared = resources(account, stack, "AWS::SageMaker::EndpointConfig")
    # CloudFormation's physical id is an ARN; SageMaker writes the name in an ARN in lower case.
    if now.config.lower() not in {physical.rsplit("/", 1)[-1].lower() for physical in declared}:
        reason = f"SageMaker's reason: {now.failure}." if now.failure else "SageMaker gives no reason."
        raise OperateError(
            f"{environment.endpoint} serves {now} with configuration {now.config}, not the one that {stack} declares: "
            f"SageMaker rolled the update back. {reason} See {RUNBOOK}"
        )
    if now.status != "InService":
        failure = f" {now.failure}." if now.failure else ""
        raise OperateError(f"{environment.endpoint} serves {now}, but is {now.status}.{failure} See {RUNBOOK}")
    return f"{environment.endpoint} serves {now}, as {stack} declares."


def resources(account: Account, stack: str, kind: str) -> list[str]:
    """Return the physical ids of a stack's resources of a type; none if there is no such stack.

    Parameters
    ----------
    kind
        A CloudFormation type, such as ``AWS::SageMaker::Model``.
    """
    with if_there("ValidationError"):
        pages = account.cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
        return [
            item["PhysicalResourceId"]
            for page in pages
            for item in page["StackResourceSummaries"]
            if item["ResourceType"] == kind
            and "PhysicalResourceId" in item
            and item["ResourceStatus"] != "DELETE_COMPLETE"
        ]
    return []
