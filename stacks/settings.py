"""The typed, validated form of ``settings/<environment>.toml``."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from stacks.errors import ConfigurationError

LOG_RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653)
"""The periods that CloudWatch Logs accepts (API reference, PutRetentionPolicy)."""

ECR_IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.(?P<domain>amazonaws\.com(?:\.cn)?)"
    r"/(?P<repository>[a-z0-9._/-]+)(?::[\w.-]+|@sha256:[0-9a-f]{64})"
)
"""An image that SageMaker can pull without a VPC: one in Amazon ECR, named by tag or digest."""

INSTANCE_TYPE = re.compile(r"ml\.(?P<family>[a-z]+)(?P<generation>\d+)(?P<options>[a-z-]*)\.[a-z0-9]+")

# Endpoint timeouts: SageMaker API reference, ProductionVariant.
EndpointTimeout = Annotated[int, Field(ge=60, le=3600)]
# Target tracking reads one-minute metrics, so a shorter cooldown never binds.
Cooldown = Annotated[int, Field(ge=60, le=3600)]


class Section(BaseModel):
    """A table of the settings file: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ModelSettings(Section):
    """What an artifact must prove before it is deployed."""

    minimum_accuracy: float = Field(ge=0, le=1)


class StorageSettings(Section):
    """The bucket: retention of its data, in days."""

    retain: bool
    noncurrent_version_days: int = Field(ge=1)
    capture_days: int = Field(ge=1)


class ScalingSettings(Section):
    """Target tracking on invocations per instance and minute; cooldowns in seconds."""

    minimum_instances: int = Field(ge=1)
    maximum_instances: int = Field(ge=1)
    invocations_per_instance: float = Field(gt=0)
    scale_out_cooldown_seconds: Cooldown
    scale_in_cooldown_seconds: Cooldown

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        if self.minimum_instances > self.maximum_instances:
            raise ValueError(
                f"minimum_instances = {self.minimum_instances} is above "
                f"maximum_instances = {self.maximum_instances}: lower the one or raise the other"
            )
        return self


class EndpointSettings(Section):
    """The SageMaker endpoint: its container, instances, timeouts (seconds) and scaling."""

    container: str
    instance_type: str
    download_timeout_seconds: EndpointTimeout
    startup_timeout_seconds: EndpointTimeout
    scaling: ScalingSettings

    @field_validator("container")
    @classmethod
    def _container_is_known(cls, value: str) -> str:
        if value not in ("ray", "image") and not ECR_IMAGE.fullmatch(value):
            raise ValueError('use "ray", "image", or an Amazon ECR image URI with a tag or digest')
        return value

    @field_validator("instance_type")
    @classmethod
    def _instance_type_can_scale_and_serve(cls, value: str) -> str:
        match = INSTANCE_TYPE.fullmatch(value)
        if not match:
            raise ValueError('use a SageMaker instance type such as "ml.c7i.large"')
        if match["family"] == "t":
            raise ValueError("burstable instances cannot autoscale (SageMaker guide): use ml.c7i.large or the like")
        if match["family"] in ("g", "p", "inf", "trn"):
            raise ValueError("the artifact's ONNX Runtime is a CPU build: use a CPU instance such as ml.c7i.large")
        return value

    @property
    def architecture(self) -> Literal["arm64", "x86_64"]:
        """The processor of the instance type: Graviton generations carry a ``g`` after the number."""
        match = INSTANCE_TYPE.fullmatch(self.instance_type)
        return "arm64" if match and match["options"].startswith("g") else "x86_64"

    @model_validator(mode="after")
    def _container_runs_on_the_processor(self) -> Self:
        if self.container == "ray" and self.architecture == "arm64":
            raise ValueError(
                f'instance_type = "{self.instance_type}" is Graviton, and AWS\'s Ray container is x86-64 only: '
                'use container = "image" or an x86 instance'
            )
        return self


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


class Settings(Section):
    """Every number that a user may change, for one environment."""

    environment: str = Field(pattern=r"^[a-z][a-z0-9-]{0,30}[a-z0-9]$")
    model: ModelSettings
    storage: StorageSettings
    endpoint: EndpointSettings
    api: ApiSettings

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
    path = folder / f"{environment}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in folder.glob("*.toml"))) or "none"
        raise ConfigurationError(
            f"{path}: no such settings file (there are: {known}); choose one with -c environment=NAME"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not valid TOML: {error}") from None
    try:
        return Settings.model_validate({**table, "environment": environment})
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {describe(error)}") from None


def describe(error: ValidationError) -> str:
    """Put a validation error in one line: each field by its path, its value, and what would be right."""
    lines = []
    for fault in error.errors():
        field = ".".join(map(str, fault["loc"])) or "(whole file)"
        message = fault["msg"].removeprefix("Value error, ")
        shown = "" if isinstance(fault["input"], dict) else f" = {fault['input']!r}"
        lines.append(f"{field}{shown}: {message}")
    return "; ".join(lines)
