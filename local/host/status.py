"""What `./kennel local status` prints."""

import time
from typing import Any

import boto3

from local.host.state import Running

NEWEST = 5
"""Jobs that are shown of each kind."""


UNITS = {
    "SageMakerVariantInvocationsPerInstance": "invocations per instance and minute",
    "SageMakerVariantConcurrentRequestsPerModelHighResolution": "concurrent requests per instance (recorded only)",
}
"""What the target of a scaling policy counts, by the name of its predefined metric."""


def report(running: Running) -> str:
    """Return a table of what runs in the embedded AWS, read through its APIs."""
    uptime = int(time.time() - running.started)
    lines = [
        f"url         {running.url}   account {running.account}   region {running.region}",
        f"up          {uptime // 3600}:{uptime // 60 % 60:02}:{uptime % 60:02}   time scale {running.time_scale:g}",
    ]
    sagemaker, scaling = _client(running, "sagemaker"), _client(running, "application-autoscaling")
    for listed in sagemaker.list_endpoints()["Endpoints"]:
        endpoint = sagemaker.describe_endpoint(EndpointName=listed["EndpointName"])
        lines += ["", f"endpoint    {endpoint['EndpointName']}   {endpoint['EndpointStatus']}"]
        if "FailureReason" in endpoint:
            lines.append(f"failure     {endpoint['FailureReason']}")
        lines += _artifacts(sagemaker, endpoint["EndpointConfigName"])
        for variant in endpoint["ProductionVariants"]:
            now, wanted = variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]
            lines.append(f"instances   {now} of {wanted} wanted   variant {variant['VariantName']}")
        lines += _scaling(scaling, endpoint["EndpointName"])
    if len(lines) == 2:
        lines += ["", "no endpoint yet"]
    lines += _jobs(sagemaker)
    return "\n".join(lines)


def _artifacts(sagemaker: Any, config_name: str) -> list[str]:
    try:
        config = sagemaker.describe_endpoint_config(EndpointConfigName=config_name)
        models = [variant["ModelName"] for variant in config["ProductionVariants"]]
        containers = [sagemaker.describe_model(ModelName=name)["PrimaryContainer"] for name in models]
    except sagemaker.exceptions.ClientError:
        return ["artifact    unknown: the model or its endpoint configuration was deleted"]
    return [f"artifact    {container.get('ModelDataUrl', 'none')}" for container in containers]


def _scaling(scaling: Any, endpoint: str) -> list[str]:
    lines = []
    for target in scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]:
        if target["ResourceId"].split("/")[1] != endpoint:
            continue
        lines.append(f"scaling     {target['MinCapacity']} to {target['MaxCapacity']} instances")
        policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=target["ResourceId"])
        for policy in policies["ScalingPolicies"]:
            config = policy["TargetTrackingScalingPolicyConfiguration"]
            metric = config.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType", "a custom metric")
            lines.append(f"            target: {config['TargetValue']:g} {UNITS.get(metric, metric)}")
    return lines


def _jobs(sagemaker: Any) -> list[str]:
    """Return a line for each of the newest jobs, below an empty one."""
    tuning = sagemaker.list_hyper_parameter_tuning_jobs(MaxResults=NEWEST)["HyperParameterTuningJobSummaries"]
    training = sagemaker.list_training_jobs(MaxResults=NEWEST)["TrainingJobSummaries"]
    lines = [
        f"tuning      {job['HyperParameterTuningJobName']}   {job['HyperParameterTuningJobStatus']}" for job in tuning
    ]
    lines += [f"training    {job['TrainingJobName']}   {job['SecondaryStatus']}" for job in training]
    return ["", *lines] if lines else []


def _client(running: Running, service: str) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=running.url,
        region_name=running.region,
        verify=running.ca,
        aws_access_key_id=running.access_key,
        aws_secret_access_key=running.secret_key,
    )
