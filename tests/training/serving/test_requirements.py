"""The pins that must agree: each file is complete by itself, because it travels alone."""

import re
from fnmatch import fnmatch
from pathlib import Path

from training.artifact.layout import SERVING

ROOT = SERVING.parents[1]


def pins(path: Path) -> set[str]:
    """Return the pins of a requirements file in one spelling, without comments and options."""
    lines = (line.partition(" #")[0].strip() for line in path.read_text().splitlines())
    return {re.sub(r"\s|'|\"", "", line).lower() for line in lines if line and line[0] not in "#-"}


def ignored(name: str, rules: list[str]) -> bool:
    """Return whether Docker leaves a file out of the build context: of the rules that match it, the last one counts."""
    matching = [rule for rule in rules if fnmatch(name, rule.removeprefix("!"))]
    return bool(matching) and not matching[-1].startswith("!")


def test_the_image_has_what_everything_else_is_tested_with() -> None:
    assert pins(SERVING / "requirements.txt") <= pins(ROOT / "constraints.txt")


def test_the_wheels_that_travel_are_those_that_the_image_has() -> None:
    assert pins(SERVING / "requirements-container.txt") <= pins(SERVING / "requirements.txt")


def test_the_image_needs_no_other_file_of_the_repository() -> None:
    rules = (SERVING / ".dockerignore").read_text().splitlines()
    context = {path.name for path in SERVING.iterdir() if not ignored(path.name, rules)}
    patterns = re.findall(r"^COPY (.+) \S+$", (SERVING / "Dockerfile").read_text(), re.MULTILINE)
    copied = {name for name in context for line in patterns for each in line.split() if fnmatch(name, each)}
    assert copied == {"requirements.txt", *(path.name for path in SERVING.glob("*.py"))} - {"deployment.py"}
    assert context == copied | {"Dockerfile"}
    assert not re.search(r"^-", (SERVING / "requirements.txt").read_text(), re.MULTILINE)
