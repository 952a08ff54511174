import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def refusal(**context: str) -> str:
    """Run the app as the CDK CLI does; return the one line with which it ends."""
    run = subprocess.run(
        [sys.executable, "-B", "app.py"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "CDK_CONTEXT_JSON": json.dumps(context)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    (line,) = [line for line in run.stderr.splitlines() if "!!" not in line]
    assert line.startswith("kennel: ")
    return line


def test_without_an_artifact_the_app_ends_with_one_line_that_says_which_command_makes_one(tmp_path: Path) -> None:
    assert "./kennel fit" in refusal(manifest=f"{tmp_path}/model.json")


@pytest.mark.parametrize(
    ("context", "says"),
    [
        ({"environment": ""}, "-c environment=: not an environment's name"),
        ({"environment": "dev\nprod"}, "-c environment='dev\\nprod': not an environment's name"),
        ({"manifest": "model\0.json"}, "'model\\x00.json': the manifest cannot be read"),
    ],
)
def test_odd_context_ends_the_app_with_one_line_and_no_traceback(context: dict[str, str], says: str) -> None:
    assert says in refusal(**context)


def test_before_the_first_model_there_are_the_stacks_that_train_one(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-B", "app.py"],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "CDK_OUTDIR": str(tmp_path),
            "CDK_CONTEXT_JSON": json.dumps({"model": "none", "manifest": f"{tmp_path}/model.json"}),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert {path.name for path in tmp_path.glob("*.template.json")} == {
        "KennelStorage-dev.template.json",
        "KennelTraining-dev.template.json",
    }
