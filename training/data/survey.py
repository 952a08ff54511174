"""Every photo read once, for all that is to be known of it before training."""

import hashlib
import io
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from training.common.console import say
from training.common.errors import TrainingError
from training.common.threads import in_threads
from training.data.duplicates import THUMBNAIL, copies, look_alikes
from training.data.findings import ERROR, NOTE, WARNING, Finding
from training.data.layout import Photos
from training.data.reading import UnreadableError, advise, decode, read_bytes, read_photo
from training.serving.cores import cores

MAX_RATIO = 100
"""Longer to shorter side. Beyond, serving's resize would pass its limit of pixels, and a crop shows next to nothing."""

MAX_IMBALANCE = 10
"""Photos of the largest class to those of the smallest. A tenth of the photos is where plain accuracy begins to hide
that a class was not learned (He and Garcia, "Learning from Imbalanced Data", 2009, call 100 severe)."""


@dataclass(frozen=True)
class PhotoRecord:
    """What reading one photo has shown; only ``sha256`` and ``problem`` if it cannot be read.

    Parameters
    ----------
    sha256
        Of the file.
    pixels
        The same for photos that the model would see as the same: copies that were saved anew without loss, turned by
        EXIF or stripped of metadata.
    thumbnail
        Grey, ``THUMBNAIL`` x ``THUMBNAIL`` pixels.
    traits
        What is unusual about the file.
    """

    name: str
    split: str
    target: int
    sha256: str = ""
    problem: str = ""
    size: tuple[int, int] = (0, 0)
    pixels: str = ""
    thumbnail: bytes = b""
    traits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Survey:
    """What reading every photo once has shown.

    Parameters
    ----------
    fingerprint
        SHA-256 over the names and the bytes of all photos.
    side
        Median of the training photos' shorter sides, in pixels.
    digests
        SHA-256 of each photo's file, for each split in the order of ``Photos.splits``.
    findings
        How many photos each kind of warning and note concerns.
    """

    fingerprint: str
    side: int
    digests: dict[str, list[str]]
    findings: dict[str, int]


def survey(photos: Photos) -> Survey:
    """Read every photo once, so that what is wrong is found now and not after an hour; warnings are printed.

    Raises
    ------
    TrainingError
        A photo cannot be read, or there are copies where none may be; the message names the first.
    """
    records = scan(photos)
    findings = examine(photos, records)
    _refuse_errors(findings)
    if warnings := ", ".join(finding.headline for finding in findings if finding.severity == WARNING):
        say("Warnings", f"{warnings}; `./kennel check` with the same --data says more")
    return Survey(
        fingerprint(records),
        usual_side(records),
        {split: [record.sha256 for record in records if record.split == split] for split in photos.splits},
        {finding.kind: finding.count for finding in findings},
    )


def _refuse_errors(findings: Sequence[Finding]) -> None:
    errors = [finding for finding in findings if finding.severity == ERROR]
    if not errors:
        return
    more = sum(len(error.photos) for error in errors) - 1
    and_more = f" (and {more} more)" if more else ""
    raise TrainingError(
        f"{errors[0].examples()[0]}: {errors[0].text}{and_more}; `./kennel check` with the same --data "
        "lists what is wrong"
    )


def scan(photos: Photos) -> list[PhotoRecord]:
    """Read every photo, on all cores, in the order of ``Photos.splits``."""
    unread = [
        (photo.path, PhotoRecord(photos.name(split, photo.path), split, photo.target))
        for split, listed in photos.splits.items()
        for photo in listed
    ]
    # Pillow and hashlib work outside the interpreter's lock.
    records = in_threads(lambda photo: _scan(*photo), unread, "Reading the photos", cores())
    alike = Counter((record.size, record.thumbnail) for record in records)
    # All pixels are hashed only where a thumbnail is that of another photo: it would double the time.
    twins = [i for i, record in enumerate(records) if record.thumbnail and alike[record.size, record.thumbnail] > 1]
    hashes = in_threads(lambda i: _pixel_hash(unread[i][0]), twins, threads=cores())
    for i, pixels in zip(twins, hashes, strict=True):
        records[i] = replace(records[i], pixels=pixels)
    return records


