"""The quotas of AWS that the synthesised stacks need at their maximum, by their names in Service Quotas."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cost.assembly import Assembly, Properties, Resource, Stack
from cost.errors import CostError
from cost.inference import ENDPOINT_DIMENSION, FUNCTION_DIMENSION, scales
from cost.usage import literal

FLEETS = 2
"""Fleets of an endpoint during an update: a blue/green update builds the new one beside the old one.

Source: SageMaker guide, "Use rolling deployments".
"""
UNRESERVED_CONCURRENCY = 100
"""Executions that must stay unreserved in an account (Lambda guide, "Configuring reserved concurrency")."""
NEW_ACCOUNT_CONCURRENCY = 10
"""The quota of some new accounts (Lambda guide, "Lambda quotas")."""

_SAGEMAKER, _LAMBDA, _EC2 = "Amazon SageMaker", "AWS Lambda", "Amazon EC2"

# EC2 guide, "Amazon EC2 instance type quotas": the quotas count vCPUs, by family and by spot or on demand.
_ON_DEMAND = {
    "standard": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
    "g": "Running On-Demand G and VT instances",
    "p": "Running On-Demand P instances",
}
_SPOT = {
    "standard": "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests",
    "g": "All G and VT Spot Instance Requests",
    "p": "All P4, P3 and P2 Spot Instance Requests",
    "p5": "All P5 Spot Instance Requests",
}
_EC2_TYPE = re.compile(r"(?P<family>[a-z]+)(?P<generation>\d+)[a-z0-9-]*\.(?P<times>\d*)(?P<size>x?large|medium)")
_VCPUS = {"medium": 1, "large": 2, "xlarge": 4}


@dataclass(frozen=True)
class Quota:
    """A quota: the service and the name in Service Quotas, the least value that suffices, and what needs it."""

    service: str
    name: str
    least: int
    reason: str


def quotas(assembly: Assembly) -> list[Quota]:
    """Return what an account needs to hold the stacks at their maximum, and to update them there.

    Raises
    ------
    CostError
        A number is known to CloudFormation only.
    """
    try:
        return [*_endpoints(assembly), *_notebooks(assembly), *_functions(assembly), *_instances(assembly)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CostError(
            f"the quotas cannot be computed ({type(error).__name__}: {error}); run `make synth` again"
        ) from error


def _endpoints(assembly: Assembly) -> Iterator[Quota]:
    fleets: Counter[str] = Counter()
    serverless = 0
    for stack in assembly.stacks:
        for config in stack.of_type("AWS::SageMaker::EndpointConfig"):
            shadows = config.properties.get("ShadowProductionVariants", [])
            for variant in [*config.properties.get("ProductionVariants", []), *shadows]:
                if "ServerlessConfig" in variant:
                    serverless += int(literal(variant["ServerlessConfig"].get("MaxConcurrency")))
                else:
                    fleets[str(variant.get("InstanceType"))] += _most_instances(variant, stack)
    for kind, most in fleets.items():
        reason = f"an update at maximum: {most} old instances and {most} new ones"
        yield Quota(_SAGEMAKER, f"{kind} for endpoint usage", FLEETS * most, reason)
    if serverless:
        name = "Maximum total concurrency that can be allocated across all serverless endpoints"
        yield Quota(_SAGEMAKER, name, serverless, "the endpoint's maximum concurrency")


def _most_instances(variant: Properties, stack: Stack) -> int:
    """Return the most instances that scaling, by traffic or by the clock, gives a variant."""
    counts = [literal(variant.get("InitialInstanceCount"), 1)]
    for target in stack.of_type("AWS::ApplicationAutoScaling::ScalableTarget"):
        if target.properties.get("ScalableDimension") == ENDPOINT_DIMENSION and scales(target, variant):
            counts += _maxima(target)
    return int(max(counts))


def _maxima(target: Resource) -> list[float]:
    actions = target.properties.get("ScheduledActions", [])
    later = [action.get("ScalableTargetAction", {}).get("MaxCapacity") for action in actions]
    return [literal(target.properties.get("MaxCapacity")), *(literal(most) for most in later if most is not None)]


def _notebooks(assembly: Assembly) -> Iterator[Quota]:
    notebooks = assembly.of_type("AWS::SageMaker::NotebookInstance")
    kinds = Counter(str(notebook.properties.get("InstanceType")) for notebook in notebooks)
    for kind, count in kinds.items():
        yield Quota(_SAGEMAKER, f"{kind} for notebook instance usage", count, "the workbench")


def _functions(assembly: Assembly) -> Iterator[Quota]:
    """Yield the concurrency that reservations, or provisioned concurrency without one, take from the account."""
    functions = [(function, stack) for stack in assembly.stacks for function in stack.of_type("AWS::Lambda::Function")]
    taken = sum(_taken(function, stack) for function, stack in functions)
    if taken:
        reason = (
            f"{taken} reserved or provisioned, and {UNRESERVED_CONCURRENCY} that must stay unreserved "
            f"(a new account has {NEW_ACCOUNT_CONCURRENCY} in total)"
        )
        yield Quota(_LAMBDA, "Concurrent executions", taken + UNRESERVED_CONCURRENCY, reason)


def _taken(function: Resource, stack: Stack) -> int:
    reserved = function.properties.get("ReservedConcurrentExecutions")
    if reserved is not None:
        return int(literal(reserved))
    counts = [0.0]
    for alias in stack.of_type("AWS::Lambda::Alias"):
        if alias.properties.get("FunctionName") == {"Ref": function.name}:
            config = alias.properties.get("ProvisionedConcurrencyConfig", {})
            counts.append(literal(config.get("ProvisionedConcurrentExecutions"), 0))
    for target in stack.of_type("AWS::ApplicationAutoScaling::ScalableTarget"):
        if target.properties.get("ScalableDimension") == FUNCTION_DIMENSION and len(counts) > 1:
            counts += _maxima(target)
    return int(max(counts))


def _instances(assembly: Assembly) -> Iterator[Quota]:
    """Yield the vCPUs of one instance of each launch template."""
    for template in assembly.of_type("AWS::EC2::LaunchTemplate"):
        data = template.properties.get("LaunchTemplateData", {})
        kind = str(data.get("InstanceType"))
        spot = data.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
        if quota := _vcpu_quota(kind, spot=spot):
            name, vcpus = quota
            yield Quota(_EC2, name, vcpus, f"vCPUs of one {kind}, for `./kennel launch --on ec2`")


def _vcpu_quota(kind: str, *, spot: bool) -> tuple[str, int] | None:
    """Return the quota that an instance type counts against, and its vCPUs; None for a type of another form."""
    match = _EC2_TYPE.fullmatch(kind)
    if not match:
        return None
    family = match["family"]
    group = family[0] if family in ("g", "gr", "p") else "standard"
    if spot and group == "p" and int(match["generation"]) >= 5:
        group = "p5"
    return (_SPOT if spot else _ON_DEMAND)[group], _VCPUS[match["size"]] * int(match["times"] or 1)
