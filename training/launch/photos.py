"""The job's photos: a folder of this machine that is uploaded, or what lies in the bucket already.

An upload goes to ``data/<folder's name>-<hash of all names and contents>/``: what a running job reads never changes,
and the same photos are there once. Photos that an earlier upload of that folder has are copied inside S3.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.common.aws import Aws
from training.common.aws_errors import explained
from training.common.console import say
from training.common.errors import TrainingError
from training.common.s3 import CONNECTIONS, parse
from training.common.threads import in_threads
from training.data.layout import SPLITS, explore, find
from training.launch import places
from training.launch.site import Site


@dataclass(frozen=True)
class _Photo:
    name: str
    path: Path
    sha256: str
    md5: str


def locate(aws: Aws, site: Site, data: str, splits: Sequence[str] | None = SPLITS) -> str:
    """Return the address of the photos, uploaded if they are not there yet.

    Parameters
    ----------
    data
        A folder that holds train, valid and test, or the ``s3://`` address of such a prefix.
    splits
        Which of them; None if there is a folder for every class, which the job divides.

    Raises
    ------
    TrainingError
        There is nothing there, or jobs may not read it.
    """
    return (
        _check_prefix(aws, site, data, splits) if data.startswith("s3://") else _upload(aws, site, Path(data), splits)
    )


def check_checkpoints(aws: Aws, site: Site, run: str) -> None:
    """Refuse to go on from a run that has left nothing to go on from.

    Parameters
    ----------
    run
        Name of the run that ``--resume`` names.

    Raises
    ------
    TrainingError
        It has no checkpoint.
    """
    prefix = f"{places.CHECKPOINTS}{run}/"
    with explained():
        if not aws.bucket(site.bucket).has_any(prefix):
            raise TrainingError(f"--resume {run}: there is no checkpoint under {site.uri(prefix)}")


def _check_prefix(aws: Aws, site: Site, data: str, splits: Sequence[str] | None) -> str:
    address = parse(data)
    key = address.key.rstrip("/") + "/" if address else ""
    if not address or address.bucket != site.bucket or not key.startswith((places.DATA, "training/")):
        raise TrainingError(
            f"--data {data}: jobs of {site.environment} may read {site.uri(places.DATA)}... only; copy the photos "
            "there with `aws s3 sync`, or give a folder of this machine"
        )
    with explained():
        for prefix in [key] if splits is None else [f"{key}{split}/" for split in splits]:
            if not aws.bucket(site.bucket).has_any(prefix):
                raise TrainingError(f"--data {data}: there is nothing under {site.uri(prefix)}")
    return site.uri(key)


def _upload(aws: Aws, site: Site, folder: Path, splits: Sequence[str] | None) -> str:
    photos = _read(folder, splits)
    lines = "".join(f"{photo.name}\0{photo.sha256}\n" for photo in photos)
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:40] or "photos"
    family = f"{places.DATA}{name}-"
    prefix = f"{family}{hashlib.sha256(lines.encode()).hexdigest()[:16]}/"
    with explained():
        bucket = aws.bucket(site.bucket)
        etags = {listed.key: listed.etag for listed in bucket.objects(family)}
        missing = [photo for photo in photos if prefix + photo.name not in etags]
        # An ETag is the content's MD5 only without a KMS key; with one, nothing matches and all is uploaded.
        uploaded = {etag: key for key, etag in etags.items()}

        def bring(photo: _Photo) -> None:
            if source := uploaded.get(photo.md5):
                bucket.copy(source, prefix + photo.name)
            else:
                bucket.write(prefix + photo.name, photo.path.read_bytes())

        in_threads(bring, missing, "Uploading", CONNECTIONS)
    copied = sum(photo.md5 in uploaded for photo in missing)
    say(
        "Photos",
        f"{len(photos)} in {site.uri(prefix)} ({len(missing) - copied} uploaded, {copied} copied there)",
    )
    return site.uri(prefix)


def _read(folder: Path, splits: Sequence[str] | None) -> list[_Photo]:
    """Read every photo of the splits, or of the classes that are not divided yet.

    Raises
    ------
    TrainingError
        ``fit`` would refuse the folders, or a file cannot be read.
    """
    if not folder.is_dir():
        raise TrainingError(f"--data {folder}: there is no such folder; `./kennel sample {folder}` makes one")
    if splits is None:
        photos, faults = explore({"train": folder})
        if faults:
            raise TrainingError(faults[0].text)
    else:
        photos = find({split: folder / split for split in splits})
    paths = [photo.path for members in photos.splits.values() for photo in members]

    def read(path: Path) -> _Photo:
        content = path.read_bytes()
        digests = hashlib.sha256(content).hexdigest(), hashlib.md5(content, usedforsecurity=False).hexdigest()
        return _Photo(path.relative_to(folder).as_posix(), path, *digests)

    return in_threads(read, paths, "Reading")
