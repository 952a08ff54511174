"""``[storage]``: the bucket."""

from typing import Annotated

from pydantic import Field

from stacks.settings.section import KeyArn, Section

Days = Annotated[int, Field(ge=1, le=3650)]


class StorageSettings(Section):
    """The bucket: its key, and for each prefix how long (days) what is no longer current stays.

    Current objects of ``data/``, ``models/`` and ``training/`` never expire, because an endpoint fetches its
    artifact again whenever it scales out; checkpoints and captured requests do.
    """

    retain: bool
    data_version_days: Days
    model_version_days: Days
    training_version_days: Days
    checkpoint_days: Days
    capture_days: Days
    # Without it there is no access log, and no bucket for it.
    access_log_days: Days | None = None
    kms_key_arn: KeyArn | None = None
