"""Weights out of somebody's file, of whatever usual kind; nothing is unpickled but tensors and plain values."""

import re
import tarfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from training.common.errors import TrainingError
from training.common.files import sha256
from training.model.first_look import ARCHIVES, PICKLED, SAFE, only_file
from training.model.parts import AVERAGED, NESTED, parts, tensors, without_prefixes
from training.model.plain_values import stand_ins
from training.model.strangers import INSTEAD, library_of, stranger

ANEW = (
    f"neither at the top nor under one of {', '.join(NESTED)}; save one: torch.save(model.state_dict(), 'weights.pth')"
)

MAGIC = (b"PK\x03\x04", b"\x80")
"""How a file of ``torch.save`` begins, a zip archive or in the old way a pickle."""

MOST_BYTES = 8 * 1024**3
"""Three times the largest of torchvision's classifiers (regnet_y_128gf, 2.6 GB), for an optimizer's state beside it."""

TOO_LARGE = f"the limit is {MOST_BYTES / 1e9:.1f} GB, so save the weights without other data"


@dataclass(frozen=True)
class Weights:
    """A model's tensors by name, in the file's order.

    Parameters
    ----------
    metadata
        Of a safetensors file.
    content
        The checkpoint that the tensors come from, which may say more than they do.
    notes
        What was chosen and what was left aside, for the user to know.
    """

    source: Path
    sha256: str
    state: dict[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)
    content: Mapping[Any, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file's name, as the manifest tells it."""
        return self.source.name


def read_weights(path: Path, work: Path, key: str | None = None) -> Weights:
    """Read a state_dict, a checkpoint that holds one, a safetensors file, or an archive or a folder with one of them.

    Parameters
    ----------
    work
        An empty folder for what is unpacked.
    key
        Under which a checkpoint has the weights; if None, under one of the usual ones.

    Raises
    ------
    TrainingError
        There is no such file, there are several, it holds something else than a model's tensors, or they are of a
        classifier of another library than torchvision.
    """
    if not path.exists():
        raise TrainingError(f"--from {path} does not exist; give a file or a folder with weights")
    found = only_file(path)
    file = _unpack(found, work) if found.name.endswith(ARCHIVES) else found
    metadata: dict[str, str] = {}
    content: Mapping[Any, Any] = {}
    notes: list[str] = []
    try:
        if file.suffix == SAFE:
            if key is not None:
                raise TrainingError(
                    f"{file} is a safetensors file, which has one set of weights; leave out --weights-key"
                )
            state, metadata = _safe(file)
        else:
            content = _pickled(file)
            state = _choose(content, key, file, notes)
    except OSError as error:
        raise TrainingError(f"{file} cannot be read: {error.strerror or error}") from error
    state = without_prefixes(state, notes, whole=any(value.dim() > 2 for value in state.values()))
    if whose := stranger(state, content):
        raise TrainingError(f"{found} is {whose}; {INSTEAD}")
    return Weights(found, sha256(found), _floats(state, found), metadata, content, tuple(notes))


def _unpack(archive: Path, work: Path) -> Path:
    """Take the only file of weights out of an archive."""
    try:
        with tarfile.open(archive) as tar:
            member = _weights_in(tar, archive)
            target = work / Path(member.name).name
            content = tar.extractfile(member)
            assert content is not None  # noqa: S101 a regular file has content
            with target.open("wb") as file:
                while block := content.read(1 << 20):
                    file.write(block)
            return target
    except (tarfile.TarError, EOFError, OSError) as error:
        raise TrainingError(f"{archive} cannot be read as an archive ({_first_line(error)})") from error


def _weights_in(tar: tarfile.TarFile, archive: Path) -> tarfile.TarInfo:
    """Return the only file of weights in an archive."""
    members = {member.name.removeprefix("./"): member for member in tar}
    if "model.onnx" in members:
        raise TrainingError(_packaged(archive) if "model.json" in members else _of_a_graph(archive))
    fitting = [
        member
        for name, member in members.items()
        if member.isreg() and name.endswith((SAFE, *PICKLED)) and not Path(name).name.startswith(".")  # macOS adds them
    ]
    if not fitting:
        raise TrainingError(
            f"{archive} has no weights file ({', '.join((*PICKLED, SAFE))}); give the file that "
            "torch.save(model.state_dict(), 'weights.pth') writes, or an archive with it"
        )
    if len(fitting) > 1:
        raise TrainingError(
            f"{archive} has {len(fitting)} weights files, such as {fitting[0].name} and {fitting[1].name}; unpack it, "
            "and give one of them"
        )
    if fitting[0].size > MOST_BYTES:
        raise TrainingError(f"{archive}: {fitting[0].name} has {fitting[0].size / 1e9:.1f} GB; {TOO_LARGE}")
    return fitting[0]


def _packaged(archive: Path) -> str:
    weights = archive.with_name("model.safetensors")
    again = (
        f"pack its weights again with `./kennel package --from {weights}`"
        if weights.is_file()
        else "pack it again from the model.safetensors that was written beside it"
    )
    return f"{archive} is already an artifact of Kennel; check it with `./kennel verify {archive}`, or {again}"


def _of_a_graph(archive: Path) -> str:
    return (
        f"{archive} has an ONNX graph, and `package` reads PyTorch weights; save those of the model that was exported: "
        "torch.save(model.state_dict(), 'weights.pth')"
    )


def _safe(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise TrainingError(
            f"{path} is not a safetensors file ({_first_line(error)}); pass another file, or copy this one again "
            "if it is incomplete"
        ) from error


def _pickled(path: Path) -> dict[Any, Any]:
    with path.open("rb") as file:
        content = _load(file, path)
    if not isinstance(content, dict):
        raise TrainingError(f"{path} has no state_dict, {ANEW}")
    return content


def _choose(content: dict[Any, Any], key: str | None, path: Path, notes: list[str]) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, and note which, if there are several sets of them."""
    usual = parts(content, Tensor)
    if key is not None:
        if chosen := tensors(content.get(key), Tensor):
            notes.append(f"uses the weights under {key}")
            return chosen
        remedy = f"use {' or '.join(usual)}" if usual else "leave out --weights-key"
        raise TrainingError(f"--weights-key {key}: {path} has no weights under this name; {remedy}")
    if usual:
        taken, *others = usual
        if others:
            notes.append(f"uses the weights under {taken}; --weights-key {others[0]} uses the others")
        elif taken in AVERAGED:
            notes.append(f"uses the weights under {taken}, an average; there are no others")
        return usual[taken]
    if found := tensors(content, Tensor):
        return found
    raise TrainingError(f"{path} has no state_dict, {ANEW}")


def _load(file: BinaryIO, path: Path) -> Any:
    if not file.read(4).startswith(MAGIC):
        raise TrainingError(f"{path} is neither a file of torch.save nor a .safetensors file; give one of these")
    file.seek(0)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins()):
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever the bytes lead it to
        text = str(error)
        if "weights_only" in text or "Weights only load" in text or "TorchScript" in text:
            if (found := re.search(r"GLOBAL (\S+)", text)) and (library := library_of(found[1])):
                raise TrainingError(f"{path} is a file of {library} (it has {found[1]}); {INSTEAD}") from error
            raise TrainingError(
                f"{path} {_in_the_way(text)}; unpickling it could run any code, so save it again where it was made: "
                "torch.save(model.state_dict(), 'weights.pth')"
            ) from error
        raise TrainingError(f"{path} is not a PyTorch weights file ({_first_line(error)})") from error


def _in_the_way(refusal: str) -> str:
    """Return what ``torch.load`` does not read, by its refusal."""
    if "TorchScript" in refusal:
        return "is a TorchScript archive, a program"
    if found := re.search(r"GLOBAL (\S+)", refusal):
        name = found[1] if "." in found[1] else f"builtins.{found[1]}"
        if name.startswith(("torch.nn.", "torchvision.models.")):
            return f"has a whole model or layers ({name}), not tensors only"
        return f"has {name}, which is neither a tensor nor a plain value"
    if "Unsupported operand" in refusal:
        return "is pickled with protocol 4 or 5, and torch.save uses 2"
    return "has more than tensors, such as a whole model"


def _floats(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return what has a point as float32, whatever precision it was saved in."""
    if not state:
        raise TrainingError(
            f"{path} has no tensors; save those of the model: torch.save(model.state_dict(), 'weights.pth')"
        )
    if odd := next((name for name, value in state.items() if not _is_plain(value)), None):
        raise TrainingError(f"{path}: {odd} is quantised, sparse, complex or empty; save the weights as floats")
    # A tensor may be larger than its file: one number, seen as many.
    if (size := 4 * sum(value.numel() for value in state.values())) > MOST_BYTES:
        raise TrainingError(f"{path} has {size / 1e9:.1f} GB of numbers; {TOO_LARGE}")
    state = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    if bad := next((name for name, value in state.items() if not bool(value.isfinite().all())), None):
        raise TrainingError(f"{path}: {bad} has infinite or NaN values, because its training diverged; train it again")
    return state


def _is_plain(value: Tensor) -> bool:
    return value.layout == torch.strided and not (value.is_quantized or value.is_complex() or value.is_meta)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
