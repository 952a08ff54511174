"""What the endpoint uses: instances or serverless seconds, captured requests, and what scales them."""

import json
import math
from collections.abc import Iterator
from typing import Any

from cost.assembly import Assembly, Properties, Resource, Stack
from cost.usage import HOURS, Assumptions, Usage, for_requests, literal, standing

ENDPOINT_DIMENSION = "sagemaker:variant:DesiredInstanceCount"
FUNCTION_DIMENSION = "lambda:function:ProvisionedConcurrency"
_CAPTURED_ANSWER_KB = 1
_BASE64 = 4 / 3


def endpoint_config(resource: Resource, stack: Stack, assembly: Assembly, assumptions: Assumptions) -> Iterator[Usage]:
    """Price the variants; shadow variants run on instances of their own and see the same requests."""
    variants = resource.properties.get("ProductionVariants", [])
    weights = [literal(variant.get("InitialVariantWeight"), 1) for variant in variants]
    for variant, weight in zip(variants, weights, strict=True):
        yield from _variant(variant, weight / (sum(weights) or 1), stack, assumptions)
    for variant in resource.properties.get("ShadowProductionVariants", []):
        yield from _variant(variant, 1, stack, assumptions)
    yield for_requests("Container logs", "log_ingest_gb", assumptions, lambda n: n * assumptions.log_kb / 1e6)
    yield from _capture(resource.properties.get("DataCaptureConfig", {}), assembly, assumptions)


def _variant(variant: Properties, share: float, stack: Stack, assumptions: Assumptions) -> Iterator[Usage]:
    name = variant.get("VariantName", "")
    if serverless := variant.get("ServerlessConfig"):
        gigabytes = literal(serverless.get("MemorySizeInMB")) / 1024
        yield for_requests(
            f"Serverless variant {name}",
            "serverless_gb_second",
            assumptions,
            lambda n: n * share * gigabytes * assumptions.model_ms / 1000,
        )
        if warm := literal(serverless.get("ProvisionedConcurrency"), 0):
            hours = warm * gigabytes * HOURS * 3600
            yield standing(f"Serverless variant {name}, kept warm", "serverless_provisioned_gb_second", hours)
        return
    kind = str(variant.get("InstanceType"))
    least, typical, most = _fleet(variant, share * assumptions.requests_typical, stack)
    yield Usage(
        f"Instances of variant {name}",
        kind,
        least * HOURS,
        typical * HOURS,
        most * HOURS,
        f"{least:g} to {most:g} x {kind}" if least != most else f"{least:g} x {kind}",
    )
    if volume := variant.get("VolumeSizeInGB"):
        size = literal(volume)
        yield Usage(f"Disks of variant {name}", "ml_storage_gb_month", least * size, typical * size, most * size)


def _fleet(variant: Properties, requests: float, stack: Stack) -> tuple[float, float, float]:
    """Return the instances at zero, typical and peak traffic."""
    initial = literal(variant.get("InitialInstanceCount"), 1)
    for target in stack.of_type("AWS::ApplicationAutoScaling::ScalableTarget"):
        properties = target.properties
        if properties.get("ScalableDimension") != ENDPOINT_DIMENSION:
            continue
        if not scales(target, variant):
            continue
        least, most = literal(properties.get("MinCapacity")), literal(properties.get("MaxCapacity"))
        per_minute = _invocations_per_instance(target, stack)
        needed = math.ceil(requests / (HOURS * 60) / per_minute) if per_minute else 0
        return least, min(max(needed, least), most), most
    return initial, initial, initial


def scales(target: Resource, variant: Properties) -> bool:
    """Tell whether a scalable target is that of a variant.

    Parameters
    ----------
    target
        A resource of the type ``AWS::ApplicationAutoScaling::ScalableTarget``.
    variant
        An item of an endpoint configuration's ``ProductionVariants``.
    """
    return _text(target.properties.get("ResourceId")).endswith(f"/variant/{variant.get('VariantName')}")


def _text(value: Any) -> str:
    """Return a string of a template, the parts that CloudFormation joins run together."""
    if isinstance(value, dict):
        value = list(value.values())
    return "".join(map(_text, value)) if isinstance(value, list) else str(value)


def _invocations_per_instance(target: Resource, stack: Stack) -> float | None:
    """Return how many requests a minute one instance takes before another is added; None: not said so."""
    for policy in stack.of_type("AWS::ApplicationAutoScaling::ScalingPolicy"):
        tracking = policy.properties.get("TargetTrackingScalingPolicyConfiguration", {})
        metric = tracking.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
        of_target = policy.properties.get("ScalingTargetId") == {"Ref": target.name}
        if of_target and metric == "SageMakerVariantInvocationsPerInstance":
            return literal(tracking.get("TargetValue"))
    return None


def _capture(config: Properties, assembly: Assembly, assumptions: Assumptions) -> Iterator[Usage]:
    if not config.get("EnableCapture"):
        return
    sampled = literal(config.get("InitialSamplingPercentage")) / 100
    modes = {option.get("CaptureMode") for option in config.get("CaptureOptions", [])}
    kilobytes = _BASE64 * assumptions.photo_kb * bool(modes & {"Input", "InputAndOutput"})
    kilobytes += _CAPTURED_ANSWER_KB * bool(modes & {"Output", "InputAndOutput"})
    months = _capture_days(assembly) / (365 / 12)
    yield for_requests("Captured requests, written", "s3_put", assumptions, lambda n: n * sampled)
    yield for_requests(
        "Captured requests, kept", "s3_gb_month", assumptions, lambda n: n * sampled * kilobytes / 1e6 * months
    )


def _capture_days(assembly: Assembly) -> float:
    """Return how long captured requests are kept; a month where no lifecycle rule ends it."""
    for bucket in assembly.of_type("AWS::S3::Bucket"):
        for rule in bucket.properties.get("LifecycleConfiguration", {}).get("Rules", []):
            if str(rule.get("Prefix", "")).startswith("capture") and "ExpirationInDays" in rule:
                return literal(rule["ExpirationInDays"])
    return 365 / 12


def scaling_policy(resource: Resource, stack: Stack, assembly: Assembly, assumptions: Assumptions) -> Iterator[Usage]:
    """Price the two alarms that target tracking makes for itself (Application Auto Scaling guide)."""
    tracking = resource.properties.get("TargetTrackingScalingPolicyConfiguration")
    if tracking:
        high = "HighResolution" in json.dumps(tracking) or '"Period": 10' in json.dumps(tracking)
        yield standing("Alarms of target tracking", "alarm_high_resolution" if high else "alarm_standard", 2)
