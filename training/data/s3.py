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
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)

from training.common.console import say, track
from training.common.errors import TrainingError
from training.common.files import alone, cache_folder, workspace
from training.data.hints import Prefix, of_empty_split, of_missing_split, of_root
from training.data.layout import barren
from training.data.names import SPLITS, hidden, litter, named_as_photo

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?", re.DOTALL)
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"""

SIDE_BY_SIDE = 16
"""Downloads. A photo is over before one connection is at full speed."""

ATTEMPTS = 3
"""At an object whose transfer breaks off; botocore itself repeats what breaks before that."""

UNUSED = 30 * 86400


@dataclass(frozen=True)
class Object:
    """A photo in S3.

    Parameters
    ----------
    name
        Its key below the prefix, such as ``train/cat/1.jpg``.
    etag
        Changes with every change of the content
        (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html).
    size
        Bytes.
    """

    name: str
    etag: str
    size: int


def fetch(address: str, splits: Sequence[str] | None = SPLITS) -> Path:
    """Download the photos of ``train/``, ``valid/`` and ``test/`` below a prefix, unless they are here.

    Parameters
    ----------
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
    match = ADDRESS.fullmatch(address)
    if not match:
        raise TrainingError(f"{address} is not the address of photos in S3, such as s3://BUCKET/PREFIX")
    bucket, prefix = match["bucket"], (match["prefix"] or "").strip("/")
    prefix = f"{prefix}/" if prefix else ""
    root = cache_folder() / "s3" / bucket / _short_hash(prefix)
    with _explained(bucket, prefix):
        client = boto3.Session().client(
            "s3", config=Config(connect_timeout=10, max_pool_connections=SIDE_BY_SIDE, retries={"mode": "standard"})
        )
        with alone(root):
            folder, new = _mirror(client, bucket, prefix, root, splits)
    if new:
        _forget_unused(cache_folder() / "s3")
    return folder


