"""``./kennel`` finds its checkout and the right Python, and becomes the command."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from operate.__main__ import COMMANDS as OPERATED
from training.__main__ import COMMANDS

KENNEL = Path(__file__).parents[1] / "kennel"
FAKE = """#!/bin/sh
{probe}
printf '%s\\n' "{name}" "$$" "$PWD" "$PYTHONPATH" "$@"
exit 7
"""
"""Stands for a Python that is asked (by ``-c``) whether it has what a command needs, and then given the command."""


def fake(file: Path, *, has_packages: bool = True) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    probe = f'[ "$1" != -c ] || exit {0 if has_packages else 1}'
    file.write_text(FAKE.format(name=file, probe=probe))
    file.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "check out"
    folder.mkdir()
    shutil.copy(KENNEL, folder)
    return folder


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return a PATH with nothing of Python."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "cat", "dirname", "readlink"):
        (programs / name).symlink_to(str(shutil.which(name)))
    return str(programs)


def run(
    program: Path, *arguments: str, folder: Path, path: str, **environment: str
) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run a program in a folder with this environment alone; return its end, and its process id."""
    with subprocess.Popen(
        [program, *arguments],
        cwd=folder,
        env={"PATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err), process.pid


def test_through_links_and_from_another_folder_it_becomes_the_checkouts_python_in_the_callers_folder(
    tmp_path: Path, checkout: Path, path: str
) -> None:
    fake(checkout / ".venv/bin/python")
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (elsewhere / "absolute").symlink_to(checkout / "kennel")
    (elsewhere / "relative").symlink_to("absolute")
    done, pid = run(elsewhere / "relative", "fit", "--data", "my photos", folder=elsewhere, path=path)
    python, at, cwd, pythonpath, *arguments = done.stdout.splitlines()
    assert (python, cwd, pythonpath) == (str(checkout / ".venv/bin/python"), str(elsewhere), str(checkout))
    assert arguments == ["-P", "-m", "training", "fit", "--data", "my photos"]
    assert int(at) == pid, "signals would not reach the command"
    assert done.returncode == 7


@pytest.mark.parametrize(
    ("command", "environment", "becomes"),
    [
        ("launch", ".venv", ["-P", "-m", "training", "launch", "x"]),
        ("torchrun", ".venv", ["-P", "-m", "torch.distributed.run", "x"]),
        ("cost", ".venv", ["-P", "-m", "cost", "x"]),
        ("deploy", ".venv", ["-P", "-m", "operate", "deploy", "x"]),
        ("change-instance-type", ".venv", ["-P", "-m", "operate", "change-instance-type", "x"]),
        ("local", ".venv-local", ["-P", "-m", "local", "x"]),
        ("predict", ".venv", ["{checkout}/predict.py", "x"]),
    ],
)
def test_each_command_has_its_module_and_its_environment(
    checkout: Path, path: str, command: str, environment: str, becomes: list[str]
) -> None:
    for name in (".venv", ".venv-local"):
        fake(checkout / name / "bin/python")
    done, _ = run(checkout / "kennel", command, "x", folder=checkout, path=path)
    python, _, _, _, *arguments = done.stdout.splitlines()
    assert python == str(checkout / environment / "bin/python")
    assert arguments == [word.format(checkout=checkout) for word in becomes]


def test_the_callers_python_path_stays_behind_the_checkout(checkout: Path, path: str) -> None:
    fake(checkout / ".venv/bin/python")
    done, _ = run(checkout / "kennel", "fit", folder=checkout, path=path, PYTHONPATH="mine")
    assert done.stdout.splitlines()[3] == f"{checkout}:mine"


@pytest.mark.parametrize("beside", [True, False])
def test_where_the_checkouts_environment_lacks_something_an_activated_one_is_used(
    tmp_path: Path, checkout: Path, path: str, beside: bool
) -> None:
    if beside:
        fake(checkout / ".venv/bin/python", has_packages=False)
    fake(tmp_path / "own/bin/python3")
    done, _ = run(checkout / "kennel", "fit", folder=checkout, path=f"{tmp_path}/own/bin:{path}")
    assert done.stdout.splitlines()[0] == str(tmp_path / "own/bin/python3")


@pytest.mark.parametrize(("command", "environment"), [("fit", ".venv"), ("cdk", ".venv"), ("local", ".venv-local")])
def test_without_an_environment_one_line_says_what_makes_it(
    tmp_path: Path, checkout: Path, path: str, command: str, environment: str
) -> None:
    fake(tmp_path / "own/bin/python3", has_packages=False)
    done, _ = run(checkout / "kennel", command, folder=checkout, path=f"{tmp_path}/own/bin:{path}")
    assert done.stderr == f"kennel: {environment} is missing, or lacks what this command needs; run `make setup`\n"
    assert (done.returncode, done.stdout) == (1, "")


CDK_VARIABLES = {
    "CDK_DISABLE_VERSION_CHECK": "1",
    "JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION": "18,20",
    "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "18,20",
    "NODE_NO_WARNINGS": "1",
}


@pytest.mark.parametrize("users", [{}, {"NODE_NO_WARNINGS": "", "CDK_DISABLE_VERSION_CHECK": "0"}])
def test_the_cdk_runs_quietly_in_the_checkout_with_the_environment_first_on_the_path(
    tmp_path: Path, checkout: Path, path: str, users: dict[str, str]
) -> None:
    fake(checkout / ".venv/bin/python")
    cdk = checkout / "node_modules/.bin/cdk"
    cdk.parent.mkdir(parents=True)
    cdk.write_text(f'#!/bin/sh\nprintf "%s\\n" "$PWD" "$*"\n{shutil.which("env")}\nexit 3\n')
    cdk.chmod(0o755)
    done, _ = run(
        checkout / "kennel", "cdk", "synth", "--quiet", folder=tmp_path, path=path, PYTHONDONTWRITEBYTECODE="1", **users
    )
    folder, arguments, *variables = done.stdout.splitlines()
    seen = dict(line.split("=", 1) for line in variables)
    assert (folder, arguments, done.returncode) == (str(checkout), "synth --quiet", 3)
    assert seen["PATH"] == f"{checkout}/.venv/bin:{path}"
    assert {name: seen.get(name) for name in CDK_VARIABLES} == CDK_VARIABLES | users
    assert not {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH"} & seen.keys()


def test_without_the_cdks_command_line_one_line_says_what_installs_it(checkout: Path, path: str) -> None:
    fake(checkout / ".venv/bin/python")
    done, _ = run(checkout / "kennel", "cdk", "synth", folder=checkout, path=path)
    assert done.stderr == "kennel: node_modules/.bin/cdk is missing; run `npm ci --omit=dev`\n"
    assert done.returncode == 1


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_has_a_line_for_each_command(checkout: Path, path: str, arguments: list[str]) -> None:
    done, _ = run(checkout / "kennel", *arguments, folder=checkout, path=path)
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ") and line[2] != " "}
    names = {command.__name__.rpartition(".")[2] for command in COMMANDS} | OPERATED.keys()
    assert listed == names | {"torchrun", "predict", "cost", "cdk", "local", "--help", "--version"}
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_the_one_of_the_checkout(checkout: Path, path: str) -> None:
    (checkout / "VERSION").write_text("1.2.3\n")
    done, _ = run(checkout / "kennel", "--version", folder=checkout, path=path)
    assert (done.returncode, done.stdout) == (0, "kennel 1.2.3\n")


@pytest.mark.parametrize("word", ["fti", "up", "-x", ""])
def test_an_unknown_command_is_refused_in_one_line(checkout: Path, path: str, word: str) -> None:
    done, _ = run(checkout / "kennel", word, folder=checkout, path=path)
    assert done.returncode == 2
    assert done.stderr == f"kennel: {word}: no such command; `./kennel --help` lists them\n"


def test_modules_in_the_callers_folder_shadow_none_of_kennels(tmp_path: Path) -> None:
    for name in ("cost/__init__.py", "argparse.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('the wrong one')\n")
    done, _ = run(KENNEL, "cost", "my.out", folder=tmp_path, path=os.environ["PATH"])
    assert done.stderr.startswith("kennel: my.out: no synthesised stacks")
