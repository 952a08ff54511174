"""What every table of a settings file has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of the settings file: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
