"""Who may import whom: the rooms agree on file formats, not on shared code."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {"stacks", "training", "lambda_src", "local", "capacity"}
ALLOWED = {"local": {"capacity"}}
SERVING = ROOT / "training" / "serving"


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


@pytest.mark.parametrize("room", sorted(room for room in ROOMS if (ROOT / room).is_dir()))
def test_a_room_imports_no_other_room(room: str) -> None:
    forbidden = ROOMS - {room} - ALLOWED.get(room, set())
    for file in (ROOT / room).rglob("*.py"):
        for module in imported(file):
            assert module.split(".")[0] not in forbidden, f"{file.relative_to(ROOT)} imports {module}"


def test_serving_needs_no_pytorch() -> None:
    has = set(sys.stdlib_module_names) | {file.stem for file in SERVING.glob("*.py")}
    has |= {"numpy", "PIL", "onnxruntime", "starlette", "uvicorn", "ray"}
    for file in SERVING.glob("*.py"):
        assert {module.split(".")[0] for module in imported(file)} <= has, file.name
