"""`cdk synth` of all stacks against `cdk synth` of an empty CDK app, in one run.

Most of the time is the CDK's own: Node, jsii and the library's modules. Validation is off (CDK_VALIDATION=false), as in
the inner loop of somebody who edits a stack; CI leaves it on. The bench prints the median of each in seconds, and the
median of their ratios.
"""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import command
from training.commands.arguments import Parser, whole
from training.common.errors import TrainingError

ROOT = Path(__file__).parents[1]
CDK = ROOT / "node_modules" / ".bin" / "cdk"
QUIET = {"CDK_VALIDATION": "false", "CDK_DISABLE_VERSION_CHECK": "1"}
EMPTY = """
import aws_cdk as cdk
app = cdk.App()
cdk.Stack(app, "Empty")
app.synth()
"""


def manifest(folder: Path) -> Path:
    """Write an archive of a usual size, 90 MB, and its manifest."""
    archive = os.urandom(1 << 20) * 90
    (folder / "model.tar.gz").write_bytes(archive)
    artifact = {
        "location": "model.tar.gz",
        "sha256": hashlib.sha256(archive).hexdigest(),
        "size": len(archive),
    }
    path = folder / "model.json"
    path.write_text(json.dumps({"schema": 1, "artifact": artifact, "metrics": {"test": {"accuracy": 1.0}}}))
    return path


def seconds(*arguments: str, app: str, folder: Path) -> float:
    """Return how long one `cdk synth` takes."""
    command = [str(CDK), "synth", "--quiet", "--app", f"{sys.executable} {app}", *arguments]
    command += ["--output", str(folder)]
    start = time.perf_counter()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | QUIET
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - start


def parser() -> Parser:
    """Return the parser of the command line."""
    made = command.parser_of("synth", __doc__)
    made.add_argument("--environment", default="prod", help="a file of settings/, without .toml (default: %(default)s)")
    made.add_argument("--runs", type=whole(1), default=5, help="times to measure each (default: %(default)s)")
    made.add_argument(
        "--warm-up",
        type=whole(0),
        default=1,
        help="times to run each before, unmeasured, to fill the file system's cache (default: %(default)s)",
    )
    return made


def main(arguments: list[str] | None = None) -> int:
    """Measure both in turn, so that a slow moment of the machine meets both."""
    options = parser().parse_args(arguments)
    if not CDK.is_file():
        raise TrainingError("the CDK command line is not installed; run `make setup`")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        empty = folder / "empty.py"
        empty.write_text(EMPTY)
        context = ["-c", f"environment={options.environment}", "-c", f"manifest={manifest(folder)}"]
        times = [
            (
                seconds(app=str(empty), folder=folder / "empty.out"),
                seconds(*context, app="app.py", folder=folder / "kennel.out"),
            )
            for _ in range(options.warm_up + options.runs)
        ][options.warm_up :]
    nothing, ours = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(b / a for a, b in times)
    print(f"cdk synth, settings {options.environment}, an artifact of 90 MB, {options.runs} runs")
    print(f"  an empty app   {nothing:5.2f} s")
    print(f"  Kennel         {ours:5.2f} s   {ratio:.2f}x")
    return 0


if __name__ == "__main__":
    command.run(main)
