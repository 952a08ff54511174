"""Every bench on tiny sizes, and what its command line says."""

import argparse
import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.common.errors import TrainingError

ROOT = Path(__file__).parents[2]


def has_main(file: Path) -> bool:
    parsed = ast.parse(file.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in parsed.body)


BENCHES = sorted(file.stem for file in (ROOT / "bench").glob("*.py") if has_main(file))

N = r"[\d.]+"

TINY: dict[str, tuple[str, list[str]]] = {
    "architectures": (
        "squeezenet1_1 mobilenet_v3_small --side 32 --epochs 1 --photos 1",
        [
            rf"  squeezenet1_1 +momentum none +{N} \(statistics as they are\)  {N} as they are  \d+ s.*",
            rf"  mobilenet_v3_small +momentum 0\.01 +{N} \(statistics computed again\)  {N} as they are  \d+ s.*",
        ],
    ),
    "distributed": (
        "1 --photos 8 --side 32",
        [
            *(
                rf"batch norm {kind} +efficiency {N} by the clock, {N} by the work of the cores; "
                rf"the machine allows {N}; losses of 2 epochs at most \d\.\de[-+]\d\d apart"
                for kind in ("frozen", "train")
            ),
            rf"features +efficiency {N} by the clock; the same to the last bit",
        ],
    ),
    "features": (
        "resnet18 --side 32 --rounds 1 --no-compile",
        [rf"  {way} +\d+ photos/s +{N}x" for way in ("as it is", "frozen, float32", "frozen, bfloat16")],
    ),
    "head": (
        "--classes 2 --photos 2 --test-photos 1 --epochs 1 --trials 2 --views 2 --side 32 "
        "--backbone-classes 2 --backbone-epochs 1",
        [
            rf"  baseline +{N} \({N}\) +measured",
            rf"  baseline with memory kept +{N} \({N}\) +{N} \+/- {N}",
            *(
                rf"  {title} +{N} \({N}\) +\d+x \(\d+x\) +{N} \({N}\) +\d+x \(\d+x\) +{N} \+/- {N}"
                for title in ("Kennel, each photo as it is", "  the same, a second time", "Kennel, 2 views of each")
            ),
        ],
    ),
    "resume": (
        "3",
        [
            r"killed at 3 random points \(\d+ before the first checkpoint\), \d+ runs to the end in \d+ s: "
            "0 corrupt checkpoints, 0 runs with other weights or another history"
        ],
    ),
    "seeds": (
        "1 --epochs 1 --every 20 --above 0",
        [rf"seed 0  test accuracy {N}  \d+ s", rf"1 seeds: lowest {N}, mean {N}; above 0\.0 asked for"],
    ),
    "serving": (
        "--architecture resnet18 --photos 2",
        [
            rf"  PyTorch eager +{N} ms",
            rf"  Kennel's inference +{N} ms +{N}x as fast; probabilities differ by \de[-+]\d\d",
        ],
    ),
    "synth": ("--runs 1 --warm-up 0", [rf"  an empty app +{N} s", rf"  Kennel +{N} s +{N}x"]),
}
"""Of each bench: arguments with which it takes seconds, and the lines that hold its result."""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run() -> Run:
    """Return what runs a bench as a user does: this is slow."""

    def run(name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", f"bench.{name}", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    return run


def module(name: str) -> Any:
    return importlib.import_module(f"bench.{name}")


def test_the_folder_has_benches_and_what_they_share() -> None:
    assert {"serving", "synth", "head"} <= set(BENCHES)
    assert not {"baseline", "command", "synthetic"} & set(BENCHES)


def test_no_module_of_the_folder_hides_a_package_of_ours() -> None:
    packages = {file.parent.name for file in ROOT.glob("*/__init__.py")}
    assert packages >= {"training", "stacks", "cost", "local"}
    assert not packages & {file.stem for file in (ROOT / "bench").glob("*.py")}


@pytest.mark.parametrize("name", BENCHES)
def test_a_bench_prints_its_result(run: Run, name: str) -> None:
    assert name in TINY, f"bench/{name}.py is new: say in TINY how it runs in seconds, and what it prints"
    arguments, lines = TINY[name]
    done = run(name, *arguments.split())
    assert done.returncode == 0, done.stderr
    for line in lines:
        assert re.search(rf"^{line}$", done.stdout, re.MULTILINE), f"no line {line} in\n{done.stdout}"
    assert not re.search("Traceback|RuntimeWarning", done.stderr), done.stderr


@pytest.mark.parametrize("name", BENCHES)
def test_help_describes_the_bench_and_each_option_with_its_default(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = module(name)
    with pytest.raises(SystemExit, match="0"):
        bench.main(["--help"])
    text = capsys.readouterr().out
    assert text.startswith(f"usage: python -m bench.{name} [-h]")
    assert bench.__doc__.splitlines()[0] in text
    for action in bench.parser()._actions:
        if action.dest != "help":
            assert action.help
            switch = isinstance(action, argparse._StoreTrueAction)
            assert switch or "(default: " in action.help, f"--{action.dest} does not say its default"


def test_help_works_as_a_user_asks_for_it(run: Run) -> None:
    done = run("resume", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: python -m bench.resume [-h] [POINTS]")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("resume", ["none"], "argument POINTS: none is not a whole number (see `python -m bench.resume --help`)"),
        ("head", ["--classes", "134"], "argument --classes: must be from 2 to 133, not 134"),
        ("serving", ["--architecture", "resnet05"], "--arch resnet05: torchvision has no such classifier"),
    ],
)
def test_a_mistake_is_an_error_of_ours(name: str, arguments: list[str], message: str) -> None:
    with pytest.raises(TrainingError) as error:
        module(name).main(arguments)
    assert str(error.value).startswith(message)


def test_a_mistake_takes_one_line(run: Run) -> None:
    done = run("resume", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("kennel: argument POINTS: must be at least 1, not 0 (see `python -m bench.resume --help`)\n")


def test_make_runs_every_bench() -> None:
    done = subprocess.run(["make", "--dry-run", "bench"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"for name in {' '.join(BENCHES)};" in done.stdout
    assert ".venv/bin/python -m bench.$name" in done.stdout
