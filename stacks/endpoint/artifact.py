"""The model artifact as the stacks see it: its manifest, its bytes, and the quality gate."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stacks.common.version import VERSION
from stacks.settings import describe, shown
from stacks.settings.errors import ConfigurationError

MANIFEST = Path("build/model.json")
SCHEMA = 1
"""The schema of the manifests that Kennel reads; the version that wrote a manifest does not matter."""
TRAIN = "run `./kennel fit --data DIR` to make one"
NO_MODEL = f"{TRAIN}, or deploy only the stacks that train one on AWS with `-c model=none`"
NAMED_BY_HASH = re.compile(r"(?:.*/)?(?P<sha256>[0-9a-f]{64})\.tar\.gz")
"""The key of an artifact that the CDK or `./kennel launch` uploaded."""
S3_URI = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>\S+\.tar\.gz)")


class _Fields(BaseModel):
    # What training adds to the manifest for people is not the stacks' business.
    model_config = ConfigDict(extra="ignore", frozen=True)


class _File(_Fields):
    location: str = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(gt=0)


class _TestMetrics(_Fields):
    accuracy: float = Field(ge=0, le=1)


class _Metrics(_Fields):
    test: _TestMetrics | None


class _Head(_Fields):
    """The fields that manifests of all schemas have."""

    schema_: int = Field(alias="schema")
    versions: Any = None

    @property
    def kennel(self) -> str | None:
        """The version of Kennel that wrote the manifest; None if the manifest does not say."""
        return self.versions.get("kennel") if isinstance(self.versions, dict) else None


class _Manifest(_Fields):
    artifact: _File
    metrics: _Metrics


@dataclass(frozen=True)
class Location:
    """Where an artifact lies in S3."""

    bucket: str
    key: str


def locate(url: str) -> Location:
    """Read an artifact's address.

    Raises
    ------
    ConfigurationError
        The text is not an address.
    """
    match = S3_URI.fullmatch(url)
    if not match:
        raise ConfigurationError(f"{shown(url)}: not an artifact's address; use s3://BUCKET/KEY.tar.gz")
    return Location(match["bucket"], match["key"])


@dataclass(frozen=True)
class Artifact:
    """A ``model.tar.gz`` that passed the quality gate.

    Attributes
    ----------
    sha256
        The hex digest of the archive.
    path
        The archive on disk, for the CDK to upload; None where it lies in S3.
    manifest
        Its manifest on disk, for the CDK to upload beside it; None where it lies in S3.
    bucket, key
        Where it lies in S3 already; None where the CDK uploads it.
    """

    sha256: str
    path: Path | None = None
    manifest: Path | None = None
    bucket: str | None = None
    key: str | None = None


def load_artifact(given: Path | None = None, *, minimum_accuracy: float, location: str | None = None) -> Artifact:
    """Read a manifest and prove the artifact that it names.

    Parameters
    ----------
    given
        The manifest that training wrote beside the artifact; by default, `MANIFEST`.
    minimum_accuracy
        The least accuracy on the test split with which a model is deployed.
    location
        An ``s3://bucket/key.tar.gz`` or a path that replaces the manifest's own location.

    Raises
    ------
    ConfigurationError
        There is no manifest or artifact, the two do not belong together, or the model is below the gate.
    """
    manifest = MANIFEST if given is None else given
    fields = _read(manifest)
    if fields.metrics.test is None:
        raise ConfigurationError(
            f"{shown(manifest)}: the model's test accuracy is unknown: measure it with "
            "`./kennel package --from FILE --data DIR`"
        )
    accuracy = fields.metrics.test.accuracy
    if accuracy < minimum_accuracy:
        raise ConfigurationError(
            f"{shown(manifest)}: test accuracy {accuracy:.4f} is below model.minimum_accuracy = {minimum_accuracy}: "
            "train a better model, or lower the setting"
        )
    where = fields.artifact.location if location is None else location
    if where.startswith("s3://"):
        found = locate(where)
        if location is not None:
            _refuse_another(found.key, fields.artifact, given, location)
        return Artifact(fields.artifact.sha256, bucket=found.bucket, key=found.key)
    path = manifest.parent / where if location is None else Path(location)
    named = f"the artifact that {shown(manifest) if location is None else '-c model'} names"
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise ConfigurationError(f"{shown(path)}: {named} does not exist; {TRAIN}") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{shown(path)}: {named} cannot be read: {_reason(error)}") from None
    if digest != fields.artifact.sha256:
        raise ConfigurationError(
            f"{shown(path)}: sha256 {digest[:12]}... is not the {fields.artifact.sha256[:12]}... of {shown(manifest)}: "
            "use the manifest that was written with this artifact, or make both again with `./kennel fit --data DIR`"
        )
    return Artifact(digest, path=path, manifest=manifest)


def _refuse_another(key: str, declared: _File, given: Path | None, location: str) -> None:
    """Refuse the manifest of another artifact than the one at an address, as far as can be known without a network.

    A key that Kennel chose contains the hash. With another key, the artifact has to be the one that the manifest names,
    or the manifest has to be given: the default is that of the last training. `./kennel rollback` proves every pair.
    """
    named = NAMED_BY_HASH.fullmatch(key)
    if named and named["sha256"] == declared.sha256:
        return
    elsewhere = declared.location.startswith("s3://") and declared.location != location
    if named or elsewhere or (given is None and declared.location != location):
        raise ConfigurationError(
            f"{shown(MANIFEST if given is None else given)}: it describes the artifact {declared.sha256[:12]}..., "
            f"which may not be the one at {shown(location)}: use `make rollback ENVIRONMENT=... MODEL=s3://...`, which "
            "reads the manifest beside the artifact"
        )


def _read(manifest: Path) -> _Manifest:
    try:
        data: Any = manifest.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(f"{shown(manifest)}: there is no model artifact yet; {NO_MODEL}") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{shown(manifest)}: the manifest cannot be read: {_reason(error)}") from None
    try:
        head = _Head.model_validate_json(data)
        if head.schema_ != SCHEMA:
            writer = f"Kennel {shown(head.kennel)}" if head.kennel else "an unknown version of Kennel"
            raise ConfigurationError(
                f"{shown(manifest)}: {writer} wrote it with schema {shown(head.schema_)}, but Kennel {VERSION} reads "
                f"schema {SCHEMA}: use the version that wrote it, or {TRAIN} with this version"
            )
        return _Manifest.model_validate_json(data)
    except ValidationError as error:
        raise ConfigurationError(f"{shown(manifest)}: not a valid manifest: {describe(error)}; {TRAIN}") from None


def _reason(error: OSError | ValueError) -> str:
    """Say why a file cannot be opened; a ValueError is a zero byte in its name."""
    return str(error.strerror) if isinstance(error, OSError) else str(error)
