"""One embedded AWS and two trained models for the session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.embedded import KENNEL, environment_of, free_port, run_local
from tests.end_to_end.project import Deployment, Model, processes_under, run, synthesised

TIME_SCALE = 60
"""A minute of Application Auto Scaling passes in a second."""


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "digits"
    run(KENNEL, "sample", folder)
    return folder


@pytest.fixture(scope="session")
def first(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The model of the demo: what a newcomer gets who changes nothing."""
    folder = tmp_path_factory.mktemp("first")
    run(KENNEL, "fit", "--data", photos, "--out", folder)
    return synthesised(folder)


@pytest.fixture(scope="session")
def second(photos: Path, first: Model, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The first model, trained on for one epoch."""
    folder = tmp_path_factory.mktemp("second")
    options = ["--weights", first.folder / "model.safetensors", "--epochs", "1", "--lr", "1e-4"]
    run(KENNEL, "fit", "--data", photos, "--mode", "full", "--out", folder, *options)
    return synthesised(folder)


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    state = tmp_path_factory.mktemp("aws") / "state"
    up = run_local("up", "--state", state, "--port", str(free_port()), "--time-scale", str(TIME_SCALE))
    assert up.returncode == 0, up.stdout + up.stderr
    try:
        yield Deployment(environment_of(state))
    finally:
        run_local("down", "--state", state)
    assert processes_under(state) == {}, "the embedded AWS left processes behind"


@pytest.fixture(scope="session")
def bootstrapped(aws: Deployment, first: Model) -> Deployment:
    aws.cdk("bootstrap", "--app", first.assembly)
    return aws


@pytest.fixture(scope="session")
def deployed(bootstrapped: Deployment, first: Model) -> Deployment:
    """Deploy all stacks with the first model."""
    bootstrapped.roll_out(first)
    return bootstrapped
