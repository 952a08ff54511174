"""ApiStack: the Lambda that stands in front of the endpoint, and the ways to it."""

from typing import Any

from aws_cdk import CfnOutput, Duration, IgnoreMode, Stack
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks import policies
from stacks.api.http_api import HttpApi
from stacks.api.log_group import log_group
from stacks.common.names import ALIAS, alarm_topic_arn, failure_queue_name
from stacks.common.scalable_target import name_no_role
from stacks.monitoring.alarms import Alarms, http_api_watches
from stacks.settings import Settings
from stacks.settings.api import AsynchronousSettings, ConcurrencyScalingSettings


class ApiStack(Stack):
    """A function with a role and log of its own, the alias ``live``, its concurrency, and who may reach it."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        api = settings.api
        failures = self._failure_queue(settings)
        function = self._function(settings, failures)
        alias = lambda_.Alias(
            self,
            "Alias",
            alias_name=ALIAS,
            version=function.current_version,
            provisioned_concurrent_executions=api.provisioned_concurrency or None,
        )
        _keep_failures(alias, failures, api.asynchronous)
        if api.provisioned_concurrency:
            _scale(alias, api.provisioned_concurrency, api.scaling)
        CfnOutput(self, "FunctionName", value=function.function_name)
        CfnOutput(self, "AliasArn", value=alias.function_arn)
        CfnOutput(self, "FailureQueueUrl", value=failures.queue_url)
        if api.function_url:
            url = alias.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)
            CfnOutput(self, "FunctionUrl", value=url.url)
        if api.http_api is not None:
            # This prefix keeps the account's policy for log deliveries from outgrowing its limit (API Gateway guide).
            log_name = f"/aws/vendedlogs/apis/{settings.function_name}"
            http_api = HttpApi(
                self,
                "HttpApi",
                name=settings.function_name,
                alias=alias,
                settings=api.http_api,
                access_log=log_group(self, "AccessLog", name=log_name, settings=api),
            )
            CfnOutput(self, "HttpApiUrl", value=http_api.url)
            if settings.monitoring.alarms:
                topic = sns.Topic.from_topic_arn(self, "AlarmTopic", alarm_topic_arn(self, settings.environment))
                watched = http_api_watches(settings, http_api.api_id)
                Alarms(self, "HttpApiAlarms", settings=settings, watches=watched, topic=topic)

    def _function(self, settings: Settings, failures: sqs.Queue) -> lambda_.Function:
        api = settings.api
        key_arn = settings.storage.kms_key_arn
        log_name = f"/aws/lambda/{settings.function_name}"
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            inline_policies={
                "Predict": iam.PolicyDocument(
                    statements=[
                        policies.invoke_endpoint(self, settings.endpoint_name),
                        policies.write_function_logs(self, log_name),
                        policies.send_failures(failures.queue_arn),
                        *([policies.use_queue_key(self, key_arn)] if key_arn else []),
                        *([policies.send_traces()] if api.tracing else []),
                    ]
                )
            },
        )
        return lambda_.Function(
            self,
            "Function",
            function_name=settings.function_name,
            description="Answers a photo with its labels by asking the SageMaker endpoint",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            code=_code("predict"),
            handler="predict.handler.handle",
            # What the L2 would grant for traces and the queue is wider than the statements above.
            role=role.without_policy_updates(),
            log_group=log_group(self, "Logs", name=log_name, settings=api),
            memory_size=api.memory_mb,
            timeout=Duration.seconds(api.timeout_seconds),
            tracing=lambda_.Tracing.ACTIVE if api.tracing else lambda_.Tracing.DISABLED,
            reserved_concurrent_executions=api.reserved_concurrency,
            environment={
                "ENDPOINT_NAME": settings.endpoint_name,
                "FETCH_TIMEOUT_SECONDS": str(api.fetch_timeout_seconds),
                "INVOKE_TIMEOUT_SECONDS": str(api.invoke_timeout_seconds),
                "MAX_IMAGE_BYTES": str(api.maximum_image_bytes),
            },
        )

    def _failure_queue(self, settings: Settings) -> sqs.Queue:
        """Keep the asynchronous events that Lambda gave up on: a record holds the event, so also its photo."""
        key_arn = settings.storage.kms_key_arn
        return sqs.Queue(
            self,
            "Failures",
            queue_name=failure_queue_name(settings.environment),
            encryption=sqs.QueueEncryption.KMS if key_arn else sqs.QueueEncryption.SQS_MANAGED,
            encryption_master_key=kms.Key.from_key_arn(self, "Key", key_arn) if key_arn else None,
            enforce_ssl=True,
            retention_period=Duration.days(settings.api.asynchronous.failure_retention_days),
        )


def _code(folder: str) -> lambda_.Code:
    """Return one function's folder of ``lambda_src``, as a package: its modules import each other relatively."""
    return lambda_.Code.from_asset(
        "lambda_src", ignore_mode=IgnoreMode.GIT, exclude=["/*", f"!/{folder}", "__pycache__", "*.pyc"]
    )


def _keep_failures(alias: lambda_.Alias, failures: sqs.Queue, settings: AsynchronousSettings) -> None:
    """Send what Lambda gives up on (crashes, timeouts, throttles) to the queue; a problem answered is no failure."""
    alias.configure_async_invoke(
        max_event_age=Duration.seconds(settings.maximum_event_age_seconds),
        retry_attempts=settings.retry_attempts,
        on_failure=destinations.SqsDestination(failures),
    )


def _scale(alias: lambda_.Alias, minimum: int, settings: ConcurrencyScalingSettings | None) -> None:
    """Track the use of provisioned concurrency, or hold it at one number.

    A target that is deregistered leaves provisioned concurrency where scaling had put it (aws/aws-cdk 31507), and the
    alias, which does not change, would keep it there. Bounds that change take it with them (Application Auto Scaling
    API reference, RegisterScalableTarget). Without ``[api.scaling]``, both bounds are the number of the settings.
    """
    maximum = minimum if settings is None else settings.maximum_provisioned_concurrency
    target = alias.add_auto_scaling(min_capacity=minimum, max_capacity=maximum)
    if settings is not None:
        target.scale_on_utilization(utilization_target=settings.target_utilization_percent / 100)
    for child in alias.node.find_all():
        if isinstance(child, autoscaling.CfnScalableTarget):
            name_no_role(child)
