"""Kennel's own licence, and those of the packages that its users install from npm."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def packages() -> dict[str, dict[str, Any]]:
    """Return what ``npm ci`` installs, by its place."""
    found: dict[str, dict[str, Any]] = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    del found[""]
    return found


def test_the_licence_is_apache_2_in_every_file_that_names_it() -> None:
    text = " ".join((ROOT / "LICENSE").read_text().split())
    assert text.startswith("Apache License Version 2.0, January 2004")
    assert "END OF TERMS AND CONDITIONS" in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
    assert json.loads((ROOT / "package.json").read_text())["license"] == "Apache-2.0"


def test_users_install_no_package_under_a_licence_of_the_gpl_family() -> None:
    """``npm ci --omit=dev`` leaves out what the lock marks as ``dev``."""
    installed = {name: each.get("license", "none") for name, each in packages().items() if not each.get("dev")}
    assert "node_modules/aws-cdk" in installed
    assert not {name: licence for name, licence in installed.items() if re.search("GPL|none|SEE LICENSE", licence)}


def test_the_lock_names_no_registry() -> None:
    assert not [name for name, each in packages().items() if "resolved" in each]
