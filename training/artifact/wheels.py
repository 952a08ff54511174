"""The wheels that travel in the artifact: what AWS's container lacks, and may not download."""

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.common.errors import TrainingError
from training.common.files import cache_folder


@dataclass(frozen=True)
class Platform:
    """The interpreter that installs the wheels; AWS's Ray Serve container unless said otherwise.

    https://github.com/aws/deep-learning-containers (Amazon Linux 2023: glibc 2.34)
    """

    python: str = "3.13"
    tag: str = "manylinux_2_28_x86_64"


def wheel_cache() -> Path:
    """Return the folder that keeps downloaded wheels."""
    return cache_folder()


def fetch_wheels(requirements: Sequence[str], cache: Path, platform: Platform = Platform()) -> list[Path]:
    """Return one wheel for each requirement, downloaded unless the cache has it.

    Parameters
    ----------
    requirements
        Each as ``name==version``; their own dependencies are not fetched.

    Raises
    ------
    TrainingError
        A wheel is neither in the cache nor to be had from pip's index.
    """
    folder = cache / f"python{platform.python}-{platform.tag}"
    wheels = []
    for requirement in requirements:
        if (wheel := _cached(folder, requirement)) is None:
            _download(requirement, folder, platform)
            wheel = _cached(folder, requirement)
        if wheel is None:
            raise TrainingError(f"pip downloaded no wheel of {requirement} to {folder}; check pip's configuration")
        wheels.append(wheel)
    return wheels


def _cached(folder: Path, requirement: str) -> Path | None:
    name, _, version = requirement.partition("==")
    beginning = f"{re.sub(r'[-_.]+', '_', name)}-{version}-".lower()
    return next((path for path in sorted(folder.glob("*.whl")) if path.name.lower().startswith(beginning)), None)


def _download(requirement: str, folder: Path, platform: Platform) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as partial:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--python-version", platform.python, "--platform", platform.tag]
        result = subprocess.run(  # noqa: S603
            [*command, "--dest", partial, requirement], capture_output=True, text=True
        )
        if result.returncode:
            reason = next((line for line in result.stderr.splitlines() if line.startswith("ERROR")), "pip failed")
            again = shlex.join(["python", *command[1:], "--dest", str(folder), requirement])
            raise TrainingError(
                f"{requirement} for Python {platform.python}, a part of the artifact, cannot be downloaded "
                f"({reason.removeprefix('ERROR: ')}); run this with a network: `{again}`"
            )
        for wheel in Path(partial).glob("*.whl"):
            shutil.move(wheel, folder / wheel.name)
