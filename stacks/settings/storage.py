"""``[storage]``: the bucket."""

from pydantic import Field

from stacks.settings.section import Section


class StorageSettings(Section):
    """The bucket: retention of its data, in days."""

    retain: bool
    noncurrent_version_days: int = Field(ge=1)
    capture_days: int = Field(ge=1)
