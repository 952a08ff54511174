"""``[api]``: the Lambda in front of the endpoint."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from stacks.settings.section import Section

LOG_RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653)
"""The periods that CloudWatch Logs accepts (API reference, PutRetentionPolicy)."""


class ApiSettings(Section):
    """The Lambda in front of the endpoint: memory (MB), times (seconds), concurrency, log retention (days)."""

    memory_mb: int = Field(ge=128, le=10240)
    timeout_seconds: int = Field(ge=1, le=900)
    fetch_timeout_seconds: int = Field(ge=1, le=60)
    # InvokeEndpoint ends after 60 s (SageMaker Runtime API reference).
    invoke_timeout_seconds: int = Field(ge=1, le=60)
    # A synchronous payload is 6 MB (Lambda quotas), and base64 takes four bytes for three.
    maximum_image_bytes: int = Field(ge=1, le=4_500_000)
    log_retention_days: int
    provisioned_concurrency: int = Field(ge=0)
    reserved_concurrency: int | None = Field(default=None, ge=1)

    @field_validator("log_retention_days")
    @classmethod
    def _retention_exists(cls, value: int) -> int:
        if value not in LOG_RETENTION_DAYS:
            raise ValueError(f"CloudWatch Logs keeps logs for one of {', '.join(map(str, LOG_RETENTION_DAYS))} days")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.reserved_concurrency is not None and self.provisioned_concurrency > self.reserved_concurrency:
            raise ValueError(
                f"provisioned_concurrency = {self.provisioned_concurrency} is above "
                f"reserved_concurrency = {self.reserved_concurrency}: Lambda refuses that"
            )
        work = self.fetch_timeout_seconds + self.invoke_timeout_seconds
        if self.timeout_seconds <= work:
            raise ValueError(
                f"timeout_seconds = {self.timeout_seconds} leaves no time to answer after fetch_timeout_seconds + "
                f"invoke_timeout_seconds = {work}: set it to {work + 2} or more"
            )
        return self
