"""Who may import whom: within a room its own folder and those before it, between rooms almost nobody."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ORDER = {
    "stacks": [
        ["settings"],
        ["common"],
        ["policies"],
        ["storage", "training", "endpoint", "monitoring"],
        ["api"],
    ],
    "training": [
        ["serving"],
        ["common"],
        ["data", "metrics"],
        ["model"],
        ["artifact"],
        ["report"],
        ["fit"],
        ["pipeline"],
        ["tuning"],
        ["launch"],
        ["launch/remote"],
        ["commands"],
        ["."],
    ],
    "local": [
        ["core"],
        ["container", "ministack"],
        ["sagemaker/endpoint", "sagemaker/training"],
        ["sagemaker/tuning"],
        ["sagemaker", "ec2"],
        ["autoscaling"],
        ["host"],
        ["."],
    ],
    "lambda_src": [["predict/common"], ["predict/fetch"], ["predict"]],
    "cost": [["."]],
    "operate": [["."]],
}
"""The floors of each room, from the bottom: a folder imports itself and what is below it, never a neighbour."""

OPEN = {"local": {"capacity"}, "capacity": {"cost"}, "app.py": {"stacks"}}
"""The doors between rooms. ``bench`` and ``tests`` may import any room; nothing imports them."""

ROOMS = {*ORDER, "predict.py", "app.py", "bench"}


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py")) if (ROOT / room).is_dir() else [ROOT / room]


@cache
def imports(file: Path) -> frozenset[str]:
    """Return all that a file imports, at any depth and for types too, absolute and as deep as it can be read."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = file.relative_to(ROOT).parts[: -node.level] if node.level else ()
            base = ".".join([*package, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return frozenset(found)


def resolved(module: str) -> Path | None:
    """Return the file of a module of ours, or of what it has a name from."""
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:end])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def arrows(room: str) -> Iterator[tuple[Path, Path]]:
    """Yield each pair of files of a room of which the first imports the second."""
    for file in files(room):
        for module in imports(file):
            target = resolved(module)
            if target is not None and target != file and target.is_relative_to(ROOT / room):
                yield file, target


def folder(file: Path, room: str) -> str:
    return file.parent.relative_to(ROOT / room).as_posix()


@pytest.mark.parametrize("room", ORDER)
def test_every_folder_has_a_floor(room: str) -> None:
    assert {folder(file, room) for file in files(room) if file.name != "__init__.py"} == {
        name for floor in ORDER[room] for name in floor
    } - ({"."} if room == "stacks" else set())


@pytest.mark.parametrize("room", ORDER)
def test_a_folder_imports_those_below_it_alone(room: str) -> None:
    floors = {name: number for number, floor in enumerate(ORDER[room]) for name in floor}
    for file, target in arrows(room):
        here, there = folder(file, room), folder(target, room)
        if here != there and target.name != "__init__.py":
            assert floors[there] < floors[here], f"{file.relative_to(ROOT)} imports {target.relative_to(ROOT)}"


@pytest.mark.parametrize("room", sorted(ROOMS))
@pytest.mark.parametrize("kind", ["files", "folders"])
def test_nothing_is_imported_in_a_circle(room: str, kind: str) -> None:
    graph: dict[Path, set[Path]] = {}
    for file, target in arrows(room):
        source, end = (file, target) if kind == "files" else (file.parent, target.parent)
        if source != end:
            graph.setdefault(source, set()).add(end)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(str(path.relative_to(ROOT)) for path in error.args[1]))


@pytest.mark.parametrize("room", sorted(ROOMS - {"bench"}))
def test_a_room_imports_no_other_room(room: str) -> None:
    others = {Path(name).stem for name in ROOMS | {"tests", "capacity"}} - {Path(room).stem}
    forbidden = others - OPEN.get(room, set())
    for file in files(room):
        for module in imports(file):
            assert module.split(".")[0] not in forbidden, f"{file.relative_to(ROOT)} imports {module}"


def test_bench_imports_no_tests() -> None:
    assert not {module for file in files("bench") for module in imports(file) if module.split(".")[0] == "tests"}


def test_serving_needs_no_pytorch() -> None:
    has = set(sys.stdlib_module_names) | {"numpy", "PIL", "onnxruntime", "starlette", "uvicorn", "h11", "ray"}
    for file in files("training/serving"):
        assert {module.split(".")[0] for module in imports(file)} <= has | {"training"}, file.name
        assert all(module.startswith("training.serving") for module in imports(file) if module.startswith("training"))


def test_no_room_puts_a_folder_on_the_path() -> None:
    for room in sorted(ROOMS):
        for file in files(room):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                assert not isinstance(node, ast.Attribute) or ast.unparse(node) != "sys.path", file.relative_to(ROOT)


def test_no_two_rooms_share_the_name_of_a_module() -> None:
    names = [name for name in (*ROOMS, "tests") if not name.endswith(".py")]
    inside = {file.stem for room in ("lambda_src",) for file in (ROOT / room).iterdir()}
    assert len(names) == len(set(names))
    assert not inside & set(names)
