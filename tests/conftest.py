"""What holds for every test."""

import os

import pytest

# Tests that import onnxruntime by themselves: see training/serving/inference.py.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

SHARED = ("tests/end_to_end", "tests/local", "tests/stacks")
"""Folders whose tests share what takes long to make: an embedded AWS with all stacks, the synthesised templates."""

ALONE = ("tests/end_to_end/test_launch.py",)
"""Files there that make their own."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep tests that share something in one process: by folder where ``SHARED`` says so, else by file."""
    file = item.path.relative_to(item.config.rootpath).as_posix()
    folder = next((name for name in SHARED if file.startswith(f"{name}/") and file not in ALONE), file)
    item.add_marker(pytest.mark.xdist_group(folder))
