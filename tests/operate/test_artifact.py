"""A rollback needs one address; the manifest beside it has to belong to the artifact."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from operate.artifact import Address, context_of, found_manifest
from operate.errors import OperateError
from tests.operate.fakes import ID, REGION, FakeS3, account

ARCHIVE = b"the bytes of a model"
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()
PLACE = Address("photos", f"models/{SHA256}.tar.gz")
ASSET = Address(f"cdk-hnb659fds-assets-{ID}-{REGION}", f"{SHA256}.tar.gz")


def manifest(**artifact: Any) -> bytes:
    fields = {"location": "model.tar.gz", "sha256": SHA256, "size": len(ARCHIVE), **artifact}
    return json.dumps({"schema": 1, "artifact": fields}).encode()


def bucket(beside: bytes | None = None, archive: bytes | None = ARCHIVE, place: Address = PLACE) -> dict[Any, bytes]:
    found = {(place.bucket, place.key): archive, (place.bucket, place.manifest): beside}
    return {key: data for key, data in found.items() if data is not None}


def test_the_manifest_lies_beside_the_artifact() -> None:
    assert PLACE.manifest == f"models/{SHA256}.json"
    assert found_manifest(account(s3=FakeS3(bucket(manifest()))), PLACE, None)["artifact"]["sha256"] == SHA256


def test_an_artifact_without_one_takes_a_given_manifest(tmp_path: Path) -> None:
    s3 = FakeS3(bucket())
    with pytest.raises(OperateError, match=r"has no manifest beside it .*; pass .* \(make: MANIFEST=FILE\)"):
        found_manifest(account(s3=s3), PLACE, None)
    (tmp_path / "model.json").write_bytes(manifest())
    assert found_manifest(account(s3=s3), PLACE, tmp_path / "model.json")["artifact"]["sha256"] == SHA256


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("given", [True, False])
def test_a_pair_that_does_not_belong_together_is_refused(hashed: bool, given: bool, tmp_path: Path) -> None:
    other = manifest(sha256=hashlib.sha256(b"another").hexdigest())
    (tmp_path / "model.json").write_bytes(other)
    s3 = FakeS3(bucket(manifest() if given else other), hashed=hashed)
    with pytest.raises(OperateError, match=r"but its manifest is that of an artifact with .*; pass the manifest"):
        found_manifest(account(s3=s3), PLACE, tmp_path / "model.json" if given else None)
    assert (PLACE.key in s3.read) is not hashed, "S3's own checksum makes a download needless"


def test_an_artifact_of_another_size_is_refused_without_a_download() -> None:
    s3 = FakeS3(bucket(manifest(size=7)))
    with pytest.raises(OperateError, match="20 bytes, but its manifest is that of an artifact with 7 bytes"):
        found_manifest(account(s3=s3), PLACE, None)
    assert PLACE.key not in s3.read


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", manifest(sha256="x"), manifest(size="many")])
def test_what_is_no_manifest_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(OperateError, match="not a manifest of an artifact; pass"):
        found_manifest(account(s3=FakeS3(bucket(data))), PLACE, None)


def test_an_address_without_an_artifact_is_refused() -> None:
    with pytest.raises(OperateError, match="the artifact does not exist"):
        found_manifest(account(s3=FakeS3(bucket(manifest(), archive=None))), PLACE, None)


@pytest.mark.parametrize(
    "address", ["", "none", "s3://bucket", "s3://bucket/model.zip", "s3://b/m.tar.gz", "/m.tar.gz"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(OperateError, match=r"use s3://BUCKET/KEY\.tar\.gz"):
        Address.parse(address)


def test_the_stacks_get_the_address_and_its_manifest(tmp_path: Path) -> None:
    context = context_of(account(s3=FakeS3(bucket())), PLACE, tmp_path, json.loads(manifest()))
    assert context == {"model": str(PLACE), "manifest": str(tmp_path / "model.json")}
    assert json.loads((tmp_path / "model.json").read_text())["artifact"]["location"] == str(PLACE)


def test_what_the_cdk_uploaded_is_an_asset_again(tmp_path: Path) -> None:
    s3 = FakeS3(bucket(place=ASSET))
    context = context_of(account(s3=s3), ASSET, tmp_path, json.loads(manifest(location="s3://old/place.tar.gz")))
    assert context == {"manifest": str(tmp_path / "model.json")}
    assert (tmp_path / "model.tar.gz").read_bytes() == ARCHIVE
    assert json.loads((tmp_path / "model.json").read_text())["artifact"]["location"] == "model.tar.gz"
