"""Features on disk, for whichever fit, trial or process asks for them next."""

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from training.common.console import say
from training.common.files import sync_folder

KEY_BYTES = 32

UNUSED = 30 * 86400
"""Seconds after which features that nobody asked for are removed, when others are written."""

OWN = re.compile(r"[0-9a-f]{32}/[0-9a-f]{64}(\.\d+\.part|\.safetensors)")


class FeatureCache:
    """Rows of numbers by key, below one folder for each network that makes them.

    A file holds some rows, and is never changed. Its name is the SHA-256 of its bytes, so what was cut short or has
    rotted is noticed, and processes that write the same rows at once write the same file.

    Parameters
    ----------
    folder
        Of all networks. It may be removed at any time, and what nobody used for ``UNUSED`` seconds is.
    identity
        Says which network it is, and what else the rows depend on besides their keys.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.identity = identity
        self.folder = folder / hashlib.sha256(identity.encode()).hexdigest()[:32]
        self._writable = True

    def read(self, wanted: Iterable[bytes]) -> dict[bytes, Tensor]:
        """Return the rows that are there; a damaged file is removed, and said to be."""
        missing, kept = set(wanted), dict[bytes, Tensor]()
        for path in sorted(self.folder.glob("*.safetensors")):
            if not missing:
                break
            rows = self._read(path)
            if here := missing & rows.keys():
                kept |= {key: rows[key].clone() for key in here}  # no views, which would keep the whole file in memory
                missing -= here
                with contextlib.suppress(OSError):
                    os.utime(path)  # it was of use
        return kept

    def write(self, rows: dict[bytes, Tensor]) -> None:
        """Keep rows; where the folder cannot be written, say so once and go on."""
        if not rows or not self._writable:
            return
        keys = torch.frombuffer(bytearray(b"".join(rows)), dtype=torch.uint8).reshape(-1, KEY_BYTES)
        body = save({"keys": keys, "rows": torch.stack(list(rows.values()))}, {"identity": self.identity})
        path = self.folder / f"{hashlib.sha256(body).hexdigest()}.safetensors"
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            sync_folder(self.folder)
            self._forget_unused()
        except OSError as error:
            self._writable = False
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            say("Features", f"{self.folder} cannot be written ({error.strerror}); they stay in memory only")

    def _forget_unused(self) -> None:
        """Remove old files of every network; whoever reads one at this moment has it, or computes it again."""
        for path in self.folder.parent.glob("*/*"):
            # By their names they are surely ours: the folder is the user's choice, and may hold anything.
            ours = OWN.fullmatch(f"{path.parent.name}/{path.name}")
            with contextlib.suppress(OSError):
                if ours and path.stat().st_mtime < time.time() - UNUSED:
                    path.unlink()

    def size(self) -> int:
        """Return how many bytes this network's features take."""
        return sum(path.stat().st_size for path in self.folder.glob("*.safetensors"))

    def _read(self, path: Path) -> dict[bytes, Tensor]:
        try:
            body = path.read_bytes()
            if hashlib.sha256(body).hexdigest() != path.stem:
                raise SafetensorError("its bytes are not those that were written")
            tensors = load(body)
        except FileNotFoundError:  # another process forgot it
            return {}
        except (OSError, SafetensorError) as error:
            say("Features", f"{path} is damaged ({error}); it is made anew")
            with contextlib.suppress(OSError):
                path.unlink()
            return {}
        keys = tensors["keys"].numpy().tobytes()
        return {keys[i * KEY_BYTES : (i + 1) * KEY_BYTES]: row for i, row in enumerate(tensors["rows"])}
