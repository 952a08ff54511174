"""The golden policies: one file for each role (or resource policy), for all environments together.

Each entry says in which environments it holds; ``{environment}`` stands for the environment's name.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.stacks.iam.policy_model import Access, differences

FOLDER = Path(__file__).parent / "golden"
SECTIONS = ("trust", "permissions", "managed_policies", "permissions_boundary")

Granted = dict[str, Access]


def general(value: Any, environment: str) -> Any:
    """Return a value of one environment in the words of all of them."""
    return json.loads(re.sub(rf"(kennel[-/]){environment}\b", r"\1{environment}", json.dumps(value)))


def read(environment: str) -> Granted:
    """Return what the golden files grant in an environment."""
    golden = {}
    for file in sorted(FOLDER.glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8").replace("{environment}", environment))
        entries = {
            section: [entry["grants"] for entry in content.get(section, []) if environment in entry["environments"]]
            for section in SECTIONS
        }
        if any(entries.values()):
            golden[file.stem] = Access(file.stem, "", **entries)
    return golden


def departures(granted: Granted, golden: Granted) -> Iterator[str]:
    """Yield what is granted otherwise than the golden policies say: one request for each role and way."""
    for name in sorted(granted.keys() | golden.keys()):
        if name not in golden:
            yield f"{name}: it has no golden policy"
        elif name not in granted:
            yield f"{name}: nothing has its golden policy"
        else:
            for way, request in differences(granted[name], golden[name]).items():
                yield f"{name}, {way}: {request}"


def merge(granted: dict[str, Granted]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return the sections of each role for all environments together."""
    merged: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for environment, roles in sorted(granted.items()):
        for name, role in roles.items():
            sections = merged.setdefault(name, {})
            for section in SECTIONS:
                for grants in general(getattr(role, section), environment):
                    _add(sections.setdefault(section, []), grants, environment)
    return merged


def write(granted: dict[str, Granted]) -> None:
    """Write the golden files anew from what the templates of each environment grant."""
    merged = merge(granted)
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.glob("*.json"):
        if file.stem not in merged:
            file.unlink()
    for name, sections in merged.items():
        kept = {section: entries for section, entries in sections.items() if entries}
        (FOLDER / f"{name}.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def _add(entries: list[dict[str, Any]], grants: Any, environment: str) -> None:
    for entry in entries:
        if entry["grants"] == grants:
            entry["environments"].append(environment)
            return
    entries.append({"environments": [environment], "grants": grants})
