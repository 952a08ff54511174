"""What the other services use, and which resources cost nothing."""

import math
from collections.abc import Callable, Iterator

from cost import inference
from cost.assembly import Assembly, Resource, Stack
from cost.usage import HOURS, SECONDS, Assumptions, Usage, for_requests, literal, standing

Meter = Callable[[Resource, Stack, Assembly, Assumptions], Iterator[Usage]]

_HTTP_API_METER_KB = 512
_TRACED_SHARE = 0.05
_SQS_REQUESTS_PER_MESSAGE = 3  # sent, received, deleted
_ANOMALY_METRICS = 3  # the metric and the two edges of its band


def _gigabytes(function: Resource) -> float:
    return literal(function.properties.get("MemorySize"), 128) / 1024


def _architecture(function: Resource) -> str:
    return str((function.properties.get("Architectures") or ["x86_64"])[0])


def _provisioned(alias: Resource) -> float:
    config = alias.properties.get("ProvisionedConcurrencyConfig", {})
    return literal(config.get("ProvisionedConcurrentExecutions"), 0)


def _function(resource: Resource, stack: Stack, assembly: Assembly, assumptions: Assumptions) -> Iterator[Usage]:
    warm = any(_provisioned(alias) for alias in stack.of_type("AWS::Lambda::Alias"))
    price = f"lambda_{_architecture(resource)}_{'provisioned_' if warm else ''}gb_second"
    gigabytes = _gigabytes(resource)
    yield for_requests("Function, requests", "lambda_request", assumptions, lambda n: n)
    yield for_requests(
        "Function, run time", price, assumptions, lambda n: n * gigabytes * assumptions.function_ms / 1e3
    )
    if resource.properties.get("TracingConfig", {}).get("Mode") == "Active":
        # Lambda's rule, which cannot be changed: the first request of each second and 5 % of the others.
        yield for_requests(
            "Traces", "trace", assumptions, lambda n: min(n, SECONDS) + _TRACED_SHARE * max(n - SECONDS, 0)
        )


def _alias(resource: Resource, stack: Stack, assembly: Assembly, assumptions: Assumptions) -> Iterator[Usage]:
    least = most = _provisioned(resource)
    for target in stack.of_type("AWS::ApplicationAutoScaling::ScalableTarget"):
        if target.properties.get("ScalableDimension") == inference.FUNCTION_DIMENSION:
            least, most = literal(target.properties.get("MinCapacity")), literal(target.properties.get("MaxCapacity"))
    if most:
        function = max(stack.of_type("AWS::Lambda::Function"), key=_gigabytes)
        unit = _gigabytes(function) * SECONDS
        yield Usage(
            "Provisioned concurrency",
            f"lambda_{_architecture(function)}_provisioned_idle_gb_second",
            least * unit,
            least * unit,
            most * unit,
            f"{least:g} to {most:g} kept warm" if least != most else f"{least:g} kept warm",
        )


def _log_group(resource: Resource, stack: Stack, assembly: Assembly, assumptions: Assumptions) -> Iterator[Usage]:
    months = literal(resource.properties.get("RetentionInDays"), 365 / 12) / (365 / 12)
    yield for_requests("Logs, written", "log_ingest_gb", assumptions, lambda n: n * assumptions.log_kb / 1e6)
    yield for_requests(
        "Logs, kept", "log_storage_gb_month", assumptions, lambda n: n * assumptions.log_kb / 1e6 * months
    )


def _bucket(resource: Resource, stack: Stack, assembly: Assembly, assumptions: Assumptions) -> Iterator[Usage]:
    yield standing("Buckets, stored objects", "s3_gb_month", assumptions.stored_gb)


def _alarm(resource: Resource, stack: Stack, assembly: Assembly, assumptions: Assumptions) -> Iterator[Usage]:
    metrics = resource.properties.get("Metrics", [])
    stats = [metric["MetricStat"] for metric in metrics if "MetricStat" in metric] or [resource.properties]
    high = any(literal(stat.get("Period"), 60) < 60 for stat in stats)
    count = _ANOMALY_METRICS if "ThresholdMetricId" in resource.properties else len(stats)
    name = "high resolution" if high else "standard"
    yield standing(f"Alarms, {name}", "alarm_high_resolution" if high else "alarm_standard", count)


def _http_api(resource: Resource, stack: Stack, assembly: Assembly, assumptions: Assumptions) -> Iterator[Usage]:
    metered = max(1, math.ceil(assumptions.photo_kb / _HTTP_API_METER_KB))
    http = resource.properties.get("ProtocolType", "HTTP") == "HTTP"
    yield for_requests(
        "HTTP API", "http_api_request" if http else "websocket_message", assumptions, lambda n: n * metered
    )


