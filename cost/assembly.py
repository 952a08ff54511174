"""A synthesised cloud assembly (``cdk.out``), as far as its cost is concerned."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cost.errors import CostError

Properties = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """One resource of a template."""

    name: str
    type: str
    properties: Properties


@dataclass(frozen=True)
class Stack:
    """One stack: its name and its resources."""

    name: str
    resources: tuple[Resource, ...]

    def of_type(self, kind: str) -> list[Resource]:
        """Return the resources of one CloudFormation type."""
        return [resource for resource in self.resources if resource.type == kind]


@dataclass(frozen=True)
class Assembly:
    """The stacks, and the bytes that ``./kennel cdk deploy`` will put into the bootstrap bucket."""

    stacks: tuple[Stack, ...]
    asset_bytes: int = 0

    def of_type(self, kind: str) -> list[Resource]:
        """Return the resources of one CloudFormation type, of all stacks."""
        return [resource for stack in self.stacks for resource in stack.of_type(kind)]


def parse_stack(name: str, template: dict[str, Any]) -> Stack:
    """Read one CloudFormation template.

    Parameters
    ----------
    name
        The stack's name.
    template
        The template as parsed JSON.
    """
    return Stack(
        name,
        tuple(
            Resource(key, resource["Type"], resource.get("Properties", {}))
            for key, resource in template.get("Resources", {}).items()
        ),
    )


def load_assembly(folder: Path) -> Assembly:
    """Read the templates that ``./kennel cdk synth`` wrote.

    Parameters
    ----------
    folder
        A cloud assembly, such as ``cdk.out``.

    Raises
    ------
    CostError
        The folder holds no cloud assembly, or a file of it cannot be read.
    """
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise CostError(f"{folder}: no synthesised stacks; run `make synth` or `./kennel cdk synth --output {folder}`")
    try:
        artifacts = json.loads(manifest.read_text(encoding="utf-8"))["artifacts"]
        stacks = tuple(
            parse_stack(
                artifact.get("properties", {}).get("stackName", name),
                json.loads((folder / artifact["properties"]["templateFile"]).read_text(encoding="utf-8")),
            )
            for name, artifact in sorted(artifacts.items())
            if artifact.get("type") == "aws:cloudformation:stack"
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CostError(
            f"{folder}: the cloud assembly is damaged ({type(error).__name__}: {error}); "
            f"write it again with `./kennel cdk synth --output {folder}`"
        ) from error
    if not stacks:
        raise CostError(
            f"{folder}: the cloud assembly has no stack; write it again with `./kennel cdk synth --output {folder}`"
        )
    return Assembly(stacks, _asset_bytes(folder))


def _asset_bytes(folder: Path) -> int:
    assets = (file for asset in folder.glob("asset.*") for file in ([asset] if asset.is_file() else asset.rglob("*")))
    return sum(file.stat().st_size for file in assets if file.is_file())