def _mirror(
    client: "S3Client", bucket: str, prefix: str, root: Path, splits: Sequence[str] | None
) -> tuple[Path, bool]:
    """Return the folder of the prefix as it is now, and whether it had to be made."""
    objects, others = _list(client, bucket, prefix, splits)
    folder = root / _short_hash(json.dumps([astuple(each) for each in objects]))
    kept = {each: root / "objects" / _short_hash(json.dumps(astuple(each))) for each in objects}
    new = not all(_has_size(folder / each.name, each.size) for each in objects)
    missing = []
    if new:
        missing = [each for each in objects if not _has_size(kept[each], each.size)]
        _download(client, bucket, prefix, {each: kept[each] for each in missing})
        _link({each.name: path for each, path in kept.items()}, folder)
    os.utime(folder)  # it is in use
    say(
        "Photos",
        f"{len(objects)} from s3://{bucket}/{prefix} ({len(missing)} downloaded now) in {folder}"
        + (f"; {others} objects that are no JPEG, PNG or WebP file by their names are left there" if others else ""),
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
            for each in (lock.parent / "objects").iterdir():
                about = each.stat()
                if about.st_nlink == 1 and about.st_mtime < limit:  # no state has it
                    each.unlink()


def _list(client: "S3Client", bucket: str, prefix: str, splits: Sequence[str] | None) -> tuple[list[Object], int]:
    """Return what may be photos below a prefix, and the number of other objects.

    A listing has no bytes: an object is taken by the ending of its name, or if it has none. What it is then is told by
    its content, as it is of files.

    Raises
    ------
    TrainingError
        A split has no such objects, a class has others only, or a name is none for a file.
    """
    objects: list[Object] = []
    others: dict[str, list[str]] = {}
    pages = client.get_paginator("list_objects_v2")
    depth = 1 if splits is None else 2  # of a class's folder
    for split in [""] if splits is None else splits:
        place = f"{prefix}{split}/" if split else prefix
        before = len(objects)
        for page in pages.paginate(Bucket=bucket, Prefix=place):
            for each in page.get("Contents", []):
                name = each["Key"].removeprefix(prefix)
                if _may_be_photo(name):
                    objects.append(Object(name, each["ETag"].strip('"'), each["Size"]))
                elif not (
                    name.endswith("/") or litter(PurePosixPath(name).name)
                ):  # the console's "folders" are objects
                    others.setdefault(_class_of(name, depth), []).append(name)
        if len(objects) == before:
            hint = _hint(Prefix(client, bucket, prefix), split)
            raise TrainingError(
                f"there are no photos under s3://{bucket}/{place}: "
                + (hint or "JPEG, PNG and WebP files in a folder for each class count")
            )
    _refuse_odd(bucket, prefix, [each.name for each in objects])
    having = {_class_of(each.name, depth) for each in objects}
    for folder, names in others.items():
        if folder and folder not in having and any(not hidden(PurePosixPath(name).name) for name in names):
            raise TrainingError(barren(f"s3://{bucket}/{prefix}{folder}/", names).text)
    return objects, sum(len(names) for names in others.values())


def _hint(root: Prefix, split: str) -> str:
    """Return what to do about a split without photos; empty if there is nothing to say."""
    folders = root.inside()[0]
    if split and split in folders:
        return of_empty_split(root.child(split))
    if not split:
        return of_empty_split(root)
    return of_missing_split(root, split) if set(SPLITS) & set(folders) else of_root(root)


def _may_be_photo(name: str) -> bool:
    last = PurePosixPath(name).name
    if name.endswith("/") or hidden(last):
        return False
    return named_as_photo(last) or not PurePosixPath(last).suffix


def _class_of(name: str, depth: int) -> str:
    """Return the folder of an object's class, such as ``train/cat`` at depth 2; "" for an object that is in none."""
    parts = PurePosixPath(name).parts
    return "/".join(parts[:depth]) if len(parts) > depth and not hidden(parts[depth - 1]) else ""


def _refuse_odd(bucket: str, prefix: str, names: list[str]) -> None:
    """Refuse a key that as a file would lie elsewhere, or below another key's."""
    files = set(names)
    for name in names:
        outside = any(part in ("", ".", "..") or "\0" in part for part in name.split("/"))
        if outside or any(folder.as_posix() in files for folder in PurePosixPath(name).parents):
            raise TrainingError(
                f"s3://{bucket}/{prefix}{name} cannot be a file of that name; rename or remove the object"
            )


def _download(client: "S3Client", bucket: str, prefix: str, missing: dict[Object, Path]) -> None:
    """Bring objects into files, each whole or absent."""
    if not missing:
        return
    folder = next(iter(missing.values())).parent
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = sum(each.size for each in missing), shutil.disk_usage(folder).free
    if needed > free:
        raise TrainingError(
            f"{folder} has {free / 1e9:.1f} GB left and the photos need {needed / 1e9:.1f} GB; set KENNEL_CACHE to a "
            "folder with more room"
        )

    def bring(each: Object) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _get(client, bucket, prefix, each, missing[each])
            except (HTTPClientError, IncompleteReadError):
                if attempt == ATTEMPTS:
                    raise
            else:
                return

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        try:
            for _ in track(pool.map(bring, missing), "Downloading", len(missing)):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _get(client: "S3Client", bucket: str, prefix: str, each: Object, path: Path) -> None:
    """Download one object; botocore holds it to the checksum that S3 keeps, ``IfMatch`` to what was listed."""
    partial = path.with_name(f"{path.name}.incomplete")
    try:
        answer = client.get_object(Bucket=bucket, Key=prefix + each.name, IfMatch=each.etag)
        with partial.open("wb") as file:
            for chunk in answer["Body"].iter_chunks(1 << 20):
                file.write(chunk)
        if not _has_size(partial, each.size):
            raise TrainingError(f"s3://{bucket}/{prefix}{each.name} came with another size than S3 listed; try again")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


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


@contextlib.contextmanager
def _explained(bucket: str, prefix: str) -> Iterator[None]:
    """Turn what AWS or the way there refuses into one line that says what to do."""
    at = f"s3://{bucket}/{prefix}"
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
        raise TrainingError(f"{at}: no usable AWS credentials; run `aws configure`, or set AWS_PROFILE") from error
    except ProfileNotFound as error:
        raise TrainingError(f"{error}; set AWS_PROFILE to one that `aws configure list-profiles` shows") from error
    except ClientError as error:
        raise TrainingError(f"{at}: {_advise(error, bucket, prefix)}") from error
    except BotoCoreError as error:
        raise TrainingError(f"{at}: {' '.join(str(error).split())}") from error


def _advise(error: ClientError, bucket: str, prefix: str) -> str:
    code = error.response["Error"].get("Code", "")
    if code == "NoSuchBucket":
        return f"there is no bucket {bucket}; `aws s3 ls` lists yours"
    if code in ("AccessDenied", "403"):
        return (
            f"access denied; the credentials need s3:ListBucket on arn:aws:s3:::{bucket} and s3:GetObject on "
            f"arn:aws:s3:::{bucket}/{prefix}*, and kms:Decrypt if a key of yours encrypts the bucket"
        )
    if code in ("ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
        return f"AWS does not take the credentials ({code}); sign in again"
    if code in ("NoSuchKey", "PreconditionFailed", "412"):
        return "the objects changed while they were downloaded; try again"
    return " ".join(str(error).split())


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except (FileNotFoundError, NotADirectoryError):
        return False


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
