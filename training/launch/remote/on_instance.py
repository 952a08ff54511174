"""What runs on an EC2 instance: fetch, train, deliver, and say in S3 how it went.

    python -m training.launch.remote.on_instance BUCKET RUN

``user-data.sh`` starts it, and ends the instance after it, whatever its exit status.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from training.common.aws import Aws
from training.common.errors import TrainingError
from training.common.s3 import split
from training.launch.logs import BEGIN
from training.launch.places import spec_key, status_key
from training.launch.remote import mirror, spot
from training.launch.remote.delivery import deliver
from training.launch.remote.log_writer import LogWriter

SYNC_SECONDS = 30.0
OWN_WORDS = "kennel: "
FOLDERS = {name: Path(name) for name in ("data", "out", "checkpoints", "weights")}


class Attempt:
    """One instance's part of a run.

    Attributes
    ----------
    ending
        Why the training was told to end before it was done: ``interrupted``, ``stopped`` or ``late``.
    """

    def __init__(self, bucket: str, name: str) -> None:
        self.bucket, self.name = bucket, name
        self.aws = Aws()
        self.spec = json.loads(self.aws.bucket(bucket).read(spec_key(name)))
        stream = f"{name}/{self.spec['attempt']}-{int(time.time())}"
        self.log = LogWriter(self.aws.logs, self.spec["log_group"], stream)
        self.ending = ""
        self._process: subprocess.Popen[str] | None = None
        self._last = ""
        self._over = threading.Event()

    def run(self) -> int:
        """Run from beginning to end; return the exit status."""
        signal.signal(signal.SIGTERM, lambda *_: self._end("stopped"))
        with self.log:
            try:
                state, detail, reason = self._train_and_deliver()
            except Exception as error:  # whatever it is, it is said where somebody looks
                state, detail, reason = "failed", "failed", f"{type(error).__name__}: {error}"
                self.log.write(f"{OWN_WORDS}{reason}")
            self._say(state, detail, reason)
        return 0 if state == "completed" else 1

    def _train_and_deliver(self) -> tuple[str, str, str]:
        """Return how it ended: state, detail, reason."""
        self._say("running", "installing packages")
        failed = self._install()
        if self.ending:
            return self._ended()
        if failed:
            return "failed", "no packages", f"pip could not install requirements.txt: {self._last}"
        self._say("running", "fetching photos")
        photos = mirror.fetch(self.aws, self.spec["photos"], FOLDERS["data"])
        kept = mirror.fetch(self.aws, self.spec["checkpoints"], FOLDERS["checkpoints"])
        if uri := self.spec["weights"]:
            FOLDERS["weights"].mkdir()
            weights = split(uri)
            self.aws.bucket(weights.bucket).download(weights.key, self._weights())
        if self.ending:
            return self._ended()
        self._say("running", f"training on {photos} photos" + (", from a checkpoint" if kept else ""))
        self.log.write(BEGIN)
        status = self._train()
        if status == 0:
            self._say("running", "delivering")
            besides = ["report.html", "model.safetensors"]  # nothing else is left of the instance's disk
            location = deliver(self.aws, FOLDERS["out"], self.name, self.spec["runs"], self.spec["models"], besides)
            return "completed", location, ""
        if self.ending:
            return self._ended()
        return "failed", "failed", self._last.removeprefix(OWN_WORDS) or f"exit status {status}"

    def _ended(self) -> tuple[str, str, str]:
        if self.ending == "late":
            return "failed", "too long", f"it was not done after {self.spec['hours']:g} hours; give it more --hours"
        return self.ending, self.ending, ""

    def _install(self) -> int:
        return self._execute([sys.executable, "-m", "pip", "install", "--requirement", "requirements.txt"])

    def _train(self) -> int:
        watches = [threading.Thread(target=watch, daemon=True) for watch in (self._watch, self._sync)]
        for watch in watches:
            watch.start()
        try:
            return self._execute(self._command())
        finally:
            self._over.set()
            for watch in watches:
                watch.join()
            self._keep()

    def _command(self) -> list[str]:
        options = dict(self.spec["options"])
        if self.spec["weights"]:
            options["weights"] = str(self._weights())
        folders = ["--data", "data", "--out", "out", "--checkpoints", "checkpoints", "--resume", "yes"]
        fit = ["-m", "training", "fit", *folders, *(f"--{name}={value}" for name, value in options.items())]
        if (gpus := _gpus()) < 2:
            return [sys.executable, *fit]
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(gpus)]
        return [sys.executable, *torchrun, *fit]

    def _weights(self) -> Path:
        return FOLDERS["weights"] / str(self.spec["weights"]).rpartition("/")[2]

    def _execute(self, command: Sequence[str]) -> int:
        """Run a program, its lines in the log; return its exit status."""
        environment = {**os.environ, "KENNEL_CACHE": str(Path("wheels").absolute()), "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(  # noqa: S603 - our own arguments
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        if self.ending:  # told while the program was being started
            self._process.terminate()
        assert self._process.stdout is not None  # noqa: S101
        for line in self._process.stdout:
            self.log.write(line.rstrip("\n"))
            if line.strip() and not self._last.startswith(OWN_WORDS):
                self._last = line.strip()
        return self._process.wait()

    def _watch(self) -> None:
        """Tell the training to end when the spot instance is to go, or the time is up."""
        deadline = time.monotonic() + self.spec["hours"] * 3600
        while not self._over.wait(spot.SECONDS):
            if spot.is_to_go():
                self._end("interrupted")
            if time.monotonic() > deadline:
                self._end("late")

    def _sync(self) -> None:
        while not self._over.wait(SYNC_SECONDS):
            self._keep()

    def _keep(self) -> None:
        try:
            mirror.push(self.aws, FOLDERS["checkpoints"], self.spec["checkpoints"])
        except (ClientError, BotoCoreError, Boto3Error) as error:  # the training is worth more than its checkpoint
            self.log.write(f"Checkpoint  not kept: {error}")

    def _end(self, why: str) -> None:
        self.ending = self.ending or why
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def _say(self, state: str, detail: str, reason: str = "") -> None:
        status: dict[str, Any] = {"state": state, "detail": detail, "reason": reason, "attempt": self.spec["attempt"]}
        status["time"] = datetime.now(UTC).isoformat(timespec="seconds")
        self.aws.bucket(self.bucket).write(status_key(self.name), json.dumps(status).encode())


def _gpus() -> int:
    """Return how many GPUs PyTorch sees, asked in a process of its own: it takes memory of each."""
    command = [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603


def main(arguments: Sequence[str]) -> int:
    """Run the attempt that the arguments name."""
    try:
        bucket, name = arguments
    except ValueError:
        raise TrainingError("usage: python -m training.launch.remote.on_instance BUCKET RUN") from None
    return Attempt(bucket, name).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
