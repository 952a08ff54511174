"""Artifacts in S3, and the manifest that lies beside each: ``KEY.tar.gz`` and ``KEY.json``."""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from operate.account import Account, code_of, if_there
from operate.console import say
from operate.errors import OperateError

SUFFIX = ".tar.gz"
ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>\S+\.tar\.gz)")
LARGEST_MANIFEST = 16_000_000
"""Bytes. A manifest has a few thousand; another file of that name is not read into memory."""

MANIFEST_ADVICE = "pass the manifest that training wrote with the artifact: --manifest FILE (make: MANIFEST=FILE)"

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Address:
    """Where an artifact is in S3."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read ``s3://BUCKET/KEY.tar.gz``.

        Raises
        ------
        OperateError
            The text has another form.
        """
        match = ADDRESS.fullmatch(text)
        if match is None:
            raise OperateError(f"--model {text}: not an artifact's address: use s3://BUCKET/KEY.tar.gz")
        return cls(match["bucket"], match["key"])

    @property
    def manifest(self) -> str:
        """The key of the manifest beside it."""
        return f"{self.key.removesuffix(SUFFIX)}.json"

    def is_asset(self, account: Account) -> bool:
        """Return whether the CDK uploaded it: then it is in the bootstrap's bucket, under its hash."""
        name = rf"cdk-[a-z0-9]+-assets-{account.id}-{account.region}"
        return re.fullmatch(name, self.bucket) is not None

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def read_manifest(file: Path) -> Manifest:
    """Read a manifest on disk.

    Raises
    ------
    OperateError
        The file cannot be read, or is not a manifest.
    """
    try:
        return _parsed(file.read_bytes(), str(file))
    except OSError as error:
        raise OperateError(f"{file}: the manifest cannot be read: {error.strerror}") from None


def manifest_beside(account: Account, address: Address) -> Manifest | None:
    """Download the manifest beside an artifact; return None if there is none, or the caller may not read it.

    Raises
    ------
    OperateError
        The file beside the artifact is not a manifest.
    """
    where = f"s3://{address.bucket}/{address.manifest}"
    # Without the right to list the bucket, S3 answers 403 for a key that is not there (API reference, GetObject).
    with if_there("NoSuchKey", "404", "AccessDenied", "403"):
        answer = account.s3.get_object(Bucket=address.bucket, Key=address.manifest)
        if answer["ContentLength"] > LARGEST_MANIFEST:
            raise OperateError(
                f"{where}: {answer['ContentLength']:,} bytes is too large for a manifest (limit {LARGEST_MANIFEST:,} "
                f"bytes); {MANIFEST_ADVICE}"
            )
        return _parsed(answer["Body"].read(), where)
    return None


def _parsed(data: bytes, where: str) -> Manifest:
    try:
        manifest = json.loads(data)
        file = manifest["artifact"]
        if not (re.fullmatch("[0-9a-f]{64}", file["sha256"]) and int(file["size"]) > 0):
            raise ValueError
    except (ValueError, LookupError, TypeError, RecursionError):
        raise OperateError(f"{where}: not a manifest of an artifact; {MANIFEST_ADVICE}") from None
    return dict(manifest)


def prove_pair(account: Account, address: Address, manifest: Manifest) -> None:
    """Prove that a manifest is of the artifact at an address.

    S3's own SHA-256 is enough where the object has one of the whole; otherwise the artifact is downloaded and hashed.

    Raises
    ------
    OperateError
        They do not belong together, or there is no artifact.
    """
    expected = str(manifest["artifact"]["sha256"])
    try:
        head = account.s3.head_object(Bucket=address.bucket, Key=address.key, ChecksumMode="ENABLED")
    except ClientError as error:
        if code_of(error) in ("404", "NoSuchKey", "NoSuchBucket"):
            raise OperateError(f"{address}: the artifact does not exist; check the address") from None
        if code_of(error) in ("403", "AccessDenied"):
            raise OperateError(
                f"{address}: the artifact does not exist, or your credentials cannot read it; check both"
            ) from None
        raise
    size = int(manifest["artifact"]["size"])
    if head["ContentLength"] != size:
        raise OperateError(
            f"{address}: the artifact has {head['ContentLength']:,} bytes, but its manifest is that of an artifact "
            f"with {size:,} bytes; {MANIFEST_ADVICE}"
        )
    stored = head.get("ChecksumSHA256", "")
    # A checksum of checksums of parts ends in the number of parts (S3 guide, "Checking object integrity").
    if stored and "-" not in stored and head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT":
        found = base64.b64decode(stored).hex()
    else:
        say(f"Checking    {address} ({size / 1e6:.1f} MB)")
        digest = hashlib.sha256()
        for chunk in account.s3.get_object(Bucket=address.bucket, Key=address.key)["Body"].iter_chunks(1 << 20):
            digest.update(chunk)
        found = digest.hexdigest()
    if found != expected:
        raise OperateError(
            f"{address}: the artifact has sha256 {found[:12]}..., but its manifest is that of an artifact with "
            f"{expected[:12]}...; {MANIFEST_ADVICE}"
        )


def context_of(
    account: Account, address: Address, folder: Path, manifest: Manifest, *, asset: bool | None = None
) -> dict[str, str]:
    """Return the context with which the stacks get an artifact that is in S3 already.

    One that the CDK uploaded is downloaded, so that the stacks declare it as the asset that it was and the template is
    the same; any other keeps its address.

    Parameters
    ----------
    account, address, manifest
        The artifact and its manifest, which `prove_pair` found to belong together.
    folder
        Where the files go that the context names. It must exist until the deployment has ended.
    asset
        Whether the CDK uploaded it; by default its bucket says so.
    """
    file = folder / "model.json"
    if address.is_asset(account) if asset is None else asset:
        say(f"Downloading {address}")
        account.s3.download_file(address.bucket, address.key, str(folder / "model.tar.gz"))
        manifest = {**manifest, "artifact": {**manifest["artifact"], "location": "model.tar.gz"}}
        context = {"manifest": str(file)}
    else:
        manifest = {**manifest, "artifact": {**manifest["artifact"], "location": str(address)}}
        context = {"manifest": str(file), "model": str(address)}
    file.write_text(json.dumps(manifest), encoding="utf-8")
    return context


def found_manifest(account: Account, address: Address, given: Path | None) -> Manifest:
    """Return an artifact's manifest: the given one, or the one beside it; and prove that they belong together.

    Parameters
    ----------
    account, address
        The artifact, and where it is.
    given
        A manifest on disk; None for the one beside the artifact.

    Raises
    ------
    OperateError
        There is no manifest, or it is that of another artifact.
    """
    manifest = read_manifest(given) if given is not None else manifest_beside(account, address)
    if manifest is None:
        raise OperateError(
            f"{address}: the artifact has no manifest beside it (s3://{address.bucket}/{address.manifest}); "
            f"{MANIFEST_ADVICE}"
        )
    prove_pair(account, address, manifest)
    return manifest
