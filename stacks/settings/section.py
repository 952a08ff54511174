"""What every table of a settings file has in common."""

from collections.abc import Sequence
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

T = TypeVar("T")


def _is_printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("the value has an unprintable character, such as a line break: remove it")
    return value


PRINTABLE = AfterValidator(_is_printable)
"""What can stand in one line of a template, a log or a message: no line breaks, no control characters."""

KeyArn = Annotated[
    str,
    Field(
        max_length=2048,
        pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/(mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$",
    ),
]
"""A customer-managed key (KMS API reference, KeyMetadata). An alias does not do: IAM policies can only name a key."""

LOG_RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653)
"""The periods that CloudWatch Logs accepts (API reference, PutRetentionPolicy)."""


def _retention_exists(days: int) -> int:
    if days not in LOG_RETENTION_DAYS:
        raise ValueError(
            f"CloudWatch Logs has no such retention period: use one of {', '.join(map(str, LOG_RETENTION_DAYS))} days"
        )
    return days


LogRetentionDays = Annotated[int, AfterValidator(_retention_exists)]


def repeated(values: Sequence[T]) -> T | None:
    """Return the first value that occurs more than once; None if there is none."""
    return next((value for value in values if values.count(value) > 1), None)


class Section(BaseModel):
    """A table of the settings file: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