def _topic(resource: Resource, stack: Stack, assembly: Assembly, assumptions: Assumptions) -> Iterator[Usage]:
    yield Usage("Alarm e-mails", "sns_email", 0, assumptions.notices, assumptions.notices)


def _queue(resource: Resource, stack: Stack, assembly: Assembly, assumptions: Assumptions) -> Iterator[Usage]:
    requests = assumptions.notices * _SQS_REQUESTS_PER_MESSAGE
    price = "sqs_fifo_request" if resource.properties.get("FifoQueue") else "sqs_request"
    yield Usage("Dead letters", price, 0, requests, requests)


def _notebook(resource: Resource, stack: Stack, assembly: Assembly, assumptions: Assumptions) -> Iterator[Usage]:
    kind = str(resource.properties.get("InstanceType"))
    yield Usage("Notebook", kind, 0, assumptions.notebook_hours, HOURS, kind)
    yield standing("Notebook's disk", "ml_storage_gb_month", literal(resource.properties.get("VolumeSizeInGB"), 5))


def _each(item: str, price: str) -> Meter:
    def meter(resource: Resource, stack: Stack, assembly: Assembly, assumptions: Assumptions) -> Iterator[Usage]:
        yield standing(item, price, 1)

    return meter


METERS: dict[str, Meter] = {
    "AWS::ApiGatewayV2::Api": _http_api,
    "AWS::ApplicationAutoScaling::ScalingPolicy": inference.scaling_policy,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::CompositeAlarm": _each("Alarms, composite", "alarm_composite"),
    "AWS::CloudWatch::Dashboard": _each("Dashboards", "dashboard"),
    "AWS::KMS::Key": _each("Keys", "kms_key"),
    "AWS::Lambda::Alias": _alias,
    "AWS::Lambda::Function": _function,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::Logs::MetricFilter": _each("Metrics of log filters", "custom_metric"),
    "AWS::S3::Bucket": _bucket,
    "AWS::SageMaker::EndpointConfig": inference.endpoint_config,
    "AWS::SageMaker::NotebookInstance": _notebook,
    "AWS::SNS::Topic": _topic,
    "AWS::SQS::Queue": _queue,
}
"""What measures the use of each resource type that costs something."""

_SETTING = "a setting of something that is priced by itself"
_ACCESS = "access management is free"

FREE: dict[str, str] = {
    "AWS::ApiGatewayV2::Authorizer": _SETTING,
    "AWS::ApiGatewayV2::Deployment": _SETTING,
    "AWS::ApiGatewayV2::Integration": _SETTING,
    "AWS::ApiGatewayV2::Route": _SETTING,
    "AWS::ApiGatewayV2::Stage": _SETTING,
    "AWS::ApplicationAutoScaling::ScalableTarget": "scaling is free; what it adds and its alarms are priced",
    "AWS::Budgets::Budget": "a budget without actions is free",
    "AWS::CDK::Metadata": "a note in the template",
    "AWS::EC2::LaunchTemplate": "a template; only the instances started from it cost",
    "AWS::EC2::SecurityGroup": "a firewall rule is free",
    "AWS::EC2::SecurityGroupEgress": "a firewall rule is free",
    "AWS::EC2::SecurityGroupIngress": "a firewall rule is free",
    "AWS::Events::Rule": "rules on events of AWS services are free; the topic's e-mails are priced",
    "AWS::IAM::InstanceProfile": _ACCESS,
    "AWS::IAM::ManagedPolicy": _ACCESS,
    "AWS::IAM::Policy": _ACCESS,
    "AWS::IAM::Role": _ACCESS,
    "AWS::KMS::Alias": "a name of a key",
    "AWS::Lambda::EventInvokeConfig": _SETTING,
    "AWS::Lambda::Permission": _ACCESS,
    "AWS::Lambda::Url": "a function URL is free; its requests are the function's",
    "AWS::Lambda::Version": "a version is free; its runs are the function's",
    "AWS::Logs::ResourcePolicy": _ACCESS,
    "AWS::S3::BucketPolicy": _ACCESS,
    "AWS::Scheduler::Schedule": "an hourly call is far below the 14 million free ones of a month",
    "AWS::SageMaker::Endpoint": "its configuration holds the instances, which are priced",
    "AWS::SageMaker::Model": "a description; the endpoint that serves it costs",
    "AWS::SageMaker::NotebookInstanceLifecycleConfig": _SETTING,
    "AWS::SNS::Subscription": "the topic's e-mails are priced",
    "AWS::SNS::TopicPolicy": _ACCESS,
    "AWS::SQS::QueuePolicy": _ACCESS,
}
"""Why each resource type without a price costs nothing."""
