"""Lambda's Python runtime brings boto3, botocore and urllib3, and the function is deployed without anything else."""

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "lambda_src"
MODULES = sorted(FOLDER.rglob("*.py"))
ALLOWED = {*sys.stdlib_module_names, "boto3", "botocore", "urllib3", "."}


def imported(node: ast.AST) -> Iterator[str]:
    """Top-level names that are imported when the code runs, at any depth."""
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield "." if node.level or node.module is None else node.module.partition(".")[0]
    inside: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        inside = node.orelse
    for inner in inside:
        yield from imported(inner)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.relative_to(FOLDER).as_posix())
def test_only_what_lambda_brings_is_imported(module: Path) -> None:
    assert set(imported(ast.parse(module.read_text()))) <= ALLOWED


def test_the_check_itself_finds_imports_at_any_depth() -> None:
    code = "def f():\n  try:\n    import numpy.linalg\n  except E:\n    from PIL import Image\nfrom . import x"
    assert set(imported(ast.parse(code))) == {"numpy", "PIL", "."}


def test_each_function_has_a_folder_and_modules_of_one_import_each_other_relatively() -> None:
    assert MODULES
    assert {path.name for path in FOLDER.iterdir()} - {"__pycache__"} == {"predict"}
    assert not {folder.name for folder in FOLDER.iterdir()} & {*sys.stdlib_module_names, "boto3", "botocore", "urllib3"}
