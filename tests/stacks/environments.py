"""The settings files that the proofs see: the real ones, and those of ``tests/stacks/settings``.

The latter switch on what no file of ``settings/`` does, so that no option escapes the golden policies and the gates.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stacks.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "settings", ROOT / "tests" / "stacks" / "settings")

REAL, OPTIONAL = (sorted(file.stem for file in folder.glob("*.toml")) for folder in FOLDERS)
EVERY = [*REAL, *OPTIONAL]

CONTEXT = {"serverless": {"model": "s3://kennel-serverless-123456789012-eu-central-1/models/7/model.tar.gz"}}
"""What ``cdk -c`` says beside the name of the environment."""


def settings_of(environment: str) -> Settings:
    """Return the settings of an environment."""
    return load_settings(environment, FOLDERS[environment in OPTIONAL])


def make_project(folder: Path) -> Path:
    """Make the project's folder again with all the settings, and with a build of its own, to synthesise in."""
    for item in ROOT.iterdir():
        if item.name not in ("settings", "build"):
            (folder / item.name).symlink_to(item)
    (folder / "build").mkdir()
    (folder / "settings").mkdir()
    for settings in FOLDERS:
        for file in settings.glob("*.toml"):
            # jsii looks for files where its Node process was started, so that manifests are named in full.
            text = file.read_text(encoding="utf-8").replace('"build/', f'"{folder}/build/')
            (folder / "settings" / file.name).write_text(text, encoding="utf-8")
    return folder


@contextmanager
def working_directory(folder: Path) -> Iterator[None]:
    """Work in a folder for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
