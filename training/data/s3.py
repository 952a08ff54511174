"""Photos under an ``s3://`` prefix, brought to this machine once.

The cache keeps each object under a name made of its key, ETag and size, and for each state of the prefix a folder of
hard links to them. So only new and changed objects are downloaded, an interrupted download goes on where it was, and a
folder that a training reads never changes under it. The cache may be removed at any time, and a state of a prefix that
nobody asked for in ``UNUSED`` seconds goes when another one comes, with the objects that it alone had.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path, PurePosixPath

from training.common.aws import Aws
from training.common.aws_errors import explained
from training.common.console import say
from training.common.errors import TrainingError
from training.common.files import UNUSED, alone, cache_folder, workspace
from training.common.s3 import CONNECTIONS, Address, Object, parse
from training.common.threads import in_threads
from training.data.hints import CLASS_FOLDERS, Prefix, empty_split_hint, missing_split_hint, root_hint
from training.data.layout import class_without_photos
from training.data.names import SPLITS, hidden, litter, named_as_photo


@dataclass(frozen=True)
class RemotePhoto:
    """A photo in S3.

    Parameters
    ----------
    name
        Its key below the prefix, such as ``train/cat/1.jpg``.
    etag, size
        See ``Object``.
    """

    name: str
    etag: str
    size: int


def fetch(address: str, splits: Sequence[str] | None = SPLITS) -> Path:
    """Download the photos of ``train/``, ``valid/`` and ``test/`` below a prefix, unless they are here.

    Parameters
    ----------
    address
        Of the prefix: ``s3://BUCKET/PREFIX``, with a slash at the end or without.
    splits
        Which of them; None if the prefix holds a folder for every class, which are not divided yet.

    Returns
    -------
    The folder that holds these.

    Raises
    ------
    TrainingError
        The address is none, there is nothing there, AWS does not let us, or the disk is full.
    """
    place = parse(address)
    if not place:
        raise TrainingError(f"{address} is not an address in S3; use s3://BUCKET/PREFIX")
    prefix = f"{path}/" if (path := place.key.strip("/")) else ""
    root = cache_folder() / "s3" / place.bucket / _short_hash(prefix)
    with explained(str(Address(place.bucket, prefix)), _advice(place.bucket, prefix)):
        source = Prefix(Aws().bucket(place.bucket), prefix)
        with alone(root):
            folder, new = _mirror(source, root, splits)
    if new:
        _forget_unused(cache_folder() / "s3")
    return folder


def _mirror(source: Prefix, root: Path, splits: Sequence[str] | None) -> tuple[Path, bool]:
    """Return the folder of the prefix as it is now, and whether it had to be made."""
    photos, others = _list(source, splits)
    folder = root / _short_hash(json.dumps([astuple(photo) for photo in photos]))
    kept = {photo: root / "objects" / _short_hash(json.dumps(astuple(photo))) for photo in photos}
    new = not all(_has_size(folder / photo.name, photo.size) for photo in photos)
    missing = []
    if new:
        missing = [photo for photo in photos if not _has_size(kept[photo], photo.size)]
        _download(source, {photo: kept[photo] for photo in missing})
        _link({photo.name: path for photo, path in kept.items()}, folder)
    os.utime(folder)  # it is in use
    say(
        "Photos",
        f"{len(photos)} from {source.bucket.uri(source.key)} ({len(missing)} downloaded now) in {folder}"
        + (f"; {others} objects skipped, whose names end differently from JPEG, PNG and WebP files" if others else ""),
    )
    return folder, new


def _forget_unused(cache: Path) -> None:
    """Remove what nobody asked for in a long time; a prefix that another process works on is left to the next time."""
    limit = time.time() - UNUSED
    for lock in cache.glob("*/*/lock"):
        with contextlib.suppress(OSError), lock.open("w") as mine:
            fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for state in lock.parent.iterdir():
                if state.is_dir() and state.name != "objects" and state.stat().st_mtime < limit:
                    shutil.rmtree(state)
            for kept in (lock.parent / "objects").iterdir():
                about = kept.stat()
                if about.st_nlink == 1 and about.st_mtime < limit:  # no state has it
                    kept.unlink()


def _list(source: Prefix, splits: Sequence[str] | None) -> tuple[list[RemotePhoto], int]:
    """Return what may be photos below a prefix, and the number of other objects.

    A listing has no bytes, so it takes objects whose name has a photo's suffix or none. Their content then decides, as
    for files.

    Raises
    ------
    TrainingError
        A split has no such objects, a class has others only, or a name is none for a file.
    """
    photos: list[RemotePhoto] = []
    others: list[str] = []
    for split in [""] if splits is None else splits:
        of_split, others_of_split = _list_split(source, split)
        photos += of_split
        others += others_of_split
    names = [photo.name for photo in photos]
    _refuse_odd(source, names)
    _refuse_barren(source, names, others, depth=1 if splits is None else 2)
    return photos, len(others)


def _list_split(source: Prefix, split: str) -> tuple[list[RemotePhoto], list[str]]:
    """Return what may be photos of a split, or of the whole prefix if it is empty, and the names of other objects."""
    prefix = f"{source.key}{split}/" if split else source.key
    photos: list[RemotePhoto] = []
    others: list[str] = []
    for listed in source.bucket.objects(prefix):
        name = listed.key.removeprefix(source.key)
        if _may_be_photo(name):
            photos.append(RemotePhoto(name, listed.etag, listed.size))
        elif not name.endswith("/") and not litter(PurePosixPath(name).name):  # the console's "folders" are objects
            others.append(name)
    if not photos:
        hint = _hint(source, split) or CLASS_FOLDERS
        raise TrainingError(f"{source.bucket.uri(prefix)} has no photos in class folders; {hint}")
    return photos, others


def _refuse_barren(source: Prefix, photos: Sequence[str], others: Sequence[str], depth: int) -> None:
    """Refuse a class that has objects and no photo; ``depth`` is that of its folder."""
    classes = {_class_of(name, depth) for name in photos}
    by_class: dict[str, list[str]] = {}
    for name in others:
        by_class.setdefault(_class_of(name, depth), []).append(name)
    for folder, names in by_class.items():
        if folder and folder not in classes and any(not hidden(PurePosixPath(name).name) for name in names):
            raise TrainingError(class_without_photos(source.bucket.uri(f"{source.key}{folder}/"), names).text)


def _hint(root: Prefix, split: str) -> str:
    """Return what to do about a split without photos; empty if there is nothing to say."""
    folders = root.inside()[0]
    if split and split in folders:
        return empty_split_hint(root.child(split))
    if not split:
        return empty_split_hint(root)
    return missing_split_hint(root, split) if set(SPLITS) & set(folders) else root_hint(root)


def _may_be_photo(name: str) -> bool:
    last = PurePosixPath(name).name
    if name.endswith("/") or hidden(last):
        return False
    return named_as_photo(last) or not PurePosixPath(last).suffix


def _class_of(name: str, depth: int) -> str:
    """Return the folder of an object's class, such as ``train/cat`` at depth 2; "" for an object that is in none."""
    parts = PurePosixPath(name).parts
    return "/".join(parts[:depth]) if len(parts) > depth and not hidden(parts[depth - 1]) else ""


