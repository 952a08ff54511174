"""The optional HTTP API: one route to the function's alias, for callers whom an authoriser knows."""

import json
from typing import cast

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from stacks.settings.api import HTTP_API_TIMEOUT_SECONDS, HttpApiSettings

PATH = "/predict"

CORS_HEADERS = ["authorization", "content-type", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"]
"""What a page sends with a photo: its type, and a token or the headers of a signature."""

ACCESS_LOG_FIELDS = (
    "requestId",
    "requestTime",
    "routeKey",
    "protocol",
    "status",
    "responseLength",
    "responseLatency",
    "integrationStatus",
    "integrationLatency",
    "error.responseType",
)
"""What the access log says of a request: nothing of the person (no address, agent, identity, query or body).

Source: API Gateway guide, "Customizing HTTP API access logs".
"""


class HttpApi(Construct):
    """An API with the route ``POST /predict``, a throttled stage and an access log.

    The function reads the event as it reads a function URL's: both send payload format 2.0.

    Attributes
    ----------
    url
        Where photos are posted to.
    api_id
        What CloudWatch knows the API by.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        alias: lambda_.Alias,
        settings: HttpApiSettings,
        access_log: logs.ILogGroup,
    ) -> None:
        super().__init__(scope, construct_id)
        api = apigatewayv2.HttpApi(
            self,
            "Api",
            api_name=name,
            description="Answers a photo with its labels",
            cors_preflight=_cors(settings),
            create_default_stage=False,
        )
        api.add_routes(
            path=PATH,
            methods=[apigatewayv2.HttpMethod.POST],
            authorizer=_authorizer(settings),
            # The permission that this adds to the alias names this API and route as its source.
            integration=integrations.HttpLambdaIntegration(
                "Function",
                alias,
                payload_format_version=apigatewayv2.PayloadFormatVersion.VERSION_2_0,
                timeout=Duration.seconds(HTTP_API_TIMEOUT_SECONDS),
            ),
        )
        stage = apigatewayv2.HttpStage(
            self,
            "Stage",
            http_api=api,
            auto_deploy=True,
            # Without metrics by route: they are charged for, and say of the one route what the API's own do.
            throttle=apigatewayv2.ThrottleSettings(rate_limit=settings.rate_per_second, burst_limit=settings.burst),
        )
        # The L2 takes an interface here, which Python would have to implement as a class of its own.
        resource = cast(apigatewayv2.CfnStage, stage.node.default_child)
        resource.access_log_settings = apigatewayv2.CfnStage.AccessLogSettingsProperty(
            # Without the ":*" that the log group's own attribute ends with (API Gateway guide, "Configure logging").
            destination_arn=Stack.of(self).format_arn(
                service="logs",
                resource="log-group",
                resource_name=access_log.log_group_name,
                arn_format=ArnFormat.COLON_RESOURCE_NAME,
            ),
            format=json.dumps({field: f"$context.{field}" for field in ACCESS_LOG_FIELDS}),
        )
        self.url = f"{api.api_endpoint}{PATH}"
        self.api_id = api.api_id


def _cors(settings: HttpApiSettings) -> apigatewayv2.CorsPreflightOptions | None:
    """Let pages of the named origins call the API; without origins, no page of another origin can."""
    if not settings.cors_origins:
        return None
    return apigatewayv2.CorsPreflightOptions(
        allow_origins=settings.cors_origins,
        allow_methods=[apigatewayv2.CorsHttpMethod.POST],
        allow_headers=CORS_HEADERS,
        max_age=Duration.hours(1),
    )


def _authorizer(settings: HttpApiSettings) -> apigatewayv2.IHttpRouteAuthorizer:
    if settings.jwt_issuer is None:
        return authorizers.HttpIamAuthorizer()
    return authorizers.HttpJwtAuthorizer("Tokens", settings.jwt_issuer, jwt_audience=settings.jwt_audience)
