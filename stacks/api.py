"""ApiStack: the Lambda that stands in front of the endpoint, and its URL."""

from typing import Any, cast

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from stacks import policies
from stacks.settings import Settings

ALIAS = "live"


class ApiStack(Stack):
    """A function with its own role and log group, the alias ``live``, and a URL that only IAM lets in."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        function = self._function(settings)
        alias = lambda_.Alias(
            self,
            "Alias",
            alias_name=ALIAS,
            version=function.current_version,
            provisioned_concurrent_executions=settings.api.provisioned_concurrency or None,
        )
        url = alias.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)
        CfnOutput(self, "FunctionName", value=function.function_name)
        CfnOutput(self, "AliasArn", value=alias.function_arn)
        CfnOutput(self, "FunctionUrl", value=url.url)

    def _function(self, settings: Settings) -> lambda_.Function:
        api = settings.api
        log_group = logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/lambda/{settings.function_name}",
            removal_policy=RemovalPolicy.DESTROY,
        )
        # The L2 takes an enumeration that spells the days out in words; the setting is a number of days.
        cast(logs.CfnLogGroup, log_group.node.default_child).retention_in_days = api.log_retention_days
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            inline_policies={
                "Predict": iam.PolicyDocument(
                    statements=[
                        policies.invoke_endpoint(self, settings.endpoint_name),
                        policies.write_function_logs(self, f"/aws/lambda/{settings.function_name}"),
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
            code=lambda_.Code.from_asset("lambda_src", exclude=["__pycache__", "*.pyc"]),
            handler="handler.handle",
            role=role,
            log_group=log_group,
            memory_size=api.memory_mb,
            timeout=Duration.seconds(api.timeout_seconds),
            reserved_concurrent_executions=api.reserved_concurrency,
            environment={
                "ENDPOINT_NAME": settings.endpoint_name,
                "FETCH_TIMEOUT_SECONDS": str(api.fetch_timeout_seconds),
                "INVOKE_TIMEOUT_SECONDS": str(api.invoke_timeout_seconds),
                "MAX_IMAGE_BYTES": str(api.maximum_image_bytes),
            },
        )