def _refuse_odd(source: Prefix, names: Sequence[str]) -> None:
    """Refuse a key that as a file would lie elsewhere, or below another key's."""
    files = set(names)
    for name in names:
        outside = any(part in ("", ".", "..") or "\0" in part for part in name.split("/"))
        if outside or any(folder.as_posix() in files for folder in PurePosixPath(name).parents):
            address = source.bucket.uri(source.key + name)
            raise TrainingError(f"{address} cannot be saved as a file of that name; rename or remove the object")


def _download(source: Prefix, missing: dict[RemotePhoto, Path]) -> None:
    """Bring objects into files, each whole or absent."""
    if not missing:
        return
    folder = next(iter(missing.values())).parent
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = sum(photo.size for photo in missing), shutil.disk_usage(folder).free
    if needed > free:
        raise TrainingError(
            f"the photos need {needed / 1e9:.1f} GB, and the disk of {folder} has {free / 1e9:.1f} GB free; set "
            "KENNEL_CACHE to a folder on another disk"
        )

    def download(photo: RemotePhoto) -> None:
        key = source.key + photo.name
        source.bucket.download(key, missing[photo], Object(key, photo.etag, photo.size))

    in_threads(download, missing, "Downloading", CONNECTIONS)


def _link(files: dict[str, Path], folder: Path) -> None:
    """Make a folder of the files under their names, whole or absent."""
    with workspace(folder) as made:
        for name, path in files.items():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, made / name)
            except PermissionError:  # a file system without hard links
                shutil.copyfile(path, made / name)
        shutil.rmtree(folder, ignore_errors=True)  # of which something was lost
        made.rename(folder)


def _advice(bucket: str, prefix: str) -> dict[str, str]:
    """Return what to say of S3's codes."""
    denied = (
        f"access denied; the credentials need s3:ListBucket on arn:aws:s3:::{bucket} and s3:GetObject on "
        f"arn:aws:s3:::{bucket}/{prefix}*, and kms:Decrypt if a customer managed key encrypts the bucket"
    )
    changed = "the objects changed while they were downloaded; try again"
    refused = ("ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch")
    return {
        "NoSuchBucket": f"there is no bucket {bucket}; `aws s3 ls` lists yours",
        **dict.fromkeys(("AccessDenied", "403"), denied),
        **{code: f"AWS rejects the credentials ({code}); sign in again" for code in refused},
        **dict.fromkeys(("NoSuchKey", "PreconditionFailed", "412"), changed),
    }


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except (FileNotFoundError, NotADirectoryError):
        return False


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
