"""No function has a cyclomatic complexity above a limit, as radon counts it.

radon counts ``and``, ``or`` and comprehensions as branches; ruff's rule C901 does not. A nested function counts for
itself.
"""

import ast
from collections.abc import Iterator

from radon.visitors import ComplexityVisitor

from tests.test_rooms import ROOMS, ROOT, files

LIMIT = 12

EXCEPTIONS: dict[str, int] = {}
"""Functions above the limit, each with its complexity and a comment that gives the reason. An entry must be exact."""


def functions(node: ast.AST, place: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield each function below a node with its qualified name, also those inside functions."""
    for child in ast.iter_child_nodes(node):
        inside = place
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = f"{place}.{child.name}"
            if not isinstance(child, ast.ClassDef):
                yield inside, child
        yield from functions(child, inside)


def complexities(source: str, module: str, *, asserts: bool) -> Iterator[tuple[str, int]]:
    """Yield each function's qualified name and complexity; ``asserts`` says whether an assert counts as a branch."""
    for name, function in functions(ast.parse(source), module):
        (counted,) = ComplexityVisitor.from_ast(function, no_assert=not asserts).functions
        yield name, counted.complexity


def test_no_function_is_above_the_limit_but_the_exceptions() -> None:
    above = {
        name: complexity
        for room in (*ROOMS, "tests")
        for file in files(room)
        for name, complexity in complexities(
            file.read_text(encoding="utf-8"),
            ".".join(file.relative_to(ROOT).with_suffix("").parts),
            asserts=room != "tests",
        )
        if complexity > LIMIT
    }
    new = {name: complexity for name, complexity in above.items() if EXCEPTIONS.get(name) != complexity}
    assert not new, f"make a table or smaller functions of them: at most {LIMIT}"
    stale = sorted(EXCEPTIONS.keys() - above.keys())
    assert not stale, "no exceptions any more: remove them"


def test_the_count_has_operators_comprehensions_and_what_is_inside_functions() -> None:
    source = """
def outer(a, b):
    class Inner:
        def method(self):
            return [x for x in a if x or b]
    def nested():
        assert a
    return a or b
"""
    assert dict(complexities(source, "m", asserts=True)) == {
        "m.outer": 2,
        "m.outer.Inner.method": 4,
        "m.outer.nested": 2,
    }
    assert dict(complexities(source, "m", asserts=False))["m.outer.nested"] == 1
