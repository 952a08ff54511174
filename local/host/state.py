"""What the embedded AWS keeps on disk while it is up, and how another process tells that it is."""

import fcntl
import json
import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from local.core.errors import LocalError

HOLD_ATTEMPTS = 20
DEFAULT = Path(__file__).resolve().parents[2] / ".local"


@dataclass(frozen=True)
class Running:
    """The address and keys of an embedded AWS that is ready."""

    pid: int
    url: str
    account: str
    region: str
    access_key: str
    secret_key: str
    ca: str
    time_scale: float
    started: float


class State:
    """The state directory.

    The gateway holds a lock on one of its files for as long as it lives. A lock cannot outlive its process, so
    neither a crash nor a reused process id is ever taken for a running gateway.
    """

    def __init__(self, directory: Path = DEFAULT) -> None:
        self.directory = directory.resolve()
        self.temporary = self.directory / "tmp"
        self.log = self.directory / "gateway.log"
        self.ca = self.directory / "ca.pem"
        self._lock = self.directory / "lock"
        self._running = self.directory / "running.json"

    def hold(self) -> IO[str] | None:
        """Lock the directory for this process and write its id into the lock; None if another process holds it.

        Keep the returned file open for as long as the lock is to be held.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = self._lock.open("a+")
        for _ in range(HOLD_ATTEMPTS):  # whoever asks for the holder takes the lock for an instant
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.05)
        else:
            lock.close()
            return None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        return lock

    def holder(self) -> int | None:
        """Return the id of the gateway's process, None if none runs."""
        if not self._lock.exists():
            return None
        with self._lock.open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read() or 0) or None
        return None

    def announce(self, running: Running) -> None:
        """Say that the gateway is ready; only the user may read the keys."""
        write_atomically(self._running, json.dumps(asdict(running), indent=2).encode())

    def running(self) -> Running | None:
        """Return what the gateway announced, None if it is not up or not ready."""
        if self.holder() is None or not self._running.exists():
            return None
        return Running(**json.loads(self._running.read_text()))

    def require_running(self) -> Running:
        """Return what the gateway announced.

        Raises
        ------
        LocalError
            It is not up.
        """
        running = self.running()
        if running is None:
            raise LocalError("the embedded AWS is not up; start it with `./kennel local up`")
        return running

    def clear(self, *, keep_log: bool = False) -> None:
        """Remove everything that the gateway wrote, and the directory when nothing else is in it."""
        self._running.unlink(missing_ok=True)
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.ca.unlink(missing_ok=True)
        if keep_log:
            return
        self.log.unlink(missing_ok=True)
        self._lock.unlink(missing_ok=True)
        if self.directory.is_dir() and not any(self.directory.iterdir()):
            self.directory.rmdir()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that readers see either whole or not at all; only the user may read it."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
