"""The typed, validated form of ``settings/<environment>.toml``: one file for each of its tables."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

from pydantic import Field, ValidationError

from stacks.settings.account import AccountSettings
from stacks.settings.api import ApiSettings
from stacks.settings.endpoint import EndpointSettings
from stacks.settings.errors import ConfigurationError
from stacks.settings.monitoring import MonitoringSettings
from stacks.settings.section import Section
from stacks.settings.storage import StorageSettings
from stacks.settings.training import TrainingSettings

SHOWN_CHARACTERS = 120
"""How much of a wrong value is shown."""
SHOWN_PATH = 300
"""How much of a wrong name or path."""

# The bucket is named after it, the account and the region, and S3 takes 63 characters.
ENVIRONMENT = re.compile(r"^[a-z][a-z0-9-]{0,25}[a-z0-9]$")


class ModelSettings(Section):
    """What an artifact must prove before it is deployed."""

    minimum_accuracy: float = Field(ge=0, le=1)


class Settings(Section):
    """Every number that a user may change, for one environment."""

    environment: str = Field(pattern=ENVIRONMENT.pattern)
    account: AccountSettings
    model: ModelSettings
    storage: StorageSettings
    training: TrainingSettings
    endpoint: EndpointSettings
    api: ApiSettings
    monitoring: MonitoringSettings

    @property
    def endpoint_name(self) -> str:
        """The endpoint's physical name, which the API stack and its callers know without an export."""
        return f"kennel-{self.environment}"

    @property
    def function_name(self) -> str:
        """The Lambda's physical name, which its callers and its log group know."""
        return f"kennel-{self.environment}"


def load_settings(environment: str, folder: Path = Path("settings")) -> Settings:
    """Read and validate the settings of an environment.

    Parameters
    ----------
    environment
        The name of the environment: the file's name without ``.toml``.
    folder
        Where the settings files lie.

    Raises
    ------
    ConfigurationError
        The file is missing, is not TOML, or a setting is out of bounds; one line names the field.
    """
    if not ENVIRONMENT.fullmatch(environment):
        raise ConfigurationError(
            f"-c environment={shown(environment)}: not an environment's name: use 2 to 27 lower-case letters, digits "
            "and hyphens; begin with a letter, and do not end with a hyphen"
        )
    path = folder / f"{environment}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in folder.glob("*.toml"))) or "none"
        raise ConfigurationError(
            f"{path}: no such settings file (there are: {known}); choose one with -c environment=NAME"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        # Not UTF-8, not TOML, a number of thousands of digits, or thousands of brackets.
        raise ConfigurationError(f"{path}: not valid TOML: {error}") from None
    try:
        return Settings.model_validate({**table, "environment": environment})
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {describe(error)}") from None


def describe(error: ValidationError) -> str:
    """Put a validation error in one line: each field by its path, its value, and what would be right."""
    lines = []
    for fault in error.errors():
        field = ".".join(map(_in_line, fault["loc"])) or "(whole file)"
        # A validator may name another value than the fault's input.
        message = _escaped(fault["msg"].removeprefix("Value error, "))
        value = "" if isinstance(fault["input"], dict) else f" = {_shortened(repr, fault['input'])}"
        lines.append(f"{field}{value}: {message}")
    return "; ".join(lines)


def shown(text: object) -> str:
    """Return a name or a path for one line of a message: quoted where it could not be printed, and not too long."""
    return _shortened(_in_line, text, SHOWN_PATH)


def _in_line(key: object) -> str:
    """Return a key as it is, or quoted where TOML's escapes have put a line break or the like into it."""
    return str(key) if str(key).isprintable() else repr(str(key))


def _escaped(text: str) -> str:
    """Return a text with escapes in place of what cannot be printed."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _shortened(write: Callable[[object], str], value: object, most: int = SHOWN_CHARACTERS) -> str:
    try:
        text = write(value)
    except ValueError:  # Python writes no decimal number of more than 4300 digits.
        return "(a number too long to show)"
    return text if len(text) <= most else f"{text[:most]}..."
