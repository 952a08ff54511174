"""What Application Auto Scaling can scale here: the resource's id, its service-linked role, its metrics' alarms."""

import re
from dataclasses import dataclass

from local.autoscaling.target_tracking import POINT_SECONDS
from local.core.json_service import Parameters
from local.core.names import ACCOUNT

TargetKey = tuple[str, str, str]
"""Service namespace, resource id, scalable dimension."""

SAGEMAKER = "sagemaker"
INVOCATIONS = "SageMakerVariantInvocationsPerInstance"
"""The one metric whose policies are followed; those of others are recorded."""


@dataclass(frozen=True)
class Metric:
    """The CloudWatch metric that stands behind a predefined metric, as the policy's alarms read it."""

    namespace: str
    name: str
    statistic: str
    period: int = POINT_SECONDS


@dataclass(frozen=True)
class Scalable:
    """A kind of scalable target.

    Parameters
    ----------
    resource
        Pattern of its resource ids; two groups name the resource.
    dimensions
        The metric's dimensions, in CloudWatch's words, from the two groups.
    """

    namespace: str
    dimension: str
    resource: re.Pattern[str]
    dimensions: tuple[tuple[str, str], tuple[str, str]]
    service: str
    role_name: str
    metrics: dict[str, Metric]

    @property
    def role_arn(self) -> str:
        """ARN of the service-linked role (Application Auto Scaling guide, "Service-linked roles")."""
        return f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{self.service}/{self.role_name}"

    def parts(self, resource_id: str) -> tuple[str, str] | None:
        """Return the two names in a resource id; None where it has another form."""
        match = self.resource.fullmatch(resource_id)
        return (match[1], match[2]) if match else None


VARIANT = Scalable(
    namespace=SAGEMAKER,
    dimension="sagemaker:variant:DesiredInstanceCount",
    resource=re.compile(r"endpoint/([^/]+)/variant/([^/]+)"),
    dimensions=(("EndpointName", "{0}"), ("VariantName", "{1}")),
    service="sagemaker.application-autoscaling.amazonaws.com",
    role_name="AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
    metrics={
        INVOCATIONS: Metric("AWS/SageMaker", "InvocationsPerInstance", "Sum"),
        # AWS does not publish these alarms; the metric's resolution is 10 s (SageMaker guide, "Metrics").
        "SageMakerVariantConcurrentRequestsPerModelHighResolution": Metric(
            "AWS/SageMaker", "ConcurrentRequestsPerModel", "Maximum", period=10
        ),
    },
)
PROVISIONED_CONCURRENCY = Scalable(
    namespace="lambda",
    dimension="lambda:function:ProvisionedConcurrency",
    resource=re.compile(r"function:([^:]+):([^:]+)"),
    dimensions=(("FunctionName", "{0}"), ("Resource", "{0}:{1}")),
    service="lambda.application-autoscaling.amazonaws.com",
    role_name="AWSServiceRoleForApplicationAutoScaling_LambdaConcurrency",
    metrics={
        "LambdaProvisionedConcurrencyUtilization": Metric("AWS/Lambda", "ProvisionedConcurrencyUtilization", "Average"),
    },
)
KINDS = {(kind.namespace, kind.dimension): kind for kind in (VARIANT, PROVISIONED_CONCURRENCY)}


def kind_of(key: TargetKey) -> Scalable | None:
    """Return the kind of a target; None where it is not simulated."""
    return KINDS.get((key[0], key[2]))


class ScalableTargets(dict[TargetKey, Parameters]):
    """The scalable targets that are registered, by key."""

    def has_variant(self, endpoint: str, variant: str) -> bool:
        """Return whether an endpoint's variant is among them."""
        return (SAGEMAKER, f"endpoint/{endpoint}/variant/{variant}", VARIANT.dimension) in self
