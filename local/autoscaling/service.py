"""Application Auto Scaling's API for SageMaker variants and provisioned concurrency: targets, policies, activities."""

import contextlib
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

from local.autoscaling.scalable import (
    PROVISIONED_CONCURRENCY,
    VARIANT,
    Scalable,
    ScalableTargets,
    TargetKey,
    kind_of,
)
from local.autoscaling.scheduled_actions import ScheduledActions
from local.autoscaling.target_tracking import HIGH_POINTS, LOW_POINTS, LOW_RATIO, Policy, TargetTracking
from local.core.account import Account
from local.core.errors import NotFoundError, ServiceError, validation_error
from local.core.json_service import JsonService, Parameters, cut_page
from local.core.names import ACCOUNT, REGION

ALARM_PREFIX = "TargetTracking-"


@dataclass(frozen=True)
class ScalingPolicy:
    """A policy as its API shows it, and the algorithm that follows it."""

    shown: Parameters
    tracking: TargetTracking

    @property
    def metric(self) -> str:
        """Its predefined metric."""
        config = self.shown["TargetTrackingScalingPolicyConfiguration"]
        return str(config["PredefinedMetricSpecification"]["PredefinedMetricType"])

    @property
    def alarms(self) -> list[str]:
        """Names of its two alarms, high then low."""
        return [alarm["AlarmName"] for alarm in self.shown["Alarms"]]


def describe_variant(sagemaker: JsonService, endpoint: str, variant: str) -> Parameters | None:
    """Return a variant's summary in DescribeEndpoint, with the ``EndpointStatus``; None if there is no such variant.

    Parameters
    ----------
    sagemaker
        The service.
    endpoint, variant
        Their names.
    """
    try:
        described = sagemaker.call("DescribeEndpoint", {"EndpointName": endpoint})
    except ServiceError:
        return None
    status = {"EndpointStatus": described["EndpointStatus"]}
    summaries = described["ProductionVariants"]
    return next(({**status, **summary} for summary in summaries if summary["VariantName"] == variant), None)