def examine(photos: Photos, records: list[PhotoRecord], size: int | None = None) -> list[Finding]:
    """Return what is wrong with the photos, or odd, the worst first.

    Parameters
    ----------
    records
        Of all photos, see ``scan``.
    size
        Pixels of each side of the model's input; if None, nothing is said of photos that are smaller.
    """
    findings = _unreadable(records)
    readable = [record for record in records if not record.problem]
    findings += copies(readable) + look_alikes(readable) + _imbalance(photos)
    if size and (small := [record for record in readable if min(record.size) < size]):
        text = f"smaller than the model's input of {size} pixels a side, and enlarged for it"
        findings.append(_about(WARNING, "small photo", text, small))
    for trait, (severity, text) in TRAITS.items():
        if having := [record for record in readable if trait in record.traits]:
            findings.append(_about(severity, trait, text, having))
    if photos.ignored:
        findings.append(_ignored(photos))
    return sorted(findings, key=lambda finding: (ERROR, WARNING, NOTE).index(finding.severity))


TRAITS = {
    "animation": (WARNING, "moving pictures, of which the first counts"),
    "alpha channel": (NOTE, "what is transparent is shown on white, here as when serving"),
    "CMYK": (NOTE, "in the colours of print, converted to RGB without a profile, here as when serving"),
    "greyscale": (NOTE, "in shades of grey; the model sees three equal channels"),
}


def fingerprint(records: list[PhotoRecord]) -> str:
    """Return a hash over all names and contents, which does not depend on where the data set lies."""
    lines = sorted(f"{record.name} {record.sha256}" for record in records)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def usual_side(records: list[PhotoRecord]) -> int:
    """Return the median of the training photos' shorter sides; 0 without any."""
    sides = [min(record.size) for record in records if record.split == "train" and not record.problem]
    return int(statistics.median_low(sides)) if sides else 0


def _scan(path: Path, unread: PhotoRecord) -> PhotoRecord:
    try:
        body = read_bytes(path)
    except UnreadableError as error:
        return replace(unread, problem=error.reason)
    sha256 = hashlib.sha256(body).hexdigest()
    try:
        photo = decode(body, path)
    except UnreadableError as error:
        return replace(unread, sha256=sha256, problem=error.reason)
    small = photo.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return replace(
        unread,
        sha256=sha256,
        problem="too elongated" if max(photo.size) > MAX_RATIO * min(photo.size) else "",
        size=photo.size,
        pixels=sha256,
        thumbnail=small.convert("L").tobytes(),
        traits=tuple(_traits(body)),
    )


def _pixel_hash(path: Path) -> str:
    photo = read_photo(path)
    seen = hashlib.sha256(f"{photo.size}".encode())
    for top in range(0, photo.height, 256):  # in strips: a large photo takes 150 MB
        seen.update(photo.crop((0, top, photo.width, min(top + 256, photo.height))).tobytes())
    return seen.hexdigest()


def _traits(body: bytes) -> list[str]:
    image = Image.open(io.BytesIO(body), formats=["JPEG", "PNG", "WEBP"])  # the header alone
    traits = []
    if image.format != "MPO" and getattr(image, "is_animated", False):  # MPO: phones add a preview to a JPEG
        traits.append("animation")
    if image.has_transparency_data:
        traits.append("alpha channel")
    if image.mode == "CMYK":
        traits.append("CMYK")
    if image.mode in ("1", "L", "LA", "I", "I;16", "F"):
        traits.append("greyscale")
    return traits


def _unreadable(records: list[PhotoRecord]) -> list[Finding]:
    reasons = sorted({record.problem for record in records if record.problem})
    return [
        _about(ERROR, reason, advise(reason), [record for record in records if record.problem == reason])
        for reason in reasons
    ]


def _imbalance(photos: Photos) -> list[Finding]:
    targets = [photo.target for photo in photos.splits["train"]]
    counts = {target: targets.count(target) for target in sorted(set(targets))}
    if not counts:
        return []
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[most] <= MAX_IMBALANCE * counts[least]:
        return []
    few = sum(counts[most] > MAX_IMBALANCE * count for count in counts.values())
    text = (
        f"train has {counts[most]} photos of {photos.classes[most]} and {counts[least]} of {photos.classes[least]}: "
        f"look at each class's own accuracy, or find more photos of {few} class{'es' if few > 1 else ''}"
    )
    return [Finding(WARNING, "imbalance", text)]


def _ignored(photos: Photos) -> Finding:
    names = []
    for path in photos.ignored:
        split = next(split for split, folder in photos.folders.items() if path.is_relative_to(folder))
        names.append((photos.name(split, path),))
    endings = {"folder" if path.is_dir() else path.suffix.lower() or "no ending" for path in photos.ignored}
    return Finding(
        WARNING,
        "ignored file",
        f"not a JPEG, PNG or WebP file in a class's folder ({', '.join(sorted(endings)[:5])}), and left out",
        tuple(names),
    )


def _about(severity: str, kind: str, text: str, records: list[PhotoRecord]) -> Finding:
    return Finding(severity, kind, text, tuple((record.name,) for record in records))
