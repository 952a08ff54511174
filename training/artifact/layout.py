"""What lies where in the artifact, as AWS's container and our own image want it."""

import hashlib
from pathlib import Path

SERVING = Path(__file__).parents[1] / "serving"

GRAPH, CARD, REQUIREMENTS = "model.onnx", "model.json", "code/requirements.txt"
CODE, PACKAGE = "code", "serving"
"""The artifact has the package ``serving`` in the folder that AWS's containers put on Python's path."""

ENTRY_FILES = {
    "deployment.py": """\
# AWS's Ray Serve container imports this file, as config.yaml says.
from serving.deployment import app

__all__ = ["app"]
""",
    "code/inference.py": """\
# AWS's inference toolkit for PyTorch imports this file and calls these four functions.
from serving import inference
from serving.inference import input_fn, model_fn, predict_fn

__all__ = ["input_fn", "model_fn", "output_fn", "predict_fn"]


def output_fn(prediction, accept):
    # AWS's toolkit passes its context to a third parameter, even one with a default.
    return inference.output_fn(prediction, accept)
""",
    "code/server.py": """\
# Serves the artifact without one of AWS's containers: python code/server.py
from serving.server import main

if __name__ == "__main__":
    main()
""",
}
"""What a container looks for by name. Each passes on to the package, which has no other name on the path."""

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
    files |= {name: text.encode() for name, text in ENTRY_FILES.items()}
    files["config.yaml"] = (SERVING / "config.yaml").read_bytes()
    return files | {f"{CODE}/{PACKAGE}/{path.name}": path.read_bytes() for path in SERVING.glob("*.py")}


def expected_files() -> dict[str, str]:
    """Return the SHA-256 of all that an artifact of this version holds beside its graph and its card, by name."""
    lines = (line.split() for line in PUBLISHED.read_text().splitlines())
    wheels = {f"{WHEELS}/{name}": digest for digest, name in lines}
    return {name: hashlib.sha256(content).hexdigest() for name, content in own_files().items()} | wheels
