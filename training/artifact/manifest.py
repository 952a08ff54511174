"""The manifest, ``model.json`` beside the archive: which archive, what it is and how good. Written and read here."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.common.errors import TrainingError
from training.common.version import VERSION

SCHEMA = 1


@dataclass(frozen=True)
class Archive:
    """Which archive a manifest is about: a path beside it or an S3 address, hexadecimal digits, and bytes."""

    location: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """What is known about an archive.

    Parameters
    ----------
    model
        ``architecture``, ``weights`` that it began with, ``mode``, ``temperature``; ``mean`` and ``std`` of the pixels.
    input
        How a photo becomes the model's input, as the card has it.
    classes
        ``name`` and ``label`` of each, in the order of the model's output.
    metrics
        For ``test`` and ``validation`` what was measured there; None where nothing was.
    facts
        What else is told, for people: how it was trained, on what, with which versions.
    """

    archive: Archive
    model: Mapping[str, Any]
    input: Mapping[str, Any]
    classes: list[dict[str, str]]
    metrics: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def accuracy(self) -> float | None:
        """The share of the test split's photos that are told right; None if nobody measured it."""
        test = self.metrics.get("test")
        return None if test is None else float(test["accuracy"])

    @property
    def temperature(self) -> float | None:
        """What logits were divided by before the softmax; None if that is not told."""
        value: float | None = self.model.get("temperature")
        return value

    @property
    def weights_sha256(self) -> str | None:
        """Of the ``model.safetensors`` that was written with the archive; None if that is not told."""
        value: str | None = self.facts["weights"]["sha256"] if "weights" in self.facts else None
        return value

    @property
    def kennel(self) -> str | None:
        """Which version of Kennel wrote it; None if that is not told."""
        return _kennel(self.facts)

    def text(self) -> str:
        """Return the file's content."""
        content = {
            "schema": SCHEMA,
            "artifact": vars(self.archive),
            "model": self.model,
            "input": self.input,
            "classes": self.classes,
            "metrics": self.metrics,
            **self.facts,
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read a manifest.

        Raises
        ------
        TrainingError
            There is none, or it is not one of this version.
        """
        try:
            return cls.parse(path.read_bytes(), str(path))
        except OSError as error:
            raise TrainingError(f"{path} cannot be read: {error.strerror}") from error

    @classmethod
    def parse(cls, content: bytes, source: str) -> "Manifest":
        """Read a manifest from its bytes; an error names ``source``.

        Parameters
        ----------
        content
            JSON in UTF-8.
        source
            What errors call it.
        """
        try:
            members = json.loads(content)
            check_schema(members["schema"], source, _kennel(members))
            artifact = members.pop("artifact")
            archive = Archive(str(artifact["location"]), str(artifact["sha256"]), int(artifact["size"]))
            if not re.fullmatch("[0-9a-f]{64}", archive.sha256):
                raise ValueError(f"artifact.sha256 is {archive.sha256!r}")
            classes = [{key: str(entry[key]) for key in ("name", "label")} for entry in members.pop("classes")]
            model, input_rule, metrics = (dict(members.pop(name)) for name in ("model", "input", "metrics"))
            del members["schema"]
            manifest = cls(archive, model, input_rule, classes, metrics, members)
            manifest._check()
        except KeyError as error:
            raise TrainingError(f"{source} is not a manifest of this version: {error} is missing") from error
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise TrainingError(f"{source} is not a manifest of this version: {error}") from error
        return manifest

    def _check(self) -> None:
        """Raise an error unless each property has a value that it may have."""
        if self.accuracy is not None and not 0 <= self.accuracy <= 1:
            raise ValueError(f"metrics.test.accuracy is {self.accuracy}")
        value = self.temperature
        if value is not None and not (isinstance(value, int | float) and 0 < value < math.inf):
            raise ValueError(f"model.temperature is {value!r}")
        if not isinstance(self.weights_sha256, str | None):
            raise ValueError("weights.sha256 is no text")


def check_schema(schema: object, source: str, kennel: str | None) -> None:
    """Refuse a manifest or a card of another schema.

    Parameters
    ----------
    kennel
        Which version wrote it; None if that is not told.

    Raises
    ------
    TrainingError
        This version does not read the schema.
    """
    if schema == SCHEMA:
        return
    writer = f"Kennel {kennel}" if kennel else "an unknown version of Kennel"
    raise TrainingError(
        f"{source} has schema {schema!r:.40} of {writer}; this is Kennel {VERSION}, which reads schema {SCHEMA}: "
        "use the version that wrote it, or make a model with this one (`./kennel fit --data DIR`)"
    )


def _kennel(manifest: Mapping[str, Any]) -> str | None:
    """Return which version of Kennel wrote a manifest, of whatever schema it is."""
    versions = manifest.get("versions")
    version = versions.get("kennel") if isinstance(versions, dict) else None
    return f"{version!s:.40}" if version else None
