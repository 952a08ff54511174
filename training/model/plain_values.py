"""What lies beside weights in a checkpoint: numbers, texts and containers, rebuilt without running what made them.

Each stand-in takes the place of a class or function that a pickle names, and makes plain values of its arguments.
numpy's own unpickling does not run: it believes what a file says of memory.
"""

import argparse
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

FACTORIES = ("list", "dict", "int", "float", "set", "str", "bool", "tuple")
"""What a defaultdict makes its values by."""

DTYPE = re.compile(r"[|<>=]?[biufcSU]\d*|bool|u?int\d+|float\d+")
"""Of numbers and texts."""


class Array:
    """A numpy array, as far as it is of numbers, texts or objects that are plain themselves."""

    def __init__(self, *_: Any) -> None:
        self.values: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take what numpy pickles: version, shape, dtype, whether the order is Fortran's, and the content."""
        _, shape, dtype, fortran, data = state
        if isinstance(data, list):
            self.values = data
        else:
            flat = np.frombuffer(_bytes(data), dtype.plain())
            self.values = flat.reshape(shape, order="F" if fortran else "C").tolist()


class Dtype:
    """A numpy dtype."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = str(code)
        self.order: Literal["<", ">", "="] = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take what numpy pickles of it; its second part is the order of bytes."""
        self.order = state[1] if state[1] in ("<", ">") else "="

    def plain(self) -> "np.dtype[Any]":
        """Return numpy's own, of numbers and texts only."""
        if not DTYPE.fullmatch(self.code):
            raise ValueError(f"a numpy array of {self.code}")
        return np.dtype(self.code).newbyteorder(self.order)


def _scalar(dtype: Any, data: Any = b"") -> Any:
    if not isinstance(dtype, Dtype):
        raise ValueError(f"a numpy scalar of {type(dtype).__name__}")
    return np.frombuffer(_bytes(data), dtype.plain(), count=1)[0].item()


def _bytes(data: Any) -> bytes:
    return data if isinstance(data, bytes) else str(data).encode("latin1")


def _dictionary(*_: Any) -> dict[Any, Any]:
    return {}


def _nothing(*_: Any) -> None:
    return None


def _path(*parts: Any) -> str:
    return str(Path(*(str(part) for part in parts)))


def _array(*_: Any) -> Array:
    return Array()


def stand_ins() -> list[Any]:
    """Return what ``torch.serialization.safe_globals`` takes: what a pickle may name, and what it gets for it."""
    named: dict[str, Any] = {"collections.defaultdict": _dictionary, "types.SimpleNamespace": argparse.Namespace}
    # Under two names since numpy 2: https://numpy.org/doc/stable/numpy_2_0_migration_guide.html
    for package in ("numpy.core", "numpy._core"):
        named |= {f"{package}.multiarray.scalar": _scalar, f"{package}.multiarray._reconstruct": _array}
    named |= {"numpy.ndarray": Array, "numpy.dtype": Dtype}
    named |= {f"builtins.{name}": _nothing for name in FACTORIES}
    named |= {f"__builtin__.{name}": _nothing for name in FACTORIES}
    for module in ("pathlib", "pathlib._local"):  # the latter in Python 3.13
        for kind in ("Posix", "Windows"):
            named |= {f"{module}.{kind}Path": _path, f"{module}.Pure{kind}Path": _path}
    return [argparse.Namespace, *((value, name) for name, value in named.items())]


def plain(value: Any) -> Any:
    """Return a value with lists for the arrays in it, and a dictionary for a Namespace."""
    if isinstance(value, Array):
        return plain(value.values)
    if isinstance(value, argparse.Namespace):
        return plain(vars(value))
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items() if isinstance(key, str | int)}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value
