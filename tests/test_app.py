import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_without_an_artifact_the_app_ends_with_one_line_that_says_which_command_makes_one(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-B", "app.py"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "CDK_CONTEXT_JSON": f'{{"manifest": "{tmp_path}/model.json"}}'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    (line,) = [line for line in run.stderr.splitlines() if "!!" not in line]
    assert line.startswith("kennel: ")
    assert "python -m training fit" in line
