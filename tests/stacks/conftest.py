import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stacks.settings import Settings, load_settings
from tests.stacks.environments import CONTEXT as CONTEXT_OF
from tests.stacks.environments import OPTIONAL, ROOT, make_project, working_directory

CONTEXT = json.loads((ROOT / "cdk.json").read_text())["context"]

Templates = dict[str, dict[str, Any]]


def _write_artifact(folder: Path, content: bytes = b"a model", accuracy: float = 0.98) -> Path:
    """Write an archive and its manifest; return the manifest's path."""
    (folder / "model.tar.gz").write_bytes(content)
    manifest = folder / "model.json"
    artifact = {
        "location": "model.tar.gz",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }
    manifest.write_text(json.dumps({"schema": 1, "artifact": artifact, "metrics": {"test": {"accuracy": accuracy}}}))
    return manifest


def _synthesise(outdir: Path, manifest: Path, environment: str, *, folder: Path = ROOT, **context: str) -> Templates:
    """Synthesise the app as the CDK CLI would in a folder; return the templates by the stack's noun."""
    import aws_cdk as cdk  # starts Node, which the tests of settings do without

    import app as kennel_app

    with working_directory(folder):
        app = cdk.App(
            outdir=str(outdir),
            context={**CONTEXT, "environment": environment, "manifest": str(manifest), **context},
        )
        kennel_app.build(app)
        assembly = app.synth()
    return {
        stack.stack_name.removeprefix("Kennel").removesuffix(f"-{environment}"): json.loads(
            Path(stack.template_full_path).read_text()
        )
        for stack in assembly.stacks
    }


@pytest.fixture
def in_project() -> Iterator[None]:
    with working_directory(ROOT):
        yield


@pytest.fixture
def dev() -> Settings:
    return load_settings("dev", ROOT / "settings")


@pytest.fixture
def write_artifact() -> Callable[..., Path]:
    return _write_artifact


@pytest.fixture
def synthesise() -> Callable[..., Templates]:
    return _synthesise


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write_artifact(tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return where an environment is synthesised: the project, or its copy with the settings that only tests have."""
    project = make_project(tmp_path_factory.mktemp("project"))
    (project / "build" / "next").mkdir()
    _write_artifact(project / "build" / "next", b"the next model")
    return lambda environment: project if environment in OPTIONAL else ROOT


@pytest.fixture(scope="session")
def templates(
    tmp_path_factory: pytest.TempPathFactory, manifest: Path, folder_of: Callable[[str], Path]
) -> Callable[[str], Templates]:
    """Synthesise each environment once for all tests."""
    made: dict[str, Templates] = {}

    def of(environment: str) -> Templates:
        if environment not in made:
            made[environment] = _synthesise(
                tmp_path_factory.mktemp("cdk.out"),
                manifest,
                environment,
                folder=folder_of(environment),
                **CONTEXT_OF.get(environment, {}),
            )
        return made[environment]

    return of


@pytest.fixture
def resources() -> Callable[[dict[str, Any], str], dict[str, dict[str, Any]]]:
    def of_type(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
        return {name: item for name, item in template["Resources"].items() if item["Type"] == kind}

    return of_type
