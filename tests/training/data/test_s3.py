import fcntl
import io
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ResponseStreamingError
from botocore.response import StreamingBody

from tests.embedded import Aws, environment_of, free_port, run_local
from training.common.errors import TrainingError
from training.common.s3 import Bucket, Object
from training.data.s3 import fetch

Run = Callable[..., tuple[int, str, str]]
BUCKET = "photos-of-dogs"
ADDRESS = f"s3://{BUCKET}/data/dogs"


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    state = tmp_path_factory.mktemp("embedded") / "state"
    up = run_local("up", "--state", state, "--port", str(free_port()))
    assert up.returncode == 0, up.stdout + up.stderr
    try:
        aws = Aws(environment_of(state))
        aws.s3.create_bucket(Bucket=BUCKET)
        yield aws
    finally:
        run_local("down", "--state", state)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KENNEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bucket(embedded: Aws, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a client of a bucket with a few files, as the ambient credentials have it."""
    for name, value in embedded.environment.items():
        monkeypatch.setenv(name, value)
    for page in embedded.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for each in page.get("Contents", []):
            embedded.s3.delete_object(Bucket=BUCKET, Key=each["Key"])
    for split in ("train", "valid", "test"):
        for name in ("cat/1.jpg", "cat/2.jpg", "dog/a b+ü.png"):
            put(embedded.s3, f"{split}/{name}", f"{split} {name}")
    return embedded.s3


def put(client: Any, name: str, text: str) -> None:
    client.put_object(Bucket=BUCKET, Key=f"data/dogs/{name}", Body=text.encode())


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record which objects are downloaded."""
    seen: list[str] = []
    download = Bucket._download

    def record(bucket: Bucket, key: str, path: Path, listed: Object | None) -> None:
        seen.append(key.removeprefix("data/dogs/"))
        download(bucket, key, path, listed)

    monkeypatch.setattr(Bucket, "_download", record)
    return seen


def test_the_photos_of_a_prefix_are_brought_and_nothing_else(bucket: Any) -> None:
    put(bucket, "train/notes.txt", "no photo")
    put(bucket, "other/cat/1.jpg", "no split")
    bucket.put_object(Bucket=BUCKET, Key="data/dogs/train/cat/", Body=b"")
    bucket.put_object(Bucket=BUCKET, Key="data/dogs2/train/cat/9.jpg", Body=b"another data set")
    expected = {
        f"{split}/{name}": f"{split} {name}"
        for split in ("train", "valid", "test")
        for name in ("cat/1.jpg", "cat/2.jpg", "dog/a b+ü.png")
    }
    assert contents(fetch(ADDRESS)) == expected
    assert contents(fetch(f"{ADDRESS}/")) == expected


def test_objects_are_taken_by_their_endings_and_those_without_one_too(bucket: Any) -> None:
    taken = {f"train/cat/{name}" for name in ("3.JPG", "4.jfif", "5.jpe", "0d5f")}
    for name in (*taken, "train/cat/notes.txt", "train/cat/.DS_Store", "train/cat/._3.JPG", "train/cat/6.heic"):
        put(bucket, name, "x")
    there = contents(fetch(ADDRESS)).keys()
    assert taken <= there
    assert len(there) == 9 + len(taken)


def test_a_class_with_objects_and_no_photo_is_named(bucket: Any, downloads: list[str]) -> None:
    for split in ("train", "valid", "test"):
        put(bucket, f"{split}/bird/1.heic", "x")
    with pytest.raises(
        TrainingError, match=f"s3://{BUCKET}/data/dogs/train/bird/ has 1 file .* and no JPEG, PNG or WebP photo"
    ):
        fetch(ADDRESS)
    assert downloads == []


def test_classes_that_are_not_divided_are_brought_as_they_are(bucket: Any) -> None:
    there = contents(fetch(f"{ADDRESS}/train", None))
    assert there.keys() == {"cat/1.jpg", "cat/2.jpg", "dog/a b+ü.png"}
    put(bucket, "train/bird/1.heic", "x")
    with pytest.raises(
        TrainingError, match=f"s3://{BUCKET}/data/dogs/train/bird/ has 1 file .* and no JPEG, PNG or WebP photo"
    ):
        fetch(f"{ADDRESS}/train", None)


def test_a_test_split_that_is_not_asked_for_is_not_missed(bucket: Any) -> None:
    for name in ("cat/1.jpg", "cat/2.jpg", "dog/a b+ü.png"):
        bucket.delete_object(Bucket=BUCKET, Key=f"data/dogs/test/{name}")
    assert len(contents(fetch(ADDRESS, ("train", "valid")))) == 6


def test_photos_that_lie_otherwise_get_a_hint(bucket: Any, run: Run) -> None:
    for prefix, hint in {
        "data": f"they are one folder deeper; use --data s3://{BUCKET}/data/dogs",
        "data/dogs/train": f"it is the split train itself; use --data s3://{BUCKET}/data/dogs, which",
    }.items():
        status, _, errors = run("check", "--data", f"s3://{BUCKET}/{prefix}")
        assert (status, errors.count("\n")) == (2, 1)
        assert hint in errors


def test_only_what_is_new_or_changed_is_downloaded_and_what_is_gone_goes(bucket: Any, downloads: list[str]) -> None:
    before = fetch(ADDRESS)
    assert len(downloads) == 9
    assert fetch(ADDRESS) == before
    assert len(downloads) == 9
    put(bucket, "train/cat/1.jpg", "changed; no other size".ljust(len("train cat/1.jpg"))[: len("train cat/1.jpg")])
    put(bucket, "train/cat/3.jpg", "new")
    bucket.delete_object(Bucket=BUCKET, Key="data/dogs/train/cat/2.jpg")
    after = fetch(ADDRESS)
    assert sorted(downloads[9:]) == ["train/cat/1.jpg", "train/cat/3.jpg"]
    assert contents(after)["train/cat/1.jpg"] == "changed; no oth"
    assert "train/cat/2.jpg" not in contents(after)
    assert contents(before)["train/cat/1.jpg"] == "train cat/1.jpg", "a running training keeps its photos"


def test_a_photo_lost_from_the_cache_comes_back(bucket: Any, downloads: list[str]) -> None:
    folder = fetch(ADDRESS)
    expected = contents(folder)
    (folder / "train" / "cat" / "1.jpg").unlink()
    (folder / "train" / "cat" / "2.jpg").write_text("")  # a link: the object goes with it
    assert contents(fetch(ADDRESS)) == expected
    assert downloads[9:] == ["train/cat/2.jpg"]


def age(folder: Path, days: float) -> None:
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (time.time() - 86400 * days,) * 2)


