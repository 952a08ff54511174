"""Python 3.11.2 is the minimum. vermin and mypy know minor versions only; here is what a later 3.11 brought."""

import ast
from collections.abc import Iterator

import pytest

from tests.test_rooms import ROOMS, ROOT, files

ARGUMENTS = {
    ("extract", "filter"),
    ("extractall", "filter"),
    ("unpack_archive", "filter"),
    ("parseaddr", "strict"),
    ("getaddresses", "strict"),
}
"""Functions and arguments: https://docs.python.org/3.11/library/ ("Changed in version 3.11.4", "3.11.10")."""

NAMES = {"data_filter", "tar_filter", "fully_trusted_filter", "verify_generated_headers", "SetReparseDeferralEnabled"}
"""Attributes; ``getattr`` and ``hasattr`` ask for them without needing them."""


def newer(code: str) -> Iterator[str]:
    """Yield what Python 3.11.2 lacks."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            function = ast.unparse(node.func).rpartition(".")[2]
            yield from (f"{function}({word.arg}=)" for word in node.keywords if (function, word.arg) in ARGUMENTS)
        elif isinstance(node, ast.Attribute) and node.attr in NAMES:
            yield node.attr


@pytest.mark.parametrize("room", sorted({*ROOMS, "tests"}))
def test_nothing_needs_a_later_python_than_the_minimum(room: str) -> None:
    found = {file.relative_to(ROOT): set(newer(file.read_text(encoding="utf-8"))) for file in files(room)}
    assert not {file: names for file, names in found.items() if names}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('tar.extractall(folder, filter="data")', ["extractall(filter=)"]),
        ('tarfile.open(path).extract(member, filter="data")', ["extract(filter=)"]),
        ("tarfile.data_filter(member, path)", ["data_filter"]),
        ('getattr(tarfile, "data_filter", None)', []),
        ("logs.get_paginator(name).paginate(filter=1)", []),
    ],
)
def test_what_came_with_a_later_patch_is_found(code: str, found: list[str]) -> None:
    assert list(newer(code)) == found
