"""The CDK's convention: ``cdk synth`` in an activated environment of any name, with what README asks for alone."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stacks.environments import ROOT

NEEDED = ("VERSION", "app.py", "cdk.json", "constraints.txt", "lambda_src", "settings", "stacks")
"""What of the project ``cdk synth`` reads; a checkout in CI has no ``.venv``."""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """Return where the environment goes, which is too large for pytest to keep."""
    yield tmp_path / "own"
    shutil.rmtree(tmp_path / "own", ignore_errors=True)


def install(environment: Path, requirements: Path) -> None:
    """Make an environment by the standard library's venv and by pip."""
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)

    def pip(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [environment / "bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = pip("install", "--requirement", requirements)
    if done.returncode and not os.environ.get("CI") and pip("install", "--dry-run", "constructs").returncode:
        pytest.skip("pip reaches no package index")
    assert done.returncode == 0, done.stderr


def test_an_activated_environment_of_another_name_synthesises_with_pip_alone(
    tmp_path: Path, own: Path, write_artifact: Callable[..., Path]
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for name in NEEDED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, project / name)
    (project / "node_modules").symlink_to(ROOT / "node_modules")
    (project / "build").mkdir()
    write_artifact(project / "build")
    install(own, project / "stacks/requirements.txt")

    done = subprocess.run(
        ["node_modules/.bin/cdk", "synth", "--quiet"],  # what `npx cdk` runs
        cwd=project,
        env={**os.environ, "PATH": f"{own}/bin:{os.environ['PATH']}", "VIRTUAL_ENV": str(own)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    stacks = json.loads((project / "cdk.out/manifest.json").read_text())["artifacts"]
    assert {"KennelEndpoint-dev", "KennelApi-dev"} <= stacks.keys()
