"""A folder of checkpoints: each whole or absent, the last two kept, a damaged one told from a good one.

A checkpoint is one safetensors file, ``checkpoint-<steps>-<sha256>.safetensors``: tensors, and JSON in its header.
Nothing is unpickled. The hash in its name makes a file that was copied in part (to S3 and back) worthless, not
dangerous. In a SageMaker job the folder is /opt/ml/checkpoints, which SageMaker copies to S3 as it changes
(https://docs.aws.amazon.com/sagemaker/latest/dg/model-checkpoints.html).
"""

import errno
import json
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from training.common.console import say
from training.common.errors import TrainingError
from training.common.files import sha256, sync_folder

NAME = re.compile(r"checkpoint-(\d{9})-([0-9a-f]{64})\.safetensors")
KEPT = 2
SCHEMA = 2
METADATA_KEY = "kennel"
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass
class Checkpoints:
    """Where the checkpoints of one run lie, and when the next is due.

    Parameters
    ----------
    identity
        The settings and the data that decide the result: a checkpoint of others is refused.
    minutes
        How long training may go on without one.
    steps
        Steps of the optimizer after which there is one in any case.
    """

    folder: Path
    identity: dict[str, Any]
    minutes: float = 5.0
    steps: int | None = None
    _last: float = field(default_factory=lambda: time.monotonic())

    def prepare(self) -> None:
        """Make the folder, without what a run that was killed left half-written.

        Raises
        ------
        TrainingError
            It cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in self.folder.glob(".checkpoint-*.incomplete"):
                path.unlink()
            probe = self.folder / ".checkpoint-probe.incomplete"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise TrainingError(f"--checkpoints {self.folder} cannot be written: {error.strerror}") from error

    def due(self, step: int) -> bool:
        """Return whether it is time, ``step`` steps after the beginning of the run."""
        late = time.monotonic() - self._last >= 60 * self.minutes
        return late or (self.steps is not None and step % self.steps == 0)

    def save(self, step: int, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Write a checkpoint, and remove those before the one before it; all but that one if the disk is full.

        Raises
        ------
        OSError
            It cannot be written; the one before it stays.
        """
        try:
            self._write(step, tensors, facts)
        except OSError as error:
            older = self._newest_first()[1:]
            if error.errno not in FULL or not older:
                raise
            for old in older:
                old.unlink(missing_ok=True)
            self._write(step, tensors, facts)
        finally:
            self._last = time.monotonic()
        for old in self._newest_first()[KEPT:]:
            old.unlink(missing_ok=True)

    def _write(self, step: int, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        header = {METADATA_KEY: json.dumps({"schema": SCHEMA, "identity": self.identity, "facts": facts})}
        partial = self.folder / f".checkpoint-{os.getpid()}.incomplete"
        try:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial, header)
            digest = sha256(partial)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(self.folder / f"checkpoint-{step:09}-{digest}.safetensors")
            sync_folder(self.folder)
        except SafetensorError as error:  # what the disk says comes as one, with its number at the end
            number = re.search(r"os error (\d+)", str(error))
            code = int(number[1]) if number else errno.EIO
            raise OSError(code, os.strerror(code), str(self.folder)) from error
        finally:
            partial.unlink(missing_ok=True)

    def newest(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the tensors and the facts of the newest undamaged checkpoint; None if the folder has no checkpoint.

        Raises
        ------
        TrainingError
            It is of another run, or all are damaged.
        """
        checkpoints = self._newest_first()
        for path in checkpoints:
            if (content := self._read(path)) is not None:
                return content
            say("Checkpoint", f"{path.name[:20]}... is damaged: going on from the one before it")
            path.unlink(missing_ok=True)
        if checkpoints:
            raise TrainingError(
                f"every checkpoint in {self.folder} was damaged and is removed now; the same command begins anew"
            )
        return None

    def exist(self) -> bool:
        """Return whether the folder has a checkpoint of any run, whole or not."""
        return bool(self._newest_first())

    def _newest_first(self) -> list[Path]:
        """Return the checkpoints, the newest first."""
        files = self.folder.iterdir() if self.folder.is_dir() else []
        return sorted((path for path in files if NAME.fullmatch(path.name)), key=lambda path: path.name, reverse=True)

    def _read(self, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        match = NAME.fullmatch(path.name)
        if match is None or sha256(path) != match[2]:
            return None
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()[METADATA_KEY])
            self._check(header)
            return {name: file.get_tensor(name) for name in file.keys()}, header["facts"]  # noqa: SIM118

    def _check(self, header: dict[str, Any]) -> None:
        if header["schema"] != SCHEMA:
            raise TrainingError(f"{self.folder} holds checkpoints of another version of Kennel; give another folder")
        theirs, ours = header["identity"], json.loads(json.dumps(self.identity))
        for name in sorted(theirs.keys() | ours.keys()):
            if theirs.get(name) != ours.get(name):
                raise TrainingError(
                    f"{self.folder} holds checkpoints of another run: {name} {_short(theirs.get(name))} there, "
                    f"{_short(ours.get(name))} here; give another --checkpoints, or remove them"
                )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."
