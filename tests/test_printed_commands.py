"""Each command that the project prints is spelled one way, and is one that its program takes."""

import argparse
import ast
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

import pytest

import cost.__main__
import local.__main__
import operate.__main__
import predict
import training.__main__
from training.common.errors import TrainingError

ROOT = Path(__file__).parents[1]
CHANGELOG = ROOT / "CHANGELOG.md"
"""Tells of the past, in its words."""

PAGES = [*({*ROOT.glob("*.md")} - {CHANGELOG}), *(ROOT / "docs").glob("*.md"), ROOT / "docs/local.md"]
SETTINGS = [*(ROOT / "settings").rglob("*.toml"), *(ROOT / "cost").glob("*.toml")]
PROGRAMS = [ROOT / "app.py", ROOT / "predict.py"] + [
    file
    for room in ("cost", "lambda_src", "local", "operate", "stacks", "training")
    for file in (ROOT / room).rglob("*.py")
]
HINTS = [ROOT / "Makefile", ROOT / "kennel"]

OLD = {
    r"python[\d.]* -m (training|local|cost)(?![\w.])": "./kennel COMMAND",
    r"python[\d.]* predict\.py": "./kennel predict",
    r"(?<!\.venv/bin/)python[\d.]* -m pytest": ".venv/bin/python -m pytest",
    r"node_modules/\.bin/cdk": "./kennel cdk",
    r"(?m)(?:[`(]|^ *|&& )cdk (bootstrap|deploy|destroy|diff|import|list|synth|watch)\b": "./kennel cdk",
    r"\bnpx (?!cdk)": "./kennel cdk",
    r"(?<!/kennel )\btorchrun -": "./kennel torchrun",
}
"""How commands were spelled once, or are elsewhere, and how they are spelled here."""

OWN_ENVIRONMENT = "docs/stacks.md"
"""Has ``npx cdk``, for environments of one's own without ``./kennel``."""

CDK = {
    "bootstrap": {"--app", "--cloudformation-execution-policies", "-c"},
    "deploy": {"--all", "--app", "-c"},
    "destroy": {"--all", "-c"},
    "import": set[str](),
    "synth": {"--output", "-c"},
}
"""Commands of the CDK's command line, and the options of them that are printed somewhere."""

CONTEXT = {"environment", "manifest", "model"}
"""What ``app.py`` reads."""


def strings(file: Path) -> Iterator[str]:
    """Yield the string literals of a program, with X for what an f-string fills in and cannot be known."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    constants = constants_of(tree)
    within = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(filled(part, constants) for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in within:
            yield node.value


def constants_of(tree: ast.Module) -> dict[str, str]:
    """Return the strings that a module gives names."""
    constants = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(name)], value=ast.Constant(str(text))):
                constants[name] = text
    return constants


def filled(part: ast.expr, constants: dict[str, str]) -> str:
    """Return a part of an f-string as it is printed, if a name of ``constants`` or nothing fills it in."""
    match part:
        case ast.Constant(text):
            return str(text)
        case ast.FormattedValue(ast.Name(name)):
            return constants.get(name, "X")
    return "X"


def texts(file: Path) -> Iterator[str]:
    """Yield what a file may show to somebody."""
    if file.suffix == ".py":
        yield from strings(file)
        return
    text = file.read_text(encoding="utf-8")
    if file.name == "Makefile":
        variables = dict(re.findall(r"^([A-Z]+) := (.*)$", text, re.MULTILINE))
        text = re.sub(r"\$\(([A-Z]+)\)", lambda name: variables.get(name[1], name[0]), text).replace("$$", "$")
        yield from re.findall(r"'([^'\n]*)'", text)
        yield from re.findall(r"## (.*)", text)
    else:
        yield text.replace("\\`", "`")


@cache
def blocks(page: str) -> str:
    """Return a page's blocks of code, which are fenced or indented."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"(?<=\n\n)((?: {4}\S.*\n| {6}\S.*\n)+)", page)
    return "\n".join([*fenced, *indented])


def kennel_commands(text: str) -> Iterator[str]:
    """Yield the arguments of each ``./kennel`` of a text, up to whatever ends a command there."""
    for found in re.finditer(r"\./kennel\b(.*?)(?=\n|`|\)|\||;|&&|\"|'|, |  |$)", re.sub(r" *\\\n\s*", " ", text)):
        yield found[1].strip()


def make_commands(file: Path, text: str) -> Iterator[str]:
    """Yield the arguments of each ``make`` of a text: in backticks, on a line of code, or in a hint of make's."""
    command = r"make((?: (?:[A-Z_]+=[^\s`]+|[a-z][a-z-]*|\.\.\.))*)"
    yield from re.findall(f"`{command}", text)
    if file.suffix == ".md":
        yield from re.findall(rf"(?:^|&& ) *{command}(?=$|[`\s])", blocks(text), re.MULTILINE)
    if file.name == "Makefile":
        yield from re.findall(rf"(?:  |: ){command}", text)


PRINTED = sorted(
    {
        (file.relative_to(ROOT).as_posix(), program, arguments)
        for file in [*PAGES, *SETTINGS, *PROGRAMS, *HINTS]
        for text in texts(file)
        for program, found in (("kennel", kennel_commands(text)), ("make", make_commands(file, text)))
        for arguments in found
    }
)


