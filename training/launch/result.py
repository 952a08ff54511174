"""A run's model, brought home: its report, and its manifest with the artifact's address in S3."""

import json
from pathlib import Path

from botocore.exceptions import ClientError

from training.common.aws import Aws, code_of, explained
from training.common.console import say
from training.common.errors import TrainingError
from training.common.files import publish, workspace
from training.launch import places
from training.launch.run import Run
from training.launch.site import Site

MANIFEST, REPORT = "model.json", "report.html"


def bring_home(aws: Aws, site: Site, run: Run, out: Path) -> Path:
    """Write ``report.html`` and ``model.json`` of a run that has completed, and return the path of the latter.

    `./kennel cdk deploy` reads it next.

    Raises
    ------
    TrainingError
        The run has left no model.
    """
    target = out / MANIFEST
    with explained(), workspace(out.absolute() / run.name) as work:
        for name in (REPORT, MANIFEST):
            key = places.result_key(run.name, name)
            try:
                (work / name).write_bytes(aws.s3.get_object(Bucket=site.bucket, Key=key)["Body"].read())
            except ClientError as error:
                if code_of(error) == "NoSuchKey":
                    raise TrainingError(f"{run.name} has left no {name} in {site.uri(key)}") from None
                raise
        manifest = json.loads((work / MANIFEST).read_bytes())
        publish(work, out, [REPORT, MANIFEST])
    say("Result", f"test accuracy {manifest['metrics']['test']['accuracy']:.4f}; {out / REPORT} shows where it errs")
    say("Artifact", manifest["artifact"]["location"])
    say("", f"{target} names it: the next `make deploy ENVIRONMENT={site.environment}` serves it")
    return target
