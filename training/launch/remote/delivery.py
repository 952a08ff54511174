"""From a machine that has trained into the bucket: the artifact under its hash, and its manifest."""

import json
from collections.abc import Sequence
from pathlib import Path

from training.common.aws import Aws
from training.common.files import sha256
from training.common.s3 import split


def deliver(aws: Aws, folder: Path, run: str, runs: str, models: str, besides: Sequence[str]) -> str:
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
    artifact = split(f"{models}{sha256(archive)}")
    bucket = aws.bucket(artifact.bucket)
    bucket.upload(archive, f"{artifact.key}.tar.gz")
    manifest["artifact"]["location"] = location = f"{artifact}.tar.gz"
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    bucket.write(f"{artifact.key}.json", text.encode())
    results = split(f"{runs}{run}/")
    bucket = aws.bucket(results.bucket)
    for name in (name for name in besides if (folder / name).is_file()):  # no report without a test split
        bucket.upload(folder / name, results.key + name)
    bucket.write(f"{results.key}model.json", text.encode())
    (folder / "model.json").write_text(text, encoding="utf-8")
    archive.unlink()
    print(f"Delivered   {location}", flush=True)  # noqa: T201
    return location
