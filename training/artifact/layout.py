"""What lies where in the artifact, as AWS's container and our own image want it."""

import hashlib
from pathlib import Path

SERVING = Path(__file__).parents[1] / "serving"

GRAPH, CARD, REQUIREMENTS = "model.onnx", "model.json", "code/requirements.txt"
ROOT_FILES = ("deployment.py", "config.yaml")
CODE_FILES = tuple(sorted(path.name for path in SERVING.glob("*.py") if path.name not in ROOT_FILES))
"""Every module of serving, so that none is forgotten: the artifact has them under ``code/``, our own image beside its
``server.py``."""

PUBLISHED = Path(__file__).with_name("wheels.sha256")
"""What PyPI has under the names of the pinned wheels for the container's interpreter, as ``sha256sum`` writes it."""

WHEELS = "code/wheels"
WHEELS_IN_CONTAINER = f"/opt/ml/model/{WHEELS}"


def pinned_requirements() -> list[str]:
    """Return what the container lacks, each as ``name==version``."""
    lines = (SERVING / "requirements-container.txt").read_text().splitlines()
    return [pin for line in lines if (pin := line.partition("#")[0].strip())]


def own_files() -> dict[str, bytes]:
    """Return what is the same in every artifact that this version of Kennel writes, by its name in the archive."""
    requirements = ["--no-index", f"--find-links {WHEELS_IN_CONTAINER}", *pinned_requirements()]
    files = {REQUIREMENTS: ("\n".join(requirements) + "\n").encode()}
    files |= {name: (SERVING / name).read_bytes() for name in ROOT_FILES}
    return files | {f"code/{name}": (SERVING / name).read_bytes() for name in CODE_FILES}


def expected_files() -> dict[str, str]:
    """Return the SHA-256 of all that an artifact of this version holds beside its graph and its card, by name."""
    lines = (line.split() for line in PUBLISHED.read_text().splitlines())
    wheels = {f"{WHEELS}/{name}": digest for digest, name in lines}
    return {name: hashlib.sha256(content).hexdigest() for name, content in own_files().items()} | wheels
