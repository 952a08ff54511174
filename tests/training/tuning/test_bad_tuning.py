"""What cannot be searched is told in one line, before anything is written."""

from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]

DATA = "--data={data}"
LR = "[lr]\nlow = 0.001\nhigh = 0.1\n"

BAD = {
    "no number of trials": (LR, [DATA], "--trials"),
    "no trial": (LR, [DATA, "--trials=0"], "--trials: must be from 1"),
    "half a trial": (LR, [DATA, "--trials=1.5"], "is not a whole number"),
    "no process": (LR, [DATA, "--trials=2", "--parallel=0"], "--parallel: must be from 1"),
    "no time": (LR, [DATA, "--trials=2", "--timeout-minutes=0"], "--timeout-minutes: must be above 0"),
    "no such pruning": (LR, [DATA, "--trials=2", "--pruning=hyper"], "--pruning: invalid choice"),
    "no data": (LR, ["--trials=2"], "--data DIR is needed"),
    "data that is not there": (LR, ["--data={folder}/nothing", "--trials=2"], "nothing does not exist"),
    "no such option": (LR, [DATA, "--trials=2", "--momentum=1"], "unrecognized arguments: --momentum=1"),
    "checkpoints": (LR, [DATA, "--trials=2", "--checkpoints=kept"], "--checkpoints: only `fit` has this option"),
    "resume": (LR, [DATA, "--trials=2", "--resume"], "--resume: only `fit` has this option"),
    "a bound of fit": (LR, [DATA, "--trials=2", "--epochs=0"], "--epochs: must be at least 1"),
    "no space": (None, [DATA, "--trials=2"], "does not exist; give another --space"),
    "an empty space": ("", [DATA, "--trials=2"], "lists no option"),
    "no TOML": ("[lr", [DATA, "--trials=2"], "not valid TOML"),
    "an unknown name": (
        LR + "[momentum]\nlow = 0\nhigh = 1",
        [DATA, "--trials=2"],
        "[momentum] is not an option of `fit`",
    ),
    "an underscore": ("[batch_size]\nvalues = [8]", [DATA, "--trials=2"], "[batch_size] is not an option of `fit`"),
    "the seed": (
        "[seed]\nlow = 0\nhigh = 9",
        [DATA, "--trials=2"],
        "[seed] is not an option of `fit` that a search can vary",
    ),
    "where the photos are": ('[data]\nvalues = ["a"]', [DATA, "--trials=2"], "[data] is not an option of `fit`"),
    "beyond a bound": ("[lr]\nlow = 1\nhigh = 20", [DATA, "--trials=2"], "[lr] argument --lr: must be above 0"),
    "parts of an epoch": ("[epochs]\nlow = 1.0\nhigh = 9.5", [DATA, "--trials=2"], "[epochs] argument --epochs: 1.0"),
    "no such choice": ('[mode]\nvalues = ["half"]', [DATA, "--trials=2"], "[mode] argument --mode: invalid choice"),
    "no such network": ('[arch]\nvalues = ["resnet19"]', [DATA, "--trials=2"], "resnet19"),
    "nothing left": (LR, [DATA, "--trials=2", "--lr=0.01"], "the command line sets every option of"),
    "no combination": ('[mode]\nvalues = ["head"]', [DATA, "--trials=2"], "--mode head needs a trained backbone"),
    "weights that are not there": (LR, [DATA, "--trials=2", "--weights={folder}/no.safetensors"], "no.safetensors"),
    "a key without a file": (LR, [DATA, "--trials=2", "--weights-key=ema"], "and --weights none is not one"),
    "the key": ('[weights-key]\nvalues = ["ema"]', [DATA, "--trials=2"], "[weights-key] is not an option of `fit`"),
    "a folder as the study": (LR, [DATA, "--trials=2", "--study={folder}"], "Is a directory"),
    "a photo as the study": (LR, [DATA, "--trials=2", "--study={folder}/search.toml"], "search.toml is not a study"),
    "out is a file": (LR, [DATA, "--trials=2", "--out={folder}/search.toml"], "search.toml cannot be written"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_argument_is_one_line_and_leaves_nothing(case: str, fitted: Path, tmp_path: Path, run: Run) -> None:
    space, given, said = BAD[case]
    file = tmp_path / "search.toml"
    if space is not None:
        file.write_text(space)
    before = sorted(tmp_path.rglob("*"))
    out = [f"--out={tmp_path / 'build'}"] * (not any(each.startswith("--out") for each in given))
    arguments = [each.format(data=fitted / "data", folder=tmp_path) for each in given]
    status, output, errors = run("tune", *out, *arguments, f"--space={file}")
    assert status == 2
    assert output == ""
    assert len(errors.splitlines()) == 1
    assert errors.startswith("kennel: ")
    assert said in errors
    left = [path for path in sorted(tmp_path.rglob("*")) if path not in before and path != tmp_path / "build"]
    assert left == []
    assert space is None or file.read_text() == space


def test_torchrun_is_refused(fitted: Path, tmp_path: Path, run: Run) -> None:
    arguments = ["tune", "--data", str(fitted / "data"), "--trials", "2", "--out", str(tmp_path / "build")]
    status, _, errors = run(*arguments, environment={"WORLD_SIZE": "2", "RANK": "0"})
    assert (status, len(errors.splitlines())) == (2, 1)
    assert "without torchrun" in errors
    assert not (tmp_path / "build").exists()
