"""The archive itself: written so that the same content gives the same bytes, and read as of unknown origin."""

import gzip
import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from training.artifact.layout import CARD, GRAPH, WHEELS, own_files
from training.common.errors import TrainingError

MOST_BYTES = 3 * 1024**3
"""A graph has at most 2 GiB, protobuf's limit (https://protobuf.dev/programming-guides/encoding/#size-limit)."""

MOST_FILES, MOST_TEXT_BYTES = 100, 16 * 1024**2

BELONGS = re.compile(
    r"model\.(onnx|json)|deployment\.py|config\.yaml|code/(serving/)?[\w.-]+\.(py|txt)|code/wheels/[\w.+-]+\.whl"
)
PICKLED = re.compile(r".*\.(pkl|pickle|pth|pt|bin|ckpt|joblib|npy|mar)", re.IGNORECASE)
AGAIN = "use an archive as `./kennel fit` or `./kennel package` wrote it"
BLOCK, RECORD = tarfile.BLOCKSIZE, tarfile.RECORDSIZE


@dataclass(frozen=True)
class File:
    """A file of an artifact: hexadecimal digits, and bytes."""

    sha256: str
    size: int


def write_archive(path: Path, onnx: bytes, card: dict[str, object], wheels: Sequence[Path]) -> None:
    """Write the artifact: the same arguments give the same bytes.

    Parameters
    ----------
    card
        What serving reads as ``model.json``; the hash and the size of the graph are added here.
    """
    files = {GRAPH: {"sha256": hashlib.sha256(onnx).hexdigest(), "size": len(onnx)}}
    members = {GRAPH: onnx, CARD: _json(card | {"files": files})} | own_files()
    members |= {f"{WHEELS}/{wheel.name}": wheel.read_bytes() for wheel in wheels}
    # Weights hardly compress, and wheels not at all: of ResNet-50's 119 MB, level 1 takes 6 % away, in nine times the
    # time of level 0, and unpacking takes three times as long, which every instance that starts waits for.
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", 0, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, content in sorted(members.items()):
            tar.addfile(member(name, len(content)), io.BytesIO(content))


def member(name: str, size: int) -> tarfile.TarInfo:
    """Return what the archive says of a file: nothing of when and by whom it was written.

    Parameters
    ----------
    name, size
        Of the file in the archive: a relative path, and bytes.
    """
    about = tarfile.TarInfo(name)
    about.size, about.mode = size, 0o644
    return about


def unpack(archive: Path, folder: Path) -> dict[str, File]:
    """Write an artifact's files into a folder: only plain files, only where they belong, no more than one can hold.

    The headers are read here and not by ``tarfile``, which follows whatever a header says: here each must be, byte for
    byte, the one that Kennel writes for a file of that name and size. So there are no links, devices, times or owners.

    Parameters
    ----------
    archive
        A ``model.tar.gz`` of unknown origin.
    folder
        An empty folder.

    Raises
    ------
    TrainingError
        The archive is damaged, holds what does not belong into an artifact, or more than ``MOST_BYTES``.
    """
    with archive.open("rb") as packed:
        if packed.read(8) != b"\x1f\x8b\x08" + bytes(5):  # neither a file's name nor the time of writing
            packed.seek(0)
            kind = "was not written by Kennel" if packed.read(2) == b"\x1f\x8b" else "is not a .tar.gz file"
            raise TrainingError(f"{archive} {kind}; `./kennel package` packs models")
        packed.seek(0)
        try:
            with gzip.GzipFile(fileobj=packed) as stream:
                return _files(stream, archive, folder)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise TrainingError(f"{archive} is damaged or cut short ({error})") from error
        except OSError as error:
            raise TrainingError(
                f"{archive} cannot be unpacked in {folder.parent}: {error.strerror}; make room there, or have TMPDIR "
                "name another folder"
            ) from error


def _files(stream: gzip.GzipFile, archive: Path, folder: Path) -> dict[str, File]:
    files: dict[str, File] = {}
    room = MOST_BYTES
    while (header := stream.read(BLOCK)) != bytes(BLOCK):
        name, size = _read(header, archive)
        if name in files:
            raise TrainingError(f"{archive} has {name} twice; {AGAIN}")
        if files and name < max(files):
            raise TrainingError(f"{archive} has {name} after {max(files)}, not in the order of names; {AGAIN}")
        room -= size
        if room < 0:
            raise TrainingError(f"{archive} holds more than {MOST_BYTES >> 30} GiB, the limit of an artifact; {AGAIN}")
        if len(files) == MOST_FILES:
            raise TrainingError(f"{archive} holds more than {MOST_FILES} files, the limit of an artifact; {AGAIN}")
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            files[name] = File(_copy(stream, file, size), size)
        if any(stream.read(-size % BLOCK)):
            raise TrainingError(f"{archive} has bytes between {name} and the next file; {AGAIN}")
    if any(stream.read(RECORD)) or stream.read(1):
        raise TrainingError(f"{archive} has bytes after its end; {AGAIN}")
    return files


def _read(header: bytes, archive: Path) -> tuple[str, int]:
    """Return the name and the size in a header that is the only one for them."""
    try:
        about = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    except (tarfile.TarError, UnicodeError) as error:
        raise TrainingError(f"{archive} is damaged or not a tar archive ({error})") from error
    name = about.name
    if about.issym() or about.islnk():
        raise TrainingError(f"{archive}: {name} is a link, and an artifact holds plain files only; {AGAIN}")
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise TrainingError(f"{archive}: {name} would be written outside of the model's folder; {AGAIN}")
    if PICKLED.fullmatch(name):
        raise TrainingError(f"{archive}: {name} may be a pickle, which can run any code when it is read; {AGAIN}")
    if not BELONGS.fullmatch(name):
        raise TrainingError(f"{archive}: {name} does not belong in an artifact; {AGAIN}")
    if header != member(name, about.size).tobuf(tarfile.USTAR_FORMAT):
        raise TrainingError(
            f"{archive}: {name} has a mode, time or owner, or is not a plain file: Kennel did not write it; {AGAIN}"
        )
    if about.size > MOST_TEXT_BYTES and not name.endswith((".onnx", ".whl")):
        raise TrainingError(
            f"{archive}: {name} has {about.size >> 20} MiB, and the limit of a text is {MOST_TEXT_BYTES >> 20} MiB; "
            f"{AGAIN}"
        )
    return name, about.size


def _copy(stream: gzip.GzipFile, file: BinaryIO, size: int) -> str:
    digest = hashlib.sha256()
    while size:
        block = stream.read(min(size, 1 << 20))
        if not block:
            raise EOFError("it ends within a file")
        digest.update(block)
        file.write(block)
        size -= len(block)
    return digest.hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"
