"""What a SageMaker job does around ``fit``."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.training.launch.fakes import SITE, FakeS3
from training import job
from training.common.aws import Aws
from training.common.version import VERSION


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    (tmp_path / "model").mkdir()
    monkeypatch.setenv("KENNEL_CACHE", "kept")  # and put back: the job sets its own
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    return {
        "TRAINING_JOB_NAME": "job",
        "SM_MODEL_DIR": str(tmp_path / "model"),
        "KENNEL_RUNS": SITE.uri("training/runs/"),
        "KENNEL_MODELS": SITE.uri("models/"),
        "KENNEL_CHECKPOINTS": "/opt/ml/checkpoints",
        "KENNEL_PIDS": str(tmp_path / "pids"),
    }


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> FakeS3:
    made = FakeS3()
    monkeypatch.setattr(Aws, "s3", made)
    return made


def fits(
    monkeypatch: pytest.MonkeyPatch, status: int = 0, says: str = "", *, report: bool = True
) -> list[dict[str, str]]:
    """Let ``fit`` write an artifact and end so; return the environments that it sees."""
    seen = []

    def main(arguments: list[str], environment: dict[str, str]) -> int:
        assert arguments == ["fit"]
        seen.append(dict(environment))
        out = Path(environment["SM_MODEL_DIR"])
        metrics = {"test": {"accuracy": 0.9}}
        manifest = {"schema": 1, "artifact": {"location": "model.tar.gz"}, "metrics": metrics}
        (out / "model.tar.gz").write_bytes(b"artifact")
        (out / "model.safetensors").write_bytes(b"weights")
        if report:
            (out / "report.html").write_bytes(b"page")
        (out / "model.json").write_text(json.dumps(manifest))
        if says:
            print(says, file=sys.stderr)
        return status

    monkeypatch.setattr(job, "main", main)
    return seen


def test_the_artifact_goes_under_its_hash_and_its_manifest_under_the_jobs_name(
    environment: dict[str, str], s3: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits(monkeypatch)
    assert job.run(environment) == 0
    digest = hashlib.sha256(b"artifact").hexdigest()
    assert s3.objects[f"models/{digest}.tar.gz"] == b"artifact"
    manifest = json.loads(s3.objects["training/runs/job/model.json"])
    assert manifest["artifact"]["location"] == SITE.uri(f"models/{digest}.tar.gz")
    assert [key for _, key in s3.calls][-1] == "training/runs/job/model.json", "what says that all is there comes last"
    left = {path.name for path in Path(environment["SM_MODEL_DIR"]).iterdir()}
    assert s3.objects["training/runs/job/report.html"] == b"page"
    assert left == {"model.json", "model.safetensors", "report.html"}, (
        "SageMaker would pack the artifact into another archive"
    )


def test_a_fit_without_a_test_split_delivers_without_a_report(
    environment: dict[str, str], s3: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits(monkeypatch, report=False)
    assert job.run(environment) == 0
    assert "training/runs/job/model.json" in s3.objects
    assert "training/runs/job/report.html" not in s3.objects


def test_one_process_of_several_delivers(
    environment: dict[str, str], s3: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits(monkeypatch)
    assert job.run(environment | {"RANK": "1"}) == 0
    assert s3.objects == {}


def test_a_failed_fit_delivers_nothing_and_says_why_as_the_toolkit_hears_it(
    environment: dict[str, str], s3: FakeS3, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fits(monkeypatch, 2, "kennel: valid is missing")
    assert job.run(environment) == 2
    assert s3.objects == {}
    assert capfd.readouterr().err == "Exception: kennel: valid is missing\n"


def test_trials_keep_their_checkpoints_apart_and_deliver_nothing(
    environment: dict[str, str], s3: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = fits(monkeypatch)
    job.run(environment | {"KENNEL_TRIAL": "1", "TRAINING_JOB_NAME": "trial-7"})
    assert s3.objects == {}
    job.run(dict(environment))
    assert [each["KENNEL_CHECKPOINTS"] for each in seen] == ["/opt/ml/checkpoints/trial-7", "/opt/ml/checkpoints"]


def test_the_fit_after_a_search_is_given_what_its_manifest_is_to_say_of_that(
    environment: dict[str, str], s3: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = fits(monkeypatch)
    s3.objects["training/runs/job/search.json"] = b'{"tuning": {}}'
    environment["KENNEL_SEARCH"] = SITE.uri("training/runs/job/search.json")
    assert job.run(environment) == 0
    assert seen[0]["KENNEL_ABOUT"] == '{"tuning": {}}'


def test_each_process_leaves_its_id_for_the_entry_point(
    environment: dict[str, str], s3: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits(monkeypatch)
    job.run(dict(environment))
    job.run(environment | {"RANK": "1"})
    assert len(Path(environment["KENNEL_PIDS"]).read_text().split()) == 2


def test_a_job_needs_nothing_but_its_archive(tmp_path: Path) -> None:
    """Unpacked in a folder of its own, as /opt/ml/code, it finds all of Kennel that it imports."""
    from training.launch.source import members

    for name, content in members().items():
        if not name.startswith("wheels/"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
    modules = "job, training.pipeline.fit, training.launch.remote.on_instance"
    command = f"import {modules}; print(job.__file__, job.main.__module__, training.common.version.VERSION)"
    done: Any = subprocess.run([sys.executable, "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.split() == [str(tmp_path / "job.py"), "training.__main__", VERSION]
