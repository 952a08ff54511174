"""Whether wheels are those that AWS's container needs, and can be installed there."""

import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from training.artifact.wheels import Platform
from training.errors import TrainingError

OLDEST_GLIBC = 5
"""manylinux1's; a wheel for an older glibc runs on a newer one (https://peps.python.org/pep-0600/)."""

MOST_METADATA_BYTES = 1 << 20


def check_wheels(wheels: Sequence[Path], requirements: Sequence[str]) -> list[str]:
    """Return each wheel's name and version.

    Parameters
    ----------
    requirements
        Each as ``name==version``.

    Raises
    ------
    TrainingError
        One is missing, damaged, not asked for, or for another interpreter.
    """
    wanted = {canonicalize_name(name): version for name, _, version in (each.partition("==") for each in requirements)}
    suitable, found = _suitable(Platform()), {}
    for path in wheels:
        try:
            name, version, _, tags = parse_wheel_filename(path.name)
        except InvalidWheelFilename as error:
            raise TrainingError(f"{path.name} in the archive is not a wheel's name") from error
        if not tags & suitable:
            raise TrainingError(f"{path.name} is not for the container, which has Python {Platform().python} on x86_64")
        found[name] = str(version)
        if _inside(path) != (name, found[name]):
            raise TrainingError(f"{path.name} holds another package than its name says")
    for name, pinned in wanted.items():
        if found.get(name) != pinned:
            raise TrainingError(f"the archive lacks the wheel of {name} {pinned}, which the container needs")
    if unwanted := sorted(found.keys() - wanted.keys()):
        raise TrainingError(f"the archive has a wheel of {unwanted[0]}, which nothing asks for")
    return [f"{name} {version}" for name, version in sorted(found.items())]


def _suitable(platform: Platform) -> set[Tag]:
    major, minor = (int(each) for each in platform.python.split("."))
    newest = int(platform.tag.split("_")[2])
    systems = [f"manylinux_2_{glibc}_x86_64" for glibc in range(newest, OLDEST_GLIBC - 1, -1)]
    systems += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
    interpreter = f"cp{major}{minor}"
    return {*cpython_tags((major, minor), platforms=systems), *compatible_tags((major, minor), interpreter, systems)}


def _inside(path: Path) -> tuple[str, str]:
    """Return the name and the version of the package in a wheel, after a look at every byte."""
    try:
        with zipfile.ZipFile(path) as wheel:
            if (bad := wheel.testzip()) is not None:
                raise TrainingError(f"{path.name} in the archive is damaged: {bad}")
            (metadata,) = [name for name in wheel.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
            with wheel.open(metadata) as file:
                head = file.read(MOST_METADATA_BYTES).decode().partition("\n\n")[0]
        fields = dict(line.split(": ", 1) for line in head.splitlines() if re.match(r"(Name|Version): ", line))
        return canonicalize_name(fields["Name"]), fields["Version"]
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, NotImplementedError) as error:
        raise TrainingError(f"{path.name} in the archive is not a wheel that can be read ({error})") from error
