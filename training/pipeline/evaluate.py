"""A packed artifact measured on a split, as a caller would meet it: by serving's own code."""

import contextlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.artifact.archive import unpack
from training.artifact.fetching import Artifact, find
from training.artifact.layout import CARD
from training.artifact.manifest import Manifest, check_schema
from training.common.console import console, say, track, warn
from training.common.errors import TrainingError
from training.common.files import publish, sha256, workspace
from training.data.labels import canonical, label
from training.data.layout import Photo, explore
from training.data.reading import read_photo
from training.metrics.assessment import assess
from training.report import page
from training.report.measurement import Findings, photos_digest
from training.report.thumbnails import worst

# Serving's modules, which `training.data.reading` makes known.
from training.serving.inference import Model, model_fn, predict_fn  # isort: skip
from training.serving.serving_errors import ArtifactError, RequestError, SettingError  # isort: skip

UNSEEN = ("class without photos", "circular link", "same class twice")
"""Faults of a split that would leave out photos, or count them twice, without a word."""


def evaluate(location: str, folder: Path, split: str, out: Path) -> None:
    """Measure an artifact on the photos of one folder, and write ``evaluation.json`` and ``evaluation.html``.

    Nothing out of the archive is run: this version's own serving code reads the card and the graph.

    Parameters
    ----------
    location
        A ``model.tar.gz``, a manifest, or ``s3://bucket/key.tar.gz``.
    folder, split
        Holds a folder of photos for each class; and what it is called.
    out
        The folder that gets both files.

    Raises
    ------
    TrainingError
        The artifact does not serve, its classes are not those of the folder, or a photo cannot be read; nothing is
        written then.
    """
    with tempfile.TemporaryDirectory(prefix="kennel-") as place, workspace(out.absolute() / "evaluation") as work:
        unpacked = Path(place, "model")
        with console.status("Fetching and unpacking the artifact"):
            artifact = find(location, Path(place))
            digest = sha256(artifact.archive)
            about = _about(artifact, location, digest)
            temperature = artifact.manifest.temperature if artifact.manifest else None
            unpack(artifact.archive, unpacked)
        model = _load(unpacked, artifact.manifest)
        classes = _classes(unpacked, model)
        if about.setdefault("classes", classes) != classes:
            raise TrainingError(f"{artifact.manifest_source} and the card in the archive do not have the same classes")
        say("Artifact", f"{location}  sha256 {digest}; {len(classes)} classes")
        photos = _photos(folder, split, classes)
        photos_sha256 = photos_digest(sha256(photo.path) for photo in photos)
        say("Photos", f"{len(photos)} in {folder}")
        if _measured(about, split) == photos_sha256:
            say("Note", "this very test split has measured the model already: choose nothing by looking at it again")

        logits = _ask(model, photos, temperature or 1.0)
        assessment = assess(logits, torch.tensor([photo.target for photo in photos]), temperature)
        findings = Findings(split, assessment, worst(photos, logits, temperature or 1.0), photos_sha256)
        metrics = findings.metrics([item["label"] for item in classes])[split]
        written = {"schema": 1, "artifact": about["artifact"], "split": split, "metrics": metrics}
        (work / "evaluation.json").write_text(json.dumps(written, indent=2, ensure_ascii=False) + "\n", "utf-8")
        page.write(work / "evaluation.html", about, findings)
        publish(work, out, ["evaluation.html", "evaluation.json"])
    top5 = "" if assessment.top5 is None else f" (top five {assessment.top5:.4f})"
    say(
        "Result",
        f"accuracy {assessment.accuracy:.4f}{top5}, {assessment.by_class}, loss {assessment.loss:.4f}: {findings}",
    )
    warn(findings.warning)
    say("Report", f"{out / 'evaluation.html'}; the numbers in evaluation.json")


def _about(artifact: Artifact, location: str, digest: str) -> dict[str, Any]:
    """Return the manifest, or what there is to say without one."""
    if artifact.manifest is None:
        size = artifact.archive.stat().st_size
        return {"artifact": {"location": location, "sha256": digest, "size": size}}
    if artifact.manifest.archive.sha256 != digest:
        raise TrainingError(f"{artifact.manifest_source} is about another archive than {location}; remove either")
    about: dict[str, Any] = json.loads(artifact.manifest.text())
    return about


def _load(unpacked: Path, manifest: Manifest | None) -> Model:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):  # model_fn reports these
        schema = json.loads((unpacked / CARD).read_bytes())["schema"]
        check_schema(schema, f"{CARD} in the archive", manifest.kennel if manifest else None)
    try:
        with console.status("Loading the model"):
            return model_fn(unpacked)
    except (ArtifactError, SettingError, RecursionError) as error:
        raise TrainingError(f"the model does not serve: {str(error).replace(f'{unpacked}/', '')}") from error


def _classes(unpacked: Path, model: Model) -> list[dict[str, str]]:
    """Return the classes that are answered, as a manifest has them."""
    card = json.loads((unpacked / CARD).read_bytes())["classes"]
    labels = model.card.labels
    return [{"name": str(item.get("name", text)), "label": text} for item, text in zip(card, labels, strict=True)]


def _photos(folder: Path, split: str, classes: list[dict[str, str]]) -> list[Photo]:
    """List the photos, with their classes as the model numbers them: by the names of folders, or by their labels."""
    photos, faults = explore({split: folder})
    if severe := [fault for fault in faults if not photos.classes or fault.kind in UNSEEN]:
        raise TrainingError(severe[0].text)
    names, labels = ([canonical(item[key]) for item in classes] for key in ("name", "label"))
    shown = [label(name) for name in photos.classes]
    for ours, theirs in ((names, list(photos.classes)), (labels, shown)):
        if len(ours) == len(theirs) and set(ours) == set(theirs):
            return [replace(photo, target=ours.index(theirs[photo.target])) for photo in photos.splits[split]]
    raise TrainingError(f"{folder} and the artifact do not have the same classes: {_difference(folder, labels, shown)}")


def _difference(folder: Path, labels: list[str], shown: list[str]) -> str:
    """Return which class one side has and the other one lacks."""
    if unknown := [name for name in shown if name not in labels]:
        return f"the model does not know {unknown[0]!r} ({len(unknown)} such classes)"
    lacking = [name for name in labels if name not in shown]
    return f"{folder} has no photos of {lacking[0]!r} ({len(lacking)} such classes)"


def _measured(about: Mapping[str, Any], split: str) -> str | None:
    """Return which photos the manifest's numbers of the test split come from."""
    test = about.get("metrics", {}).get("test") or {}
    return test.get("photos_sha256") if split == "test" else None


def _ask(model: Model, photos: list[Photo], temperature: float) -> Tensor:
    """Return logits of shape [photos, classes], up to a number that is the same for all classes of a photo."""
    rows = []
    for photo in track(photos, "Asking", len(photos)):
        try:
            rows.append(torch.from_numpy(predict_fn(read_photo(photo.path), model).probabilities))
        except RequestError as error:
            raise TrainingError(f"{photo.path}: {error.title.lower()}; replace the file or remove it") from error
        except ArithmeticError as error:
            raise TrainingError(f"{photo.path}: {error}") from error
    probabilities = torch.stack(rows).double()
    return probabilities.clamp(min=torch.finfo(torch.float32).tiny).log() * temperature