class ApplicationAutoScaling(JsonService):
    """Scalable targets and policies of endpoint variants and of functions' provisioned concurrency.

    Parameters
    ----------
    targets
        The scalable targets, which SageMaker reads, too.
    sagemaker
        Describes the variants.
    account
        Makes the policies' alarms in CloudWatch and the service-linked roles in IAM, and knows the functions.
    """

    def __init__(self, targets: ScalableTargets, sagemaker: JsonService, account: Account) -> None:
        self.targets = targets
        self._schedule = ScheduledActions(self.targets)
        super().__init__("application-autoscaling", self._schedule)
        self.policies: dict[tuple[TargetKey, str], ScalingPolicy] = {}
        self._activities: list[Parameters] = []
        self._sagemaker = sagemaker
        self._account = account

    def register_scalable_target(self, request: Parameters) -> Parameters:
        """Register a resource, or change its bounds."""
        key = _key(request)
        kind = self._require(key)
        registered = self.targets.get(key, {})
        if not registered and not {"MinCapacity", "MaxCapacity"} <= request.keys():
            raise validation_error("MinCapacity and MaxCapacity must be specified for a new scalable target.")
        target = {
            "ScalableTargetARN": (
                f"arn:aws:application-autoscaling:{REGION}:{ACCOUNT}:scalable-target/{uuid.uuid4().hex}"
            ),
            "CreationTime": time.time(),
            **registered,
            **{name: value for name, value in request.items() if name not in ("Tags", "RoleARN")},
            "RoleARN": kind.role_arn,
        }
        if target["MinCapacity"] > target["MaxCapacity"]:
            raise validation_error("Maximum capacity cannot be less than minimum capacity.")
        if ":role/aws-service-role/" in request.get("RoleARN", ""):
            self._require_role(request["RoleARN"])
        self._make_service_linked_role(kind)
        self.targets[key] = target
        self._bring_into_bounds(key, target)
        return {"ScalableTargetARN": target["ScalableTargetARN"]}

    def describe_scalable_targets(self, request: Parameters) -> Parameters:
        """List scalable targets."""
        targets = [
            target
            for (namespace, resource, dimension), target in self.targets.items()
            if namespace == request["ServiceNamespace"]
            and resource in request.get("ResourceIds", [resource])
            and dimension == request.get("ScalableDimension", dimension)
        ]
        items, token = cut_page(targets, request)
        return {"ScalableTargets": items, **token}

    def deregister_scalable_target(self, request: Parameters) -> None:
        """Deregister a resource, and delete its policies and scheduled actions."""
        key = _key(request)
        if key not in self.targets:
            raise _not_found("No scalable target found", key)
        for target, name in [policy for policy in self.policies if policy[0] == key]:
            self._delete_policy(target, name)
        self._schedule.forget(key)
        del self.targets[key]

    def put_scaling_policy(self, request: Parameters) -> Parameters:
        """Create or change a target-tracking policy, with its two alarms."""
        key, name = _key(request), request["PolicyName"]
        if key not in self.targets:
            raise _not_found("No scalable target registered", key)
        config = request.get("TargetTrackingScalingPolicyConfiguration", {})
        metric = config.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
        kind = self._require(key)
        if request.get("PolicyType") != "TargetTrackingScaling" or metric not in kind.metrics:
            metrics = " or ".join(kind.metrics)
            raise validation_error(f"The embedded AWS simulates TargetTrackingScaling on {metrics} only.")
        before = self.policies.get((key, name))
        shown = {
            **request,
            "CreationTime": before.shown["CreationTime"] if before else time.time(),
            "PolicyARN": before.shown["PolicyARN"] if before else _policy_arn(key, name),
            "Alarms": before.shown["Alarms"] if before else _alarms(key),
        }
        tracking = TargetTracking(
            Policy(
                target=config["TargetValue"],
                scale_out_cooldown=config.get("ScaleOutCooldown", 300),
                scale_in_cooldown=config.get("ScaleInCooldown", 300),
                disable_scale_in=config.get("DisableScaleIn", False),
            )
        )
        if before:
            tracking.points.extend(before.tracking.points)
        self.policies[key, name] = ScalingPolicy(shown, tracking)
        self._put_alarms(key, shown)
        return {"PolicyARN": shown["PolicyARN"], "Alarms": shown["Alarms"]}

    def describe_scaling_policies(self, request: Parameters) -> Parameters:
        """List policies."""
        policies = [
            policy.shown
            for ((namespace, resource, dimension), name), policy in self.policies.items()
            if namespace == request["ServiceNamespace"]
            and resource == request.get("ResourceId", resource)
            and dimension == request.get("ScalableDimension", dimension)
            and name in request.get("PolicyNames", [name])
        ]
        items, token = cut_page(policies, request)
        return {"ScalingPolicies": items, **token}

    def delete_scaling_policy(self, request: Parameters) -> None:
        """Delete a policy and its alarms."""
        key, name = _key(request), request["PolicyName"]
        if (key, name) not in self.policies:
            raise _not_found(f"No scaling policy found for policy name: {name}", key)
        self._delete_policy(key, name)

    def describe_scaling_activities(self, request: Parameters) -> Parameters:
        """List scaling activities, newest first."""
        activities = [
            activity
            for activity in reversed(self._activities)
            if activity["ServiceNamespace"] == request["ServiceNamespace"]
            and activity["ResourceId"] == request.get("ResourceId", activity["ResourceId"])
        ]
        items, token = cut_page(activities, request)
        return {"ScalingActivities": items, **token}

    def list_tags_for_resource(self, request: Parameters) -> Parameters:
        """Return no tags: targets carry none here."""
        return {"Tags": {}}

    def record_activity(self, key: TargetKey, capacity: int, cause: str, failure: str | None) -> None:
        """Remember a change of capacity that was made or tried.

        Parameters
        ----------
        key
            The target.
        capacity
            The new capacity.
        cause
            What DescribeScalingActivities shows as the cause.
        failure
            Why it failed, None if it did not.
        """
        namespace, resource, dimension = key
        text = f"Setting desired instance count to {capacity}."
        outcome = {
            "StatusCode": "Failed" if failure else "Successful",
            "StatusMessage": failure or f"Successfully set desired instance count to {capacity}.",
        }
        with self.lock:
            self._activities.append(
                {
                    "ActivityId": str(uuid.uuid4()),
                    "ServiceNamespace": namespace,
                    "ResourceId": resource,
                    "ScalableDimension": dimension,
                    "Description": text,
                    "Cause": cause,
                    "StartTime": time.time(),
                    "EndTime": time.time(),
                    **outcome,
                }
            )

    def _require(self, key: TargetKey) -> Scalable:
        """Return the kind of a target whose resource exists (what it says otherwise is AWS's for a variant)."""
        namespace, resource, dimension = key
        kind = kind_of(key)
        if kind is None:
            dimensions = " and ".join(other.dimension for other in (VARIANT, PROVISIONED_CONCURRENCY))
            raise validation_error(f"The embedded AWS scales {dimensions} only.")
        parts = kind.parts(resource)
        if parts is None:
            raise validation_error(f"Unsupported resource ID: {resource}")
        if not (self._is_variant(*parts) if kind is VARIANT else self._is_alias(*parts)):
            what = "endpoint variant" if kind is VARIANT else "function alias"
            raise validation_error(
                f"No {what} found for service namespace: {namespace}, resource ID: {resource}, scalable "
                f"dimension: {dimension}"
            )
        return kind

    def _bring_into_bounds(self, key: TargetKey, target: Parameters) -> None:
        """Change provisioned concurrency that lies outside the bounds (API reference, RegisterScalableTarget)."""
        if kind_of(key) is not PROVISIONED_CONCURRENCY:
            return
        function, alias = PROVISIONED_CONCURRENCY.parts(key[1]) or ("", "")
        functions = self._account.client("lambda")
        try:
            config = functions.get_provisioned_concurrency_config(FunctionName=function, Qualifier=alias)
            current = config["RequestedProvisionedConcurrentExecutions"]
        except functions.exceptions.ProvisionedConcurrencyConfigNotFoundException:
            current = 0
        wanted = min(max(current, target["MinCapacity"]), target["MaxCapacity"])
        if wanted != current:
            functions.put_provisioned_concurrency_config(
                FunctionName=function, Qualifier=alias, ProvisionedConcurrentExecutions=wanted
            )
            bound = "minimum" if wanted > current else "maximum"
            self.record_activity(key, wanted, f"{bound} capacity was set to {wanted}", None)

    def _require_role(self, arn: str) -> None:
        """Refuse the service-linked role where it is named and not there; it is made only if none is named.

        Source: aws/aws-cdk 4108, aws-samples/amazon-bedrock-samples 253.
        """
        iam = self._account.client("iam")
        try:
            iam.get_role(RoleName=arn.rpartition("/")[2])
        except iam.exceptions.NoSuchEntityException:
            raise validation_error(f"Unable to assume IAM role: {arn}") from None

    def _is_variant(self, endpoint: str, variant: str) -> bool:
        return describe_variant(self._sagemaker, endpoint, variant) is not None

    def _is_alias(self, function: str, alias: str) -> bool:
        functions = self._account.client("lambda")
        try:
            functions.get_alias(FunctionName=function, Name=alias)
        except functions.exceptions.ResourceNotFoundException:
            return False
        return True

    def _make_service_linked_role(self, kind: Scalable) -> None:
        """Make the role that AWS makes when the first target is registered; CreateServiceLinkedRole misnames it."""
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": kind.service}}
        iam = self._account.client("iam")
        with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_role(
                RoleName=kind.role_name,
                Path=f"/aws-service-role/{kind.service}/",
                AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
            )

    def _put_alarms(self, key: TargetKey, shown: Parameters) -> None:
        kind = self._require(key)
        names = kind.parts(key[1]) or ()
        config = shown["TargetTrackingScalingPolicyConfiguration"]
        metric = kind.metrics[config["PredefinedMetricSpecification"]["PredefinedMetricType"]]
        target = config["TargetValue"]
        kinds = (
            ("GreaterThanThreshold", target, HIGH_POINTS),
            ("LessThanThreshold", target * LOW_RATIO, LOW_POINTS),
        )
        cloudwatch = self._account.client("cloudwatch")
        for alarm, (comparison, threshold, points) in zip(shown["Alarms"], kinds, strict=True):
            cloudwatch.put_metric_alarm(
                AlarmName=alarm["AlarmName"],
                AlarmDescription=(
                    "DO NOT EDIT OR DELETE. For TargetTrackingScaling policy " + shown["PolicyARN"] + "."
                ),
                AlarmActions=[shown["PolicyARN"]],
                Namespace=metric.namespace,
                MetricName=metric.name,
                Dimensions=[{"Name": name, "Value": value.format(*names)} for name, value in kind.dimensions],
                Statistic=metric.statistic,
                Period=metric.period,
                EvaluationPeriods=points,
                Threshold=threshold,
                ComparisonOperator=comparison,
            )

    def _delete_policy(self, key: TargetKey, name: str) -> None:
        policy = self.policies.pop((key, name))
        self._account.client("cloudwatch").delete_alarms(AlarmNames=policy.alarms)


def _key(request: Parameters) -> TargetKey:
    return request["ServiceNamespace"], request["ResourceId"], request["ScalableDimension"]


def _not_found(what: str, key: TargetKey) -> NotFoundError:
    namespace, resource, dimension = key
    return NotFoundError(
        "ObjectNotFoundException",
        f"{what} for service namespace: {namespace}, resource ID: {resource}, scalable dimension: {dimension}",
    )


def _policy_arn(key: TargetKey, name: str) -> str:
    resource = f"resource/{key[0]}/{key[1]}:policyName/{name}"
    return f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:scalingPolicy:{uuid.uuid4()}:{resource}"


def _alarms(key: TargetKey) -> list[dict[str, Any]]:
    names = [f"{ALARM_PREFIX}{key[1]}-Alarm{side}-{uuid.uuid4()}" for side in ("High", "Low")]
    return [{"AlarmName": name, "AlarmARN": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"} for name in names]
