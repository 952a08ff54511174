"""One version: the file ``VERSION``, which every command prints."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VERSION = (ROOT / "VERSION").read_text().strip()
COMMANDS = (["-m", "training"], ["-m", "cost"], ["-m", "local"], ["-m", "operate"], ["predict.py"])


def printed(*arguments: str, folder: Path = ROOT) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_prints_the_version(command: list[str]) -> None:
    assert printed(*command, "--version") == f"kennel {VERSION}\n"


def test_the_version_is_printed_without_importing_what_takes_seconds() -> None:
    program = """
import sys
from training.__main__ import main
try:
    main(["--version"], {})
except SystemExit:
    print({"torch", "torchvision", "onnx", "boto3", "numpy"} & sys.modules.keys())
"""
    assert printed("-c", program) == f"kennel {VERSION}\nset()\n"


def test_a_copy_of_predict_alone_still_runs(tmp_path: Path) -> None:
    (tmp_path / "predict.py").write_bytes((ROOT / "predict.py").read_bytes())
    assert printed("predict.py", "--version", folder=tmp_path) == "kennel (unknown version)\n"


def test_the_projects_metadata_take_the_version_from_the_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"file": "VERSION"}
    assert "version" not in json.loads((ROOT / "package.json").read_text())


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(
        r"^## \[(\d+\.\d+\.\d+)\] - (Unreleased|\d{4}-\d{2}-\d{2})$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert headings[0][0] == VERSION
    assert all(date != "Unreleased" for _, date in headings[1:])
