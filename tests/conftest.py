"""What holds for every test."""

import os
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Tests that import onnxruntime by themselves: see training/serving/inference.py.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

SHARED = ("tests/end_to_end/", "tests/local/", "tests/stacks/")
"""Folders whose tests share what takes long to make: an embedded AWS with all stacks, the synthesised templates."""

ALONE = ("tests/end_to_end/test_launch.py", "tests/stacks/test_own_environment.py")
"""Files there that make their own."""


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
