"""Templates without what changes with every edit of a file that is uploaded: its hash, and the ids made of it.

    python -m tests.stacks.normalised FOLDER

writes the templates of every settings file into a folder, so that ``diff -r`` of two checkouts' folders shows what a
change of the code means for CloudFormation. The model is a stand-in, the same in every checkout.
"""

import hashlib
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import aws_cdk as cdk

import app as kennel_app
from tests.stacks.environments import CONTEXT, EVERY, ROOT, make_project, working_directory

REPLACED = (
    (r"[0-9a-f]{64}", "<sha256>"),
    (r"(FunctionCurrentVersion)[0-9A-F]{8}[0-9a-f]{32}", r"\1<hash>"),
    (r'("Handler": )"[a-z.]+"', r'\1"<handler>"'),
)
"""SHA-256 digests, which name assets and artifacts; the logical id of a function's version; where its code begins."""


def normalised(template: dict[str, Any]) -> Any:
    """Return a template with a word in place of each thing in ``REPLACED``."""
    text = json.dumps(template)
    for pattern, word in REPLACED:
        text = re.sub(pattern, word, text)
    return json.loads(text)


def main(folder: Path) -> None:
    """Write the normalised templates of every settings file."""
    content = b"a model"
    with tempfile.TemporaryDirectory() as temporary:
        project = make_project(Path(temporary))
        for build in (project / "build", project / "build" / "next"):
            build.mkdir(exist_ok=True)
            (build / "model.tar.gz").write_bytes(content)
            artifact = {"location": "model.tar.gz", "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            manifest = {"schema": 1, "artifact": artifact, "metrics": {"test": {"accuracy": 0.98}}}
            (build / "model.json").write_text(json.dumps(manifest))
        context = json.loads((ROOT / "cdk.json").read_text())["context"]
        for environment in EVERY:
            with working_directory(project), tempfile.TemporaryDirectory() as out:
                about = {"environment": environment, "manifest": str(project / "build" / "model.json")}
                synth = cdk.App(outdir=out, context={**context, **about, **CONTEXT.get(environment, {})})
                kennel_app.build(synth)
                for stack in synth.synth().stacks:
                    text = json.dumps(normalised(json.loads(Path(stack.template_full_path).read_text())), indent=1)
                    (folder / f"{stack.stack_name}.json").write_text(text + "\n")


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True)
    main(Path(sys.argv[1]).absolute())
