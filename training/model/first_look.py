"""What a file's own bytes tell of its weights before PyTorch is imported, which takes seconds.

Of a pickle the opcodes are read, and nothing is built but dictionaries with the names in it. ``read_weights`` reads
what cannot be told here, and says what is wrong with it.
"""

import json
import pickletools
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

from training.common.errors import TrainingError
from training.model.parts import parts, tensors, without_prefixes
from training.model.strangers import INSTEAD, library_of, stranger

PICKLED, SAFE = (".pth", ".pt", ".bin", ".ckpt"), ".safetensors"
ARCHIVES = (".tar.gz", ".tgz", ".tar")

MOST_BYTES, MOST_OPCODES = 64 * 1024**2, 500_000
"""Of what is read here, which takes at most a second; a ViT-H of timm with its average and optimizer has 60,000."""

OLD_FORMAT, PICKLES_BEFORE = 0x1950A86A20F9469CFC6C, 2
"""The first pickle of ``torch.save``'s old format, and how many more come before the content
(``MAGIC_NUMBER`` and ``_legacy_save`` in ``torch/serialization.py``)."""

DICTIONARIES = ("collections.OrderedDict", "collections.defaultdict")
REBUILT = "torch._utils._rebuild_"
"""How the functions are called by which PyTorch's pickles make tensors."""

PUTS = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")


class Tensor:
    """A tensor, of which there is nothing but its name."""


class Global(str):
    """A class or function that a pickle names."""

    __slots__ = ()


def check_weights(weights: str, key: str | None) -> None:
    """Refuse what ``--weights`` and ``--weights-key`` of ``fit`` cannot mean.

    Raises
    ------
    TrainingError
        There is a key without a file, or the file is of another library than torchvision.
    """
    path = Path(weights)
    if path.is_file():
        try:
            refuse_strangers(path, key)
        except TrainingError as error:
            raise TrainingError(f"--weights {error}") from error
    elif key is not None:
        raise TrainingError(
            f"--weights-key {key} chooses within a file, and --weights {weights} is no file: leave out --weights-key, "
            "or give a checkpoint's file"
        )


def refuse_strangers(path: Path, key: str | None = None) -> None:
    """Refuse a file, or a folder's only one, of another library than torchvision.

    Parameters
    ----------
    key
        Under which a checkpoint has the weights; if None, under one of the usual ones.

    Raises
    ------
    TrainingError
        It is one, or the folder has several files of weights or none.
    """
    if not path.exists():
        return
    file = only_file(path)
    named: list[str] = []
    try:
        content = _content(file, named)
        names = _names(content, key)
    except Exception:  # whatever the bytes lead to
        content, names = {}, []
    if foreign := next((name for name in named if library_of(name)), None):
        raise TrainingError(f"{file} is of {library_of(foreign)}: it holds {foreign}; {INSTEAD}")
    if whose := stranger(names, content):
        raise TrainingError(f"{file} is {whose}; {INSTEAD}")


def only_file(path: Path) -> Path:
    """Return a file, or the only file of weights in a folder.

    Raises
    ------
    TrainingError
        The folder has several, or none.
    """
    if not path.is_dir():
        return path
    files = sorted(each for each in path.iterdir() if each.is_file() and not each.name.startswith("."))
    for endings in ((SAFE,), PICKLED, ARCHIVES):
        if fitting := [each for each in files if each.name.endswith(endings)]:
            if len(fitting) > 1:
                raise TrainingError(
                    f"{path} holds {fitting[0].name} and {fitting[1].name}; give one file by --from, and if they are "
                    "parts of one model, save it anew as one"
                )
            return fitting[0]
    raise TrainingError(f"{path} holds no weights: a .pth, .pt or .safetensors file, or a model.tar.gz with one")


def _names(content: dict[Any, Any], key: str | None) -> list[str]:
    """Return the names of the tensors that ``read_weights`` takes, without prefixes."""
    chosen = content.get(key) if key else next(iter(parts(content, Tensor).values()), content)
    return list(without_prefixes(tensors(chosen, Tensor), [], whole=True))


