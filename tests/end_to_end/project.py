"""The commands that a user runs, and what they leave behind, as the tests see them."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.embedded import KENNEL, ROOT, Aws

ENVIRONMENT = "local"
NAME = f"kennel-{ENVIRONMENT}"


def run(*command: Any, env: dict[str, str] | None = None, check: bool = True) -> str:
    """Run a command in the project's folder; return all it prints."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if check and done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))}\nended with {done.returncode}:\n{done.stdout}", pytrace=False)
    return done.stdout


@dataclass(frozen=True)
class Model:
    """A trained artifact, and the assembly that deploys it."""

    folder: Path
    assembly: Path

    @property
    def manifest(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "model.json").read_text()))

    @property
    def endpoint_template(self) -> dict[str, Any]:
        return dict(json.loads((self.assembly / f"KennelEndpoint-{ENVIRONMENT}.template.json").read_text()))

    @property
    def sha256(self) -> str:
        return str(self.manifest["artifact"]["sha256"])


def synthesised(
    folder: Path, assembly: Path | None = None, *, environment: str = ENVIRONMENT, project: Path = ROOT
) -> Model:
    """Synthesise the assembly that deploys the artifact of a folder."""
    assembly = assembly or folder / "cdk.out"
    context = ["-c", f"environment={environment}", "-c", f"manifest={folder / 'model.json'}"]
    run(project / KENNEL.name, "cdk", "synth", "--quiet", *context, "--output", assembly)
    return Model(folder, assembly)


@dataclass
class Deployment(Aws):
    """Kennel on an embedded AWS: the CDK's command line against it, and the function's answers."""

    settings: str = ENVIRONMENT

    @property
    def name(self) -> str:
        """The name of endpoint and function."""
        return f"kennel-{self.settings}"

    def stack(self, noun: str) -> str:
        return f"Kennel{noun}-{self.settings}"

    def cdk(self, *arguments: Any, check: bool = True) -> str:
        return run(KENNEL, "cdk", *arguments, "--no-color", "--ci", env=self.environment, check=check)

    def roll_out(self, model: Model, *stacks: str, check: bool = True) -> str:
        which = stacks or ("--all",)
        return self.cdk("deploy", *which, "--app", model.assembly, "--require-approval", "never", check=check)

    def update(self, template: dict[str, Any]) -> str:
        """Update the endpoint's stack, to an artifact that the bucket has; return the status at the end."""
        return self.deploy(self.stack("Endpoint"), template)

    def update_without_the_right_to_read(self, model: Model) -> str:
        """Do that with a role that may not read the artifact."""
        template = model.endpoint_template
        policies = [item for item in template["Resources"].values() if item["Type"] == "AWS::IAM::Policy"]
        documents = [policy["Properties"]["PolicyDocument"] for policy in policies]
        (document,) = [d for d in documents if any(s["Sid"] == "ReadArtifact" for s in d["Statement"])]
        document["Statement"] = [s for s in document["Statement"] if s["Sid"] != "ReadArtifact"]
        return self.update(template)

    def status(self, noun: str) -> str:
        stacks = self.cloudformation.describe_stacks(StackName=self.stack(noun))["Stacks"]
        return str(stacks[0]["StackStatus"])

    def resource(self, noun: str, kind: str) -> str:
        """Return the physical id of a stack's only resource of a type."""
        listed = self.cloudformation.list_stack_resources(StackName=self.stack(noun))
        (found,) = [r for r in listed["StackResourceSummaries"] if r["ResourceType"] == kind]
        return str(found["PhysicalResourceId"])

    def predict(self, event: dict[str, Any], qualifier: str = "live") -> dict[str, Any]:
        """Send an event through the function; return its answer with the body parsed."""
        client = getattr(self, "lambda")
        reply = client.invoke(FunctionName=self.name, Qualifier=qualifier, Payload=json.dumps(event))
        answer = json.loads(reply["Payload"].read())
        assert "FunctionError" not in reply, answer
        return {**answer, "body": json.loads(answer["body"])}

    def ask_endpoint(self, photo: Path, endpoint: str = "") -> dict[str, Any]:
        reply = self.sagemaker_runtime.invoke_endpoint(
            EndpointName=endpoint or self.name, Body=photo.read_bytes(), ContentType="image/png"
        )
        return dict(json.loads(reply["Body"].read()))

    def log(self, group: str) -> str:
        events = self.logs.filter_log_events(logGroupName=group)["events"]
        return "\n".join(item["message"] for item in events)


def processes_under(folder: Path) -> dict[int, str]:
    """Return the command line of each process that works under a folder or names it."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            inside = (process / "cwd").resolve().is_relative_to(folder)
        except OSError:
            continue
        if inside or str(folder) in command:
            found[int(process.name)] = command
    return found


def model_servers(aws: Aws) -> list[int]:
    """Return the ids of an embedded AWS's model servers."""
    state = Path(aws.environment["AWS_CA_BUNDLE"]).parent
    return [pid for pid, command in processes_under(state).items() if "server.py" in command]
