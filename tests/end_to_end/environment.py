"""One environment, deployed from a copy of the project whose settings and code a test may change."""

import contextlib
import dataclasses
import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

from tests.embedded import KENNEL, ROOT
from tests.end_to_end.project import Deployment, Model, run, synthesised

NOUNS = ("Storage", "Training", "Endpoint", "Api", "Monitoring")


def copied_project(folder: Path) -> Path:
    """Fill a folder with copies of what tests change and links to the rest of the project."""
    for path in ROOT.iterdir():
        if path.name in ("settings", "lambda_src"):
            shutil.copytree(path, folder / path.name)
        elif path.name == "kennel":  # a link would work in the folder that it leads to
            shutil.copy(path, folder)
        elif not path.name.startswith(("cdk.out", ".git")):
            (folder / path.name).symlink_to(path)
    return folder


@dataclasses.dataclass
class Environment:
    """An environment's deployment, the project it comes from, and the model it was last given."""

    aws: Deployment
    project: Path
    model: Model

    @property
    def settings(self) -> dict[str, Any]:
        return tomllib.loads(self._file.read_text())

    @property
    def _file(self) -> Path:
        return self.project / "settings" / f"{self.aws.settings}.toml"

    def section(self, table: str) -> dict[str, Any]:
        """Return a table of the settings."""
        found = self.settings
        for part in table.split("."):
            found = found[part]
        return found

    def change(self, table: str, key: str, value: int | bool) -> None:
        """Write another value of a key that is in a table of the settings file."""
        lines = self._file.read_text().splitlines()
        start = [line.split("#")[0].strip() for line in lines].index(f"[{table}]")
        index = next(i for i in range(start, len(lines)) if lines[i].startswith(f"{key} = "))
        lines[index] = f"{key} = {json.dumps(value)}"
        self._file.write_text("\n".join(lines) + "\n")

    def add(self, table: str, key: str, by: int) -> None:
        """Add to a number of the settings."""
        self.change(table, key, self.section(table)[key] + by)

    def change_code(self) -> None:
        """Change what the function consists of, and nothing that it does."""
        with (self.project / "lambda_src" / "predict" / "handler.py").open("a") as handler:
            handler.write('\nCHANGED = "by a test"\n')

    def roll_out(self, model: Model) -> None:
        self.model = synthesised(
            model.folder,
            self.project / f"cdk.out.{model.sha256[:8]}",
            environment=self.aws.settings,
            project=self.project,
        )
        self.aws.roll_out(self.model)

    def remaining(self) -> list[str]:
        """Return the environment's stacks that are there."""
        names = [str(stack["StackName"]) for stack in self.aws.cloudformation.describe_stacks()["Stacks"]]
        return [name for name in names if name.endswith(f"-{self.aws.settings}")]

    def endpoint(self) -> dict[str, Any]:
        """Describe the endpoint and what scales it."""
        aws = self.aws
        endpoint = aws.sagemaker.describe_endpoint(EndpointName=aws.name)
        config = aws.sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
        (variant,) = config["ProductionVariants"]
        model = aws.sagemaker.describe_model(ModelName=variant["ModelName"])
        resource = f"endpoint/{aws.name}/variant/{variant['VariantName']}"
        scaling = aws.application_autoscaling
        listed = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[resource])
        (target,) = listed["ScalableTargets"]
        listed = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=resource)
        (policy,) = listed["ScalingPolicies"]
        return {
            "arn": endpoint["EndpointArn"],
            "created": endpoint["CreationTime"],
            "config": config["EndpointConfigName"],
            "status": endpoint["EndpointStatus"],
            "deployment": endpoint.get("LastDeploymentConfig"),
            "capture": config.get("DataCaptureConfig"),
            "model": variant.pop("ModelName"),
            "variant": variant,
            "role": model["ExecutionRoleArn"],
            "isolated": model["EnableNetworkIsolation"],
            "artifact": model["PrimaryContainer"]["Environment"]["MODEL_ARTIFACT_SHA256"],
            "bounds": (target["MinCapacity"], target["MaxCapacity"]),
            "tracking": policy["TargetTrackingScalingPolicyConfiguration"],
        }

    def function(self) -> dict[str, Any]:
        """Describe the function that the alias ``live`` points to, and its concurrency."""
        functions, name = self.aws.make("lambda"), self.aws.name
        function = functions.get_function_configuration(FunctionName=name, Qualifier="live")
        provisioned = None
        with contextlib.suppress(functions.exceptions.ProvisionedConcurrencyConfigNotFoundException):
            provisioned = functions.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live")
        return {
            "function version": functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"],
            "code": function["CodeSha256"],
            "memory": function["MemorySize"],
            "timeout": function["Timeout"],
            "variables": function["Environment"]["Variables"],
            "reserved": functions.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions"),
            "provisioned": provisioned and provisioned["RequestedProvisionedConcurrentExecutions"],
        }


def operate(environment: Environment, command: str, *options: Any, check: bool = True) -> str:
    """Run a command that changes an environment, in its project, and answer its questions with yes."""
    words = [command, "--environment", environment.aws.settings, "--yes", *options]
    return run(environment.project / KENNEL.name, *words, env=environment.aws.environment, check=check)