def _content(path: Path, named: list[str]) -> dict[Any, Any]:
    """Return a file's content with stand-ins for its tensors; ``named`` gets the classes and functions it names."""
    if path.suffix == SAFE:
        return {name: Tensor() for name in _header(path) if name != "__metadata__"}
    pickled = BytesIO(_pickle_of_zip(path) if zipfile.is_zipfile(path) else _beginning(path))
    if (content := _Reader(named).read(pickled)) == OLD_FORMAT:
        for _ in range(PICKLES_BEFORE + 1):
            content = _Reader(named).read(pickled)
    found: dict[Any, Any] = content
    return found


def _header(path: Path) -> dict[str, Any]:
    """Return the header of a safetensors file (https://huggingface.co/docs/safetensors#format)."""
    with path.open("rb") as file:
        header: dict[str, Any] = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), MOST_BYTES)))
    return header


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES)


def _pickle_of_zip(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        with archive.open(name) as file:
            return file.read(MOST_BYTES)


class _Reader:
    """Follows the opcodes of one pickle; of all that it would build there are dictionaries, texts and numbers.

    Parameters
    ----------
    named
        Gets the classes and functions that the pickle names.
    """

    def __init__(self, named: list[str]) -> None:
        self.named = named
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        # What an opcode puts on the stack, by its argument and what it takes from there. All others put what
        # ``pickletools`` says of them: their argument if they are constants, else something unknown.
        self.special: Mapping[str, Callable[[Any, list[Any]], Any]] = {
            "GET": lambda index, _: self.memo.get(index),
            "BINGET": lambda index, _: self.memo.get(index),
            "LONG_BINGET": lambda index, _: self.memo.get(index),
            "GLOBAL": lambda name, _: self._global(*name.split(" ")),
            "STACK_GLOBAL": lambda _, taken: self._global(*taken),
            "EMPTY_DICT": lambda *_: {},
            "SETITEM": lambda _, taken: _filled(*taken),
            "SETITEMS": lambda _, taken: _filled(*taken),
            "REDUCE": lambda _, taken: _made_by(taken[0]),
            "BUILD": lambda _, taken: taken[0],
        }

    def read(self, file: BytesIO) -> Any:
        """Return what the pickle would build, as far as it is known."""
        for opcode, argument, _ in islice(pickletools.genops(file), MOST_OPCODES):
            if opcode.name == "STOP":
                return self.stack[-1]
            if opcode.name == "MARK":
                self.marks.append(len(self.stack))
            elif opcode.name in PUTS:
                self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
            else:
                taken = self._take(opcode.stack_before)
                self.stack += self._given(opcode, argument, taken)
        raise ValueError("a pickle without an end")

    def _take(self, before: list[pickletools.StackObject]) -> list[Any]:
        """Return what an opcode takes from the stack, without the mark."""
        start = len(self.stack) - len(before)
        if pickletools.markobject in before:
            start = self.marks.pop() - before.index(pickletools.markobject)
        if start < 0:
            raise ValueError("a pickle that takes more than there is")
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def _given(self, opcode: pickletools.OpcodeInfo, argument: Any, taken: list[Any]) -> list[Any]:
        if special := self.special.get(opcode.name):
            return [special(argument, taken)]
        if not opcode.stack_before and argument is not None:
            return [argument] * len(opcode.stack_after)
        return [None] * len(opcode.stack_after)

    def _global(self, module: str, name: str) -> Global:
        self.named.append(f"{module}.{name}")
        return Global(self.named[-1])


def _filled(target: Any, *pairs: Any) -> Any:
    """Return a dictionary with further pairs of keys and values, as far as the keys are known."""
    if isinstance(target, dict):
        both = zip(pairs[::2], pairs[1::2], strict=True)
        target.update({key: value for key, value in both if isinstance(key, str | int)})
    return target


def _made_by(function: Any) -> Any:
    """Return what a function makes."""
    if isinstance(function, Global) and function in DICTIONARIES:
        return {}
    return Tensor() if isinstance(function, Global) and function.startswith(REBUILT) else None
