"""The pins that must agree: each file is complete by itself, because it travels alone."""

import re
from pathlib import Path

import inference

SERVING = Path(inference.__file__).parent
ROOT = SERVING.parents[1]


def pins(path: Path) -> set[str]:
    """Return the pins of a requirements file in one spelling, without comments and options."""
    lines = (line.partition(" #")[0].strip() for line in path.read_text().splitlines())
    return {re.sub(r"\s|'|\"", "", line).lower() for line in lines if line and line[0] not in "#-"}


def test_the_image_has_what_everything_else_is_tested_with() -> None:
    assert pins(SERVING / "requirements.txt") <= pins(ROOT / "constraints.txt")


def test_the_wheels_that_travel_are_those_that_the_image_has() -> None:
    assert pins(SERVING / "requirements-container.txt") <= pins(SERVING / "requirements.txt")


def test_the_image_needs_no_other_file_of_the_repository() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (SERVING / "Dockerfile").read_text(), re.MULTILINE)
    files = {name for line in copied for name in line.split()}
    assert files == {"requirements.txt", "inference.py", "server.py"}
    kept = {line[1:] for line in (SERVING / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert kept == files | {"Dockerfile"}
    assert not re.search(r"^-", (SERVING / "requirements.txt").read_text(), re.MULTILINE)
