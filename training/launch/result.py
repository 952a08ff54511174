"""A run's model, brought home: its manifest, with the artifact's address in S3."""

import json
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from training.console import say
from training.errors import TrainingError
from training.files import sync_folder
from training.launch import places
from training.launch.aws import Aws, code_of, explained
from training.launch.run import Run
from training.launch.site import Site
from training.launch.upload import exists, upload


def bring_home(aws: Aws, site: Site, run: Run, out: Path) -> Path:
    """Write ``model.json`` of a run that has completed, and return its path: what `cdk deploy` reads next.

    Raises
    ------
    TrainingError
        The run has left no model.
    """
    with explained():
        manifest = _manifest(aws, site, run.winner())
        if run.kind == "tuning":
            manifest = _promote(aws, site, manifest)
    out.mkdir(parents=True, exist_ok=True)
    target, partial = out / "model.json", out / ".model.json.incomplete"
    partial.write_text(_text(manifest), encoding="utf-8")
    partial.replace(target)
    sync_folder(out)
    say("Result", f"test accuracy {manifest['metrics']['test']['accuracy']:.4f}")
    say("Artifact", manifest["artifact"]["location"])
    say("", f"{target} names it: the next `make deploy ENVIRONMENT={site.environment}` serves it")
    return target


def _manifest(aws: Aws, site: Site, run: str) -> dict[str, Any]:
    try:
        body = aws.s3.get_object(Bucket=site.bucket, Key=places.manifest_key(run))["Body"].read()
    except ClientError as error:
        if code_of(error) == "NoSuchKey":
            raise TrainingError(f"{run} has left no manifest in {site.uri(places.RUNS)}{run}/") from None
        raise
    manifest: dict[str, Any] = json.loads(body)
    return manifest


def _promote(aws: Aws, site: Site, manifest: dict[str, Any]) -> dict[str, Any]:
    """Copy a trial's artifact to where finished ones are."""
    artifact = manifest["artifact"]
    bucket, source = places.split(artifact["location"])
    target = f"{places.MODELS}{artifact['sha256']}"
    if not exists(aws.s3, site.bucket, f"{target}.tar.gz"):
        aws.s3.copy_object(Bucket=site.bucket, Key=f"{target}.tar.gz", CopySource={"Bucket": bucket, "Key": source})
    promoted = manifest | {"artifact": artifact | {"location": site.uri(f"{target}.tar.gz")}}
    upload(aws.s3, site.bucket, f"{target}.json", _text(promoted).encode())
    return promoted


def _text(manifest: dict[str, Any]) -> str:
    return json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
