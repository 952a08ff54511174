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


def bring_home(aws: Aws, site: Site, run: Run, out: Path) -> Path:
    """Write ``model.json`` of a run that has completed, and return its path: what `cdk deploy` reads next.

    Raises
    ------
    TrainingError
        The run has left no model.
    """
    with explained():
        manifest = _manifest(aws, site, run.name)
    out.mkdir(parents=True, exist_ok=True)
    target, partial = out / "model.json", out / ".model.json.incomplete"
    partial.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
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
