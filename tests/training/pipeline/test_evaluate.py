import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.common.errors import TrainingError
from training.pipeline import evaluate
from training.report.page import percent

Run = Callable[..., tuple[int, str, str]]
NOTE = "the model was already measured on these test photos"


def content(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text())
    return read


@pytest.fixture
def own(fitted: Path, tmp_path: Path) -> Path:
    """Return a copy of what one fit wrote and learnt from."""
    return shutil.copytree(fitted, tmp_path / "own")


def evaluated(run: Run, own: Path, *more: str | Path) -> tuple[int, str, str]:
    artifact = own / "build" / "model.tar.gz"
    return run("evaluate", "--artifact", artifact, "--data", own / "data", "--out", own / "out", *more)


def test_an_artifact_measures_as_its_fit_did_and_the_report_says_so(own: Path, run: Run) -> None:
    status, output, errors = evaluated(run, own)
    assert (status, errors) == (0, "")
    expected = content(own / "build" / "model.json")
    found = content(own / "out" / "evaluation.json")
    assert found["artifact"] == expected["artifact"]
    assert found["split"] == "test"
    fit, served = expected["metrics"]["test"], found["metrics"]
    assert served.keys() == fit.keys()
    for name in ("loss", "calibration_error"):
        assert served.pop(name) == pytest.approx(fit.pop(name), abs=1e-5)
        assert served["uncalibrated"][name] == pytest.approx(fit["uncalibrated"][name], abs=1e-5)
    del served["uncalibrated"], fit["uncalibrated"]
    assert served == fit
    html = (own / "out" / "evaluation.html").read_text()
    assert percent(fit["accuracy"]) in html
    assert "before temperature scaling" in html
    assert "whose weights were kept" in html
    assert f"accuracy {fit['accuracy']:.4f}" in output
    assert "evaluation.html" in output
    assert (own / "build" / "report.html").exists()


def test_a_second_look_at_the_test_split_is_told(own: Path, run: Run) -> None:
    assert NOTE in evaluated(run, own)[1]
    assert NOTE not in evaluated(run, own, "--split", "valid")[1]
    photo = next((own / "data" / "test").rglob("*.png"))
    shutil.copy(next((own / "data" / "valid" / photo.parent.name).iterdir()), photo)
    assert NOTE not in evaluated(run, own)[1]


def test_without_a_manifest_the_temperature_is_unknown_and_the_rest_is_there(own: Path, run: Run) -> None:
    expected = content(own / "build" / "model.json")
    (own / "build" / "model.json").unlink()
    status, output, _ = evaluated(run, own)
    assert status == 0
    assert NOTE not in output
    found = content(own / "out" / "evaluation.json")
    assert found["metrics"]["accuracy"] == expected["metrics"]["test"]["accuracy"]
    assert found["artifact"]["sha256"] == expected["artifact"]["sha256"]
    assert "uncalibrated" not in found["metrics"]
    assert "does not say how it was trained" in (own / "out" / "evaluation.html").read_text()


def test_folders_may_have_the_labels_for_names(own: Path, run: Run) -> None:
    for folder in list((own / "data" / "test").iterdir()):
        folder.rename(folder.with_name(folder.name.partition(".")[2]))  # which is another order, too
    status, output, errors = evaluated(run, own)
    assert (status, errors) == (0, "")
    expected = content(own / "build" / "model.json")["metrics"]["test"]
    assert content(own / "out" / "evaluation.json")["metrics"]["classes"] == expected["classes"]
    assert NOTE in output


def test_one_split_alone_is_enough(own: Path, run: Run) -> None:
    shutil.rmtree(own / "data" / "train")
    shutil.rmtree(own / "data" / "valid")
    assert evaluated(run, own)[0] == 0


def rename(own: Path) -> None:
    (own / "data" / "test" / "002.Green_dog").rename(own / "data" / "test" / "002.Wolf")


def remove_class(own: Path) -> None:
    shutil.rmtree(own / "data" / "test" / "002.Green_dog")


def leave_one_class(own: Path) -> None:
    remove_class(own)
    shutil.rmtree(own / "data" / "test" / "001.Red_setter")


def remove_split(own: Path) -> None:
    shutil.rmtree(own / "data" / "test")


def damage_photo(own: Path) -> None:
    (own / "data" / "test" / "002.Green_dog" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")


def remove_artifact(own: Path) -> None:
    (own / "build" / "model.tar.gz").unlink()


def damage_artifact(own: Path) -> None:
    (own / "build" / "model.json").unlink()
    (own / "build" / "model.tar.gz").write_bytes(b"no archive")


def exchange_manifest(own: Path) -> None:
    text = (own / "build" / "model.json").read_text()
    digest = json.loads(text)["artifact"]["sha256"]
    (own / "build" / "model.json").write_text(text.replace(digest, "0" * 64))


def spoil_temperature(own: Path) -> None:
    manifest = content(own / "build" / "model.json")
    manifest["model"]["temperature"] = "warm"
    (own / "build" / "model.json").write_text(json.dumps(manifest))


def exchange_classes(own: Path) -> None:
    manifest = content(own / "build" / "model.json")
    manifest["classes"].reverse()
    (own / "build" / "model.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (exchange_classes, "model.json in the archive have different classes"),
        (rename, "do not have the same classes: the model does not know 'Wolf' (1 such classes)"),
        (remove_class, "has no photos of 'Green dog' (1 such classes)"),
        (leave_one_class, "has no photos of 'Red setter' (2 such classes)"),
        (remove_split, "test is missing"),
        (damage_photo, "002.Green_dog/1.png: damaged image"),
        (remove_artifact, "does not exist; give a model.tar.gz"),
        (damage_artifact, "is not a .tar.gz file"),
        (spoil_temperature, "temperature is 'warm'"),
        (exchange_manifest, "describes another archive"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    own: Path, run: Run, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(own)
    status, _, errors = evaluated(run, own)
    assert status == 2
    assert reason in errors
    assert len(errors.splitlines()) == 1
    assert not list((own / "out").glob("*"))


def test_a_card_of_any_bytes_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes(b"[" * 100_000)
    with pytest.raises(TrainingError, match="the model cannot serve"):
        evaluate._load(tmp_path, None)