def test_what_nobody_asked_for_in_a_month_goes_when_something_new_comes(
    bucket: Any, cache: Path, downloads: list[str]
) -> None:
    before = fetch(ADDRESS)
    old, new = f"{ADDRESS}/old", f"{ADDRESS}/new"
    for prefix in ("old", "new"):
        for split in ("train", "valid", "test"):
            put(bucket, f"{prefix}/{split}/cat/1.jpg", prefix)
    other = fetch(old)
    bucket.delete_object(Bucket=BUCKET, Key="data/dogs/train/cat/2.jpg")
    age(cache, 29)
    after = fetch(ADDRESS)
    assert before.exists(), "it is not old enough"
    age(cache, 31)
    downloads.clear()
    assert fetch(ADDRESS) == after
    assert before.exists(), "nothing new came"
    with (other.parent / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fetch(new)
    assert not before.exists()
    assert other.exists(), "another process works on it"
    assert len(contents(after)) == 8
    assert len(list((after.parent / "objects").iterdir())) == 8
    assert len(downloads) == 3
    bucket.delete_object(Bucket=BUCKET, Key="data/dogs/train/cat/1.jpg")
    fetch(ADDRESS)
    assert not other.exists()
    assert contents(other.parent).keys() == {"lock"}
    assert len(downloads) == 3


def test_an_interrupted_download_goes_on_where_it_was(
    bucket: Any, cache: Path, downloads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        download = Bucket._download

        def stop(bucket: Bucket, key: str, path: Path, listed: Object | None) -> None:
            if key.startswith("data/dogs/test"):
                raise KeyboardInterrupt
            download(bucket, key, path, listed)

        patch.setattr(Bucket, "_download", stop)
        with pytest.raises(KeyboardInterrupt):
            fetch(ADDRESS)
    assert not [path for path in cache.rglob("*") if path.name.endswith(".incomplete")]
    done = set(downloads)
    assert done
    assert len(contents(fetch(ADDRESS))) == 9
    assert not done & set(downloads[len(done) :])


def test_a_transfer_that_breaks_off_is_repeated_and_leaves_no_half(
    bucket: Any, monkeypatch: pytest.MonkeyPatch, downloads: list[str]
) -> None:
    chunks = StreamingBody.iter_chunks
    broken: list[int] = []

    def break_off(body: StreamingBody, size: int) -> Iterator[bytes]:
        if len(broken) < 2:
            broken.append(1)
            yield b"trai"
            raise ResponseStreamingError(error="reset by peer")
        yield from chunks(body, size)

    monkeypatch.setattr(StreamingBody, "iter_chunks", break_off)
    assert contents(fetch(ADDRESS))["train/cat/1.jpg"] == "train cat/1.jpg"
    assert len(downloads) == 11


def test_a_transfer_of_another_size_than_listed_is_refused(
    bucket: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StreamingBody, "iter_chunks", lambda *_: iter([b"short"]))
    with pytest.raises(TrainingError, match=r"has \d+ bytes, and S3 listed \d+; try again"):
        fetch(ADDRESS)
    assert {path.name for path in cache.rglob("*") if path.is_file()} == {"lock"}


def test_a_disk_without_room_is_told_before_anything_is_downloaded(
    bucket: Any, downloads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50))
    with pytest.raises(TrainingError, match="set KENNEL_CACHE to a folder on another disk"):
        fetch(ADDRESS)
    assert downloads == []


def test_an_object_that_changes_while_it_is_downloaded_is_refused(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    download = Bucket._download

    def change(source: Bucket, key: str, path: Path, listed: Object | None) -> None:
        name = key.removeprefix("data/dogs/")
        put(bucket, name, "changed " + name)
        download(source, key, path, listed)

    monkeypatch.setattr(Bucket, "_download", change)
    with pytest.raises(TrainingError, match="changed while they were downloaded; try again"):
        fetch(ADDRESS)


@pytest.mark.parametrize(
    "name",
    [
        "train/../../../../escaped.jpg",
        "train/cat//1.jpg",
        "train/./1.jpg",
        "train/cat/\0.jpg",
        "train//x/1.jpg",
        "train/cat/1.jpg/2.jpg",
    ],
)
def test_a_key_that_would_lie_elsewhere_as_a_file_is_refused(
    name: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ["data/dogs/train/cat/1.jpg", f"data/dogs/{name}"]
    listed = {"Contents": [{"Key": key, "ETag": '"1"', "Size": 1} for key in keys]}
    body = {"Body": StreamingBody(io.BytesIO(b"x"), 1)}

    class Client:
        def client(self, *_: object, **__: object) -> "Client":
            return self

        def get_paginator(self, _: str) -> Any:
            return self

        def paginate(self, **_: str) -> list[dict[str, Any]]:
            return [listed]

        def get_object(self, **_: str) -> dict[str, Any]:
            return body

    monkeypatch.setattr(boto3, "Session", Client)
    with pytest.raises(TrainingError, match=f"{re.escape(name)} cannot be saved as a file of that name"):
        fetch(ADDRESS)
    assert {path.name for path in cache.rglob("*") if path.is_file()} == {"lock"}


@pytest.mark.parametrize("address", ["s3://", "s3://A/b", "s3:///photos", "s3://a/b"])
def test_what_is_no_address_is_refused(address: str, run: Run) -> None:
    status, _, errors = run("check", "--data", address)
    assert status == 2
    assert re.fullmatch(r"kennel: .* is not an address in S3; use s3://BUCKET/PREFIX\n", errors)


def test_an_empty_prefix_is_named(bucket: Any, run: Run) -> None:
    status, _, errors = run("check", "--data", f"s3://{BUCKET}/data/cats")
    assert status == 2
    assert errors.startswith(f"kennel: s3://{BUCKET}/data/cats/train/ has no photos in class folders; put")


def test_a_missing_bucket_is_named(bucket: Any, run: Run) -> None:
    status, _, errors = run("check", "--data", "s3://nobodys-bucket/dogs")
    assert (status, errors.count("\n")) == (2, 1)
    assert "there is no bucket nobodys-bucket" in errors


def test_what_is_denied_names_the_permissions(
    bucket: Any, embedded: Aws, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    embedded.iam.create_user(UserName="stranger")
    key = embedded.iam.create_access_key(UserName="stranger")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    status, _, errors = run("check", "--data", ADDRESS)
    assert (status, errors.count("\n")) == (2, 1)
    assert f"s3:ListBucket on arn:aws:s3:::{BUCKET} and s3:GetObject on arn:aws:s3:::{BUCKET}/data/dogs/*" in errors


def test_without_credentials_it_says_how_to_have_them(cache: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(cache / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(cache / "none"))
    status, _, errors = run("check", "--data", ADDRESS)
    assert status == 2
    assert errors == f"kennel: {ADDRESS}/: no usable AWS credentials; run `aws configure`, or set AWS_PROFILE\n"


def test_without_a_network_it_is_one_line(bucket: Any, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, not listening
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        monkeypatch.setattr("training.common.aws._CONFIG", Config(retries={"total_max_attempts": 1}))
        status, _, errors = run("check", "--data", ADDRESS)
    assert (status, errors.count("\n")) == (2, 1)
    assert "Could not connect" in errors