def words(arguments: str) -> list[str]:
    """Return a command's words, with something sensible for what the reader fills in."""
    found = []
    for word in shlex.split(arguments):
        if word == "...":
            continue
        found += [word.replace("*", str(number)) for number in range(30)] if "*" in word else [word]
    return ["2" if word == "N" else word for word in found]


def parse_training(command: str, arguments: list[str]) -> None:
    training.__main__._parser({}).parse_args([command, *arguments])


def parse_torchrun(arguments: list[str]) -> None:
    from torch.distributed.run import get_args_parser

    script = get_args_parser().parse_args(arguments)
    assert (script.module, script.training_script) == (True, "training")
    command, *rest = script.training_script_args
    parse_training(command, rest)


def parse_cdk(arguments: list[str]) -> None:
    if not arguments:
        return
    verb, *rest = arguments
    assert verb in CDK
    for word, value in pairwise([*rest, ""]):
        if word.startswith("-"):
            assert word.split("=")[0] in CDK[verb], f"{word}: not in the table of this test"
        if word == "-c":
            assert value.partition("=")[0] in CONTEXT


def parse_operate(command: str, arguments: list[str]) -> None:
    operate.__main__._parser().parse_args([command, *arguments])


TRAINING = [command.__name__.rpartition(".")[2] for command in training.__main__.COMMANDS]
PARSERS: dict[str, Callable[[list[str]], object]] = {
    **{name: partial(parse_training, name) for name in TRAINING},
    **{name: partial(parse_operate, name) for name in operate.__main__.COMMANDS},
    "torchrun": parse_torchrun,
    "predict": predict._parse,
    "cost": lambda arguments: cost.__main__._parser().parse_args(arguments),
    "local": lambda arguments: local.__main__._parser().parse_args(arguments),
    "cdk": parse_cdk,
}


def check_kennel(arguments: str) -> None:
    """Give a command to the parser that would get it; one without arguments is only named, and has to be there."""
    command, *rest = words(arguments) or ["--help"]
    if command in ("--help", "--version", "COMMAND"):
        return
    assert command in PARSERS, f"{command}: no command of ./kennel"
    if rest and rest != ["--help"]:
        PARSERS[command](rest)


@pytest.mark.parametrize(
    ("where", "arguments"), [(file, rest) for file, program, rest in PRINTED if program == "kennel"]
)
def test_a_printed_command_of_kennel_passes_its_own_parser(where: str, arguments: str) -> None:
    try:
        check_kennel(arguments)
    except (TrainingError, SystemExit, argparse.ArgumentError) as error:
        pytest.fail(f"{where} prints ./kennel {arguments}: {error}", pytrace=False)


@pytest.mark.parametrize("arguments", sorted({rest for _, program, rest in PRINTED if program == "make"}))
def test_a_printed_command_of_make_has_its_target(arguments: str) -> None:
    command = ["make", "--dry-run", *words(arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_commands_are_spelled_in_the_one_way() -> None:
    wrong = []
    for file in [*PAGES, *SETTINGS, *PROGRAMS, ROOT / "Makefile"]:
        name, text = file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")
        spellings = OLD if name == OWN_ENVIRONMENT else {**OLD, r"\bnpx cdk": "./kennel cdk"}
        for pattern, spelling in spellings.items():
            wrong += [f"{name}: {found[0]!r} is spelled `{spelling}`" for found in re.finditer(pattern, text)]
    assert not wrong, "\n".join(wrong)


def test_a_printed_command_of_pytest_names_tests_that_are_there() -> None:
    for page in PAGES:
        for path in re.findall(r"\.venv/bin/python -m pytest ([\w/.-]+)", page.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_every_command_is_printed_somewhere() -> None:
    """Else the search has gone blind."""
    seen = {rest.split(" ")[0] for _, program, rest in PRINTED if program == "kennel"}
    assert set(PARSERS) <= seen
    assert {"README.md", "Makefile", "docs/local.md", "docs/training.md"} <= {file for file, _, _ in PRINTED}


@pytest.mark.parametrize(
    "arguments",
    [
        "fti --data data/dogs",
        "fit --data data/dogs --architecture resnet50",
        "predict --function kennel-dev PHOTO --quietly",
        "torchrun --processes 2 -m training fit",
        "torchrun --nproc-per-node 2 -m training fit --bogus",
        "deploy --environment dev --force",
        "rollback --environment dev",
        "cdk deploy --everything",
        "cdk deploy -c enviroment=dev",
        "local up --scale 60",
        "cost --compare A B",
    ],
)
def test_a_command_that_its_program_refuses_fails_here(arguments: str) -> None:
    with pytest.raises((TrainingError, SystemExit, AssertionError)):
        check_kennel(arguments)


@pytest.fixture(scope="session")
def cdk_help() -> Callable[[str], str]:
    """Ask the CDK's command line, which needs Node."""

    def of(verb: str) -> str:
        command = [str(ROOT / "node_modules/.bin/cdk"), verb, "--help"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    return of


@pytest.mark.parametrize("verb", CDK)
def test_the_table_of_the_cdks_options_is_right(verb: str, cdk_help: Callable[[str], str]) -> None:
    offered = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", cdk_help(verb)))
    assert CDK[verb] <= offered
