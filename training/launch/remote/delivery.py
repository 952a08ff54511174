"""From a machine that has trained into the bucket: the artifact under its hash, and its manifest."""

import json
from collections.abc import Sequence
from pathlib import Path

import boto3

from training.common.files import sha256
from training.launch.places import split


def deliver(folder: Path, run: str, runs: str, models: str, besides: Sequence[str]) -> str:
    """Put what serves into the bucket, the manifest last; return the artifact's address.

    The archive is then taken away from the folder: SageMaker packs what is left of it (weights, manifest, report) into
    an archive of its own, and one inside the other would serve nobody.

    Parameters
    ----------
    folder
        What ``fit`` wrote.
    runs, models
        Prefixes: of the manifests by the runs' names, and of the artifacts by their hashes.
    besides
        Further files of the folder, which go where the manifest does.
    """
    archive = folder / "model.tar.gz"
    manifest = json.loads((folder / "model.json").read_bytes())
    digest = sha256(archive)
    bucket, prefix = split(models)
    s3 = boto3.client("s3")
    s3.upload_file(str(archive), bucket, f"{prefix}{digest}.tar.gz")
    location = f"s3://{bucket}/{prefix}{digest}.tar.gz"
    manifest["artifact"]["location"] = location
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    s3.put_object(Bucket=bucket, Key=f"{prefix}{digest}.json", Body=text.encode())
    bucket, prefix = split(runs)
    for name in (each for each in besides if (folder / each).is_file()):  # no report without a test split
        s3.upload_file(str(folder / name), bucket, f"{prefix}{run}/{name}")
    s3.put_object(Bucket=bucket, Key=f"{prefix}{run}/model.json", Body=text.encode())
    (folder / "model.json").write_text(text, encoding="utf-8")
    archive.unlink()
    print(f"Delivered   {location}", flush=True)  # noqa: T201
    return location
