"""``[monitoring]``: dashboard, alarms, their recipients, and the budget."""

import re
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from stacks.settings.section import PRINTABLE, Section, repeated

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[\w-]+", re.ASCII)
MOST_EMAILS = 100
"""Each is a resource of the stack. More people are better notified by a mailing list."""
MINUTES = 5
"""The alarms on silence and on a full fleet count whole periods of this length."""

# An alarm looks back over a day at most (CloudWatch API reference, PutMetricAlarm, EvaluationPeriods).
Window = Annotated[int, Field(ge=0, le=1440, multiple_of=MINUTES)]
# More happens in no five minutes, and the alarm could never ring.
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
# A budget has five notifications (Budgets API reference, CreateBudget), and the forecast takes one.
Percentages = Annotated[list[Annotated[int, Field(ge=1, le=1000)]], Field(min_length=1, max_length=4)]


class MonitoringSettings(Section):
    """The dashboard, the thresholds of the alarms, where they are sent, and the monthly budget; 0 turns one off."""

    dashboard: bool
    alarms: bool
    emails: list[Annotated[str, Field(max_length=254), PRINTABLE]] = Field(max_length=MOST_EMAILS)
    # An alarm's description has 1024 characters at most (CloudWatch API reference, PutMetricAlarm).
    runbook_url: Annotated[str, Field(min_length=1, max_length=500), PRINTABLE]
    topic_kms_key_arn: str | None = Field(default=None, max_length=2048)
    endpoint_error_percentage: float = Field(gt=0, lt=100)
    # SageMaker ends an invocation after 60 s, so a higher threshold could never be crossed.
    endpoint_latency_p99_milliseconds: int = Field(gt=0, lt=60_000)
    function_errors: Count
    function_throttles: Count
    function_spillovers: Count
    url_errors: Count
    # Of [api.http_api]. It gives an answer up after 30 s (API Gateway quotas), so a higher threshold is never crossed.
    http_api_errors: Count = 5
    http_api_refusals: Count = 100
    http_api_latency_p99_milliseconds: int = Field(default=10_000, ge=1, lt=30_000)
    function_duration_percentage: int = Field(ge=1, lt=100)
    minutes_at_maximum: Window
    minutes_without_traffic: Window
    # What is more is a slip, and no number that CloudFormation passes on as it is written.
    monthly_budget_usd: float = Field(ge=0, le=1_000_000_000)
    budget_percentages: Percentages

    @field_validator("emails")
    @classmethod
    def _emails_are_addresses(cls, value: list[str]) -> list[str]:
        for email in value:
            if not EMAIL.fullmatch(email):
                raise ValueError(f'"{email}" is not an e-mail address: use one such as "on-call@example.com"')
        if (twice := repeated(value)) is not None:
            raise ValueError(f'"{twice}" is listed twice, and SNS takes one subscription of an address: remove one')
        return value

    @field_validator("topic_kms_key_arn")
    @classmethod
    def _key_is_customer_managed(cls, value: str | None) -> str | None:
        if value is not None and not KEY.fullmatch(value):
            raise ValueError(
                'use the ARN of a customer-managed key ("arn:aws:kms:REGION:ACCOUNT:key/ID"): '
                "CloudWatch cannot use the AWS-managed key alias/aws/sns"
            )
        return value

    @model_validator(mode="after")
    def _percentages_differ(self) -> Self:
        if (share := repeated(self.budget_percentages)) is not None:
            raise ValueError(f"budget_percentages = {self.budget_percentages} lists {share} twice: remove one")
        return self
