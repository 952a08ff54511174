"""``[api]``: the Lambda in front of the endpoint, and the ways to it."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from stacks.settings.section import PRINTABLE, KeyArn, LogRetentionDays, Section

HTTP_API_TIMEOUT_SECONDS = 29
"""The longest that an HTTP API waits for an integration, as the CDK accepts it (AWS's quota is 30 s)."""

ORIGIN = re.compile(r"https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?")
ISSUER = re.compile(r"https://[^\s/?#*]+(/[^\s?#*]*)?")

Audience = Annotated[str, Field(min_length=1, max_length=256), PRINTABLE]


class ConcurrencyScalingSettings(Section):
    """Target tracking on the use of provisioned concurrency, from ``provisioned_concurrency`` upwards.

    The metric has no data without traffic, so Application Auto Scaling does not scale in then (Lambda guide,
    "Configuring provisioned concurrency").
    """

    maximum_provisioned_concurrency: int = Field(ge=1, le=1_000_000)
    # 10-90 %: Lambda guide, "Configuring provisioned concurrency".
    target_utilization_percent: int = Field(ge=10, le=90)


class AsynchronousSettings(Section):
    """Asynchronous invocations: their maximum age (seconds), their retries, and the days that failed ones are kept.

    Bounds: Lambda API reference, PutFunctionEventInvokeConfig; SQS API reference, MessageRetentionPeriod.
    """

    maximum_event_age_seconds: int = Field(ge=60, le=21_600)
    retry_attempts: int = Field(ge=0, le=2)
    failure_retention_days: int = Field(ge=1, le=14)


class HttpApiSettings(Section):
    """An HTTP API in front of the function: who may call it, how often, and from which web pages."""

    authorizer: Literal["iam", "jwt"]
    # The longest URI: API Gateway V2 API reference, JWTConfiguration. Audiences: quotas of HTTP APIs.
    jwt_issuer: Annotated[str, Field(max_length=2048), PRINTABLE] | None = None
    jwt_audience: list[Annotated[str, Field(min_length=1, max_length=256), PRINTABLE]] = Field(
        default=[], max_length=50
    )
    # A region's default quotas for all of an account's APIs (API Gateway quotas): more would never bind.
    rate_per_second: int = Field(ge=1, le=10_000)
    burst: int = Field(ge=1, le=5_000)
    cors_origins: list[Annotated[str, Field(max_length=300)]] = Field(default=[], max_length=100)

    @field_validator("cors_origins")
    @classmethod
    def _origins_are_named(cls, value: list[str]) -> list[str]:
        for origin in value:
            if not ORIGIN.fullmatch(origin):
                raise ValueError(
                    f'{origin!r} is not an origin: write it as "https://HOST" in lower case, without * or a path'
                )
        return value

    @model_validator(mode="after")
    def _tokens_can_be_checked(self) -> Self:
        if self.authorizer == "iam":
            if self.jwt_issuer is not None or self.jwt_audience:
                raise ValueError(
                    'authorizer = "iam" reads no tokens: remove jwt_issuer and jwt_audience, or use authorizer = "jwt"'
                )
        elif self.jwt_issuer is None or not ISSUER.fullmatch(self.jwt_issuer):
            raise ValueError(
                f'authorizer = "jwt" needs jwt_issuer (it is {self.jwt_issuer!r}): set it to the `iss` claim of your '
                'tokens, such as "https://issuer.example.com"'
            )
        elif not self.jwt_audience:
            raise ValueError(
                'authorizer = "jwt" needs jwt_audience (it is empty): list the `aud` claims of your tokens, so that '
                "the API refuses tokens that were issued for other services"
            )
        return self


class ApiSettings(Section):
    """The Lambda in front of the endpoint: memory (MB), times (seconds), concurrency, logs (days), ways in."""

    memory_mb: int = Field(ge=128, le=10240)
    timeout_seconds: int = Field(ge=1, le=900)
    fetch_timeout_seconds: int = Field(ge=1, le=60)
    # InvokeEndpoint ends after 60 s (SageMaker Runtime API reference).
    invoke_timeout_seconds: int = Field(ge=1, le=60)
    # A synchronous payload is 6 MB (Lambda quotas), and base64 takes four bytes for three.
    maximum_image_bytes: int = Field(ge=1, le=4_500_000)
    log_retention_days: LogRetentionDays
    log_kms_key_arn: KeyArn | None = None
    tracing: bool
    provisioned_concurrency: int = Field(ge=0, le=1_000_000)
    reserved_concurrency: int | None = Field(default=None, ge=1, le=1_000_000)
    function_url: bool
    scaling: ConcurrencyScalingSettings | None = None
    asynchronous: AsynchronousSettings
    http_api: HttpApiSettings | None = None

    @model_validator(mode="after")
    def _concurrency_fits_together(self) -> Self:
        reserved, provisioned = self.reserved_concurrency, self.provisioned_concurrency
        if reserved is not None and provisioned > reserved:
            raise ValueError(
                f"provisioned_concurrency = {provisioned} is above reserved_concurrency = {reserved}, which Lambda "
                "refuses: lower provisioned_concurrency, or raise or remove reserved_concurrency (a new account can "
                "reserve none: its limit is 10, and 100 must stay unreserved)"
            )
        if self.scaling is None:
            return self
        maximum = self.scaling.maximum_provisioned_concurrency
        if provisioned < 1:
            raise ValueError(
                f"provisioned_concurrency = {provisioned} cannot be scaled: set it to 1 or more, where "
                "scaling starts, or remove the table api.scaling"
            )
        if maximum < provisioned:
            raise ValueError(
                f"scaling.maximum_provisioned_concurrency = {maximum} is below provisioned_concurrency = "
                f"{provisioned}: lower provisioned_concurrency or raise scaling.maximum_provisioned_concurrency"
            )
        if reserved is not None and maximum > reserved:
            raise ValueError(
                f"scaling.maximum_provisioned_concurrency = {maximum} is above reserved_concurrency = {reserved}: "
                "lower scaling.maximum_provisioned_concurrency or raise reserved_concurrency"
            )
        return self

    @model_validator(mode="after")
    def _answers_arrive_in_time(self) -> Self:
        work = self.fetch_timeout_seconds + self.invoke_timeout_seconds
        if self.timeout_seconds <= work:
            raise ValueError(
                f"timeout_seconds = {self.timeout_seconds} leaves no time to answer after fetch_timeout_seconds + "
                f"invoke_timeout_seconds = {work}: set it to {work + 2} or more"
            )
        if self.http_api is not None and self.timeout_seconds > HTTP_API_TIMEOUT_SECONDS:
            raise ValueError(
                f"timeout_seconds = {self.timeout_seconds} is above {HTTP_API_TIMEOUT_SECONDS}, the longest that an "
                f"HTTP API waits: set it to {HTTP_API_TIMEOUT_SECONDS} or less, or remove the table api.http_api"
            )
        return self
