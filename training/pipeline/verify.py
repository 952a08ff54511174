"""Whether an artifact is whole, harmless and serves: every check a line, the first failure an error."""

import json
import shlex
import tempfile
from pathlib import Path
from typing import Any

from training.artifact.archive import File, unpack
from training.artifact.fetching import Artifact, find
from training.artifact.layout import CARD, GRAPH, expected_files
from training.artifact.manifest import Manifest, check_schema
from training.artifact.proof import NoAnswer, ask, write_stand_ins
from training.common.console import console, say
from training.common.errors import TrainingError
from training.common.files import sha256
from training.common.version import VERSION

SECONDS_TO_ANSWER = 120.0
"""SageMaker gives a model 60 s for a request; this is for loading it and eight photos."""

SIDE = 64


def verify(location: str) -> None:
    """Check an artifact and say what was found.

    Whatever code is in it must be this version's, byte for byte, and its wheels those of PyPI; so nothing in it is
    unknown but the graph, the card and the manifest, which are data. The code runs only after that check.

    Parameters
    ----------
    location
        A ``model.tar.gz``, a manifest, or ``s3://bucket/key.tar.gz``.

    Raises
    ------
    TrainingError
        At the first thing that is wrong.
    """
    with tempfile.TemporaryDirectory(prefix="kennel-") as folder:
        work, unpacked = Path(folder, "download"), Path(folder, "model")
        work.mkdir()
        with console.status("Fetching the artifact"):
            artifact = find(location, work)
        digest = sha256(artifact.archive)
        say("Archive", f"{location}  {artifact.archive.stat().st_size / 1e6:.1f} MB  sha256 {digest}")
        if artifact.manifest:
            _check_archive(artifact, artifact.manifest, digest)
        with console.status("Unpacking"):
            files = unpack(artifact.archive, unpacked)
        total = sum(file.size for file in files.values())
        say("Files", f"{len(files)} plain files, {total / 1e6:.1f} MB unpacked, none of them a pickle")
        card = _check_card(unpacked, files, artifact.manifest)
        _check_code(files, artifact)
        with console.status("Asking it"):
            _check_answers(unpacked, Path(folder), len(card["classes"]))
        _check_manifest(artifact, card)


def _check_archive(artifact: Artifact, manifest: Manifest, digest: str) -> None:
    about, size = manifest.archive, artifact.archive.stat().st_size
    if (about.sha256, about.size) != (digest, size):
        raise TrainingError(
            f"{artifact.manifest_source} is about another archive: {about.size} bytes, sha256 {about.sha256[:12]}..., "
            f"where this one has {size} and {digest[:12]}..."
        )


def _check_card(unpacked: Path, files: dict[str, File], manifest: Manifest | None) -> dict[str, Any]:
    for name in (GRAPH, CARD):
        if name not in files:
            raise TrainingError(f"the archive lacks {name}")
    try:
        card: dict[str, Any] = json.loads((unpacked / CARD).read_bytes())
        check_schema(card["schema"], f"{CARD} in the archive", manifest.kennel if manifest else None)
        names, labels = ([item[key] for item in card["classes"]] for key in ("name", "label"))
        height, width = card["input"]["crop"]
        graph = File(**card["files"][GRAPH])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise TrainingError(f"{CARD} in the archive is not a model card: {error!r}") from error
    _check_classes(names, labels)
    if graph != files[GRAPH]:
        raise TrainingError(f"{GRAPH} is not the one that {CARD} in the archive vouches for: another size or sha256")
    say("Card", f"{len(labels)} classes from {labels[0]} to {labels[-1]}; input {height} x {width} pixels")
    say("Graph", f"{graph.size / 1e6:.1f} MB, its sha256 as the card has it")
    return card


def _check_classes(names: list[Any], labels: list[Any]) -> None:
    if not all(isinstance(text, str) and text.strip() for text in names + labels):
        raise TrainingError(f"{CARD} in the archive has a class without a name")
    if len(labels) < 2 or len(set(labels)) != len(labels):
        raise TrainingError(f"{CARD} in the archive does not name at least two different classes")


def _check_code(files: dict[str, File], artifact: Artifact) -> None:
    expected = expected_files()
    packed = {name: file.sha256 for name, file in files.items() if name not in (GRAPH, CARD)}
    if other := sorted(name for name in packed if packed[name] != expected.get(name)):
        raise TrainingError(f"{other[0]} is not what Kennel {VERSION} packs: {_other_code(artifact)}")
    if lacking := sorted(expected.keys() - packed.keys()):
        raise TrainingError(f"the archive lacks {lacking[0]}, which Kennel {VERSION} packs: {_other_code(artifact)}")
    wheels = [name.rpartition("/")[2] for name in packed if name.endswith(".whl")]
    names = ", ".join(" ".join(name.split("-")[:2]) for name in wheels)
    say("Code", f"{len(packed) - len(wheels)} files as this version of Kennel packs them, and PyPI's {names}")


def _other_code(artifact: Artifact) -> str:
    """Say whose code it may be, and what to do with the artifact."""
    version = artifact.manifest.kennel if artifact.manifest else None
    writer = f"Kennel {version}" if version and version != VERSION else "another version of Kennel"
    weights, out = artifact.archive.with_name("model.safetensors"), artifact.archive.parent
    if not weights.is_file():  # the archive came from S3, or was moved
        weights, out = Path(weights.name), Path("build")
    command = shlex.join(["./kennel", "package", "--from", str(weights), "--data", "DIR", "--out", str(out)])
    return (
        f"{writer} wrote the archive, or someone altered it. If you trust its source, you can deploy it as it is and "
        f"measure it with `./kennel evaluate`; to have it verified, pack its weights again: `{command}`"
    )


def _check_answers(unpacked: Path, work: Path, classes: int) -> None:
    photos = write_stand_ins(work / "photos", SIDE)
    try:
        answers = ask(unpacked, photos, SECONDS_TO_ANSWER)
    except NoAnswer as error:
        reason = str(error).replace(f"{unpacked}/", "").removeprefix("serving.serving_errors.ArtifactError: ")
        raise TrainingError(f"the model does not serve: {reason}") from error
    for answer in answers:
        given = answer["probabilities"]
        if len(given) != classes or min(given) < 0 or abs(sum(given) - 1) > 1e-3:
            raise TrainingError("the model answers something else than a probability for each class")
    say("Serves", f"{len(answers)} photos answered with {classes} probabilities each, which sum to 1")


def _check_manifest(artifact: Artifact, card: dict[str, Any]) -> None:
    manifest = artifact.manifest
    if manifest is None:
        say("Manifest", "none beside it that is about it: nothing is known of how good the model is")
        return
    for what, said, is_so in (("classes", manifest.classes, card["classes"]), ("input", manifest.input, card["input"])):
        if said != is_so:
            raise TrainingError(f"{artifact.manifest_source} and the card in the archive do not have the same {what}")
    accuracy = manifest.accuracy
    quality = (
        "its accuracy is not known: it cannot be deployed"
        if accuracy is None
        else f"it says test accuracy {accuracy:.4f}"
    )
    say("Manifest", f"{artifact.manifest_source}: the same hash, classes and input; {quality}")
