"""What every table of a settings file has in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

KeyArn = Annotated[
    str,
    Field(
        pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/(mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$"
    ),
]
"""A customer-managed key (KMS API reference, KeyMetadata). An alias does not do: IAM policies can only name a key."""


class Section(BaseModel):
    """A table of the settings file: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
