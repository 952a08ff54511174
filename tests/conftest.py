"""What holds for every test, and which tests `make quick` and `make accept` run."""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Tests that import onnxruntime by themselves: see training/serving/inference.py.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

SHARED = ("tests/end_to_end/", "tests/local/", "tests/stacks/")
"""Folders whose tests share what takes long to make: an embedded AWS with all stacks, the synthesised templates."""

ALONE = ("tests/end_to_end/test_launch.py", "tests/stacks/test_own_environment.py")
"""Files there that make their own."""

STARTS = {"trains", "aws", "fitted", "photos", "splits", "synthesise", "templates"}
"""Fixtures that start something: an embedded AWS, a synthesis, a fit. `make quick` leaves out the tests with one."""

NODE = {"aws_cdk", "jsii"}
"""Packages that start Node when they are imported; `make quick` needs none."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make quick`."""
    parser.addoption("--quick", action="store_true", help="only the tests that start nothing")


def pytest_configure(config: pytest.Config) -> None:
    """Prepare `make quick`: a test that imports the CDK or starts a process is skipped there."""
    if config.getoption("--quick"):
        sys.meta_path.insert(0, _NoNode())
        sys.addaudithook(_no_processes)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what starts something, if asked."""
    if config.getoption("--quick"):
        kept = [item for item in items if not STARTS & set(getattr(item, "fixturenames", ()))]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept


class _NoNode:
    """Skips a test module, or a test, that imports what starts Node."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        if name in NODE:
            pytest.skip(f"{name} starts Node", allow_module_level=True)
        return None


def _no_processes(event: str, arguments: tuple[Any, ...]) -> None:
    """Skip a test that starts a process, whatever started it."""
    if event in ("subprocess.Popen", "os.fork", "os.posix_spawn") and "PYTEST_CURRENT_TEST" in os.environ:
        pytest.skip("starts a process")


@pytest.fixture(scope="session")
def trains() -> None:
    """Say that a test trains, or runs networks of full size, so that `make quick` leaves it out."""


class ByWhatIsShared(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps tests that share something in one process, others by file.

    xdist's marks for this (``--dist loadgroup``) have no effect under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in SHARED if file.startswith(folder) and file not in ALONE), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByWhatIsShared:
    """Answer xdist's question who runs what."""
    return ByWhatIsShared(config, log)
