"""An account in memory, as far as `operate` asks about it."""

import base64
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from operate.account import Account
from operate.environment import Environment

ID, REGION = "123456789012", "eu-central-1"
DEV = Environment("dev", "settings/dev.toml", {"account": {"termination_protection": False}, "endpoint": {}})
ARN = f"arn:aws:sagemaker:{REGION}:{ID}"


def error(code: str, text: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": text}}, "Operation")


class Paginated:
    """What a client's method answers, as one page."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def get_paginator(self, name: str) -> Any:
        method = getattr(self.client, name)

        class Paginator:
            def paginate(self, PaginationConfig: object = None, **arguments: Any) -> list[Any]:  # noqa: N803
                return [method(**arguments)]

        return Paginator()


class FakeS3(Paginated):
    """Objects by bucket and key; ``hashed`` are those with a checksum of the whole."""

    def __init__(self, objects: dict[tuple[str, str], bytes], *, hashed: bool = False) -> None:
        super().__init__(self)
        self.objects, self.hashed, self.read = objects, hashed, list[str]()

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        if (Bucket, Key) not in self.objects:
            raise error("NoSuchKey")
        self.read.append(Key)
        data = self.objects[Bucket, Key]
        return {"Body": Body(data), "ContentLength": len(data)}

    def head_object(self, Bucket: str, Key: str, ChecksumMode: str = "") -> dict[str, Any]:  # noqa: N803
        if (Bucket, Key) not in self.objects:
            raise error("404")
        data = self.objects[Bucket, Key]
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        checksum = {"ChecksumSHA256": digest, "ChecksumType": "FULL_OBJECT"} if self.hashed else {}
        return {"ContentLength": len(data), **checksum}

    def download_file(self, bucket: str, key: str, file: str) -> None:
        Path(file).write_bytes(self.objects[bucket, key])


class Body(io.BytesIO):
    def iter_chunks(self, size: int) -> list[bytes]:
        return [self.getvalue()]


class FakeSageMaker(Paginated):
    """Endpoints, configurations and models, and what was deleted of them."""

    def __init__(self) -> None:
        super().__init__(self)
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.configs: dict[str, list[dict[str, Any]]] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.deleted: list[str] = []

    def serve(self, endpoint: str, config: str, model: str, sha256: str, address: str) -> None:
        self.endpoints[endpoint] = {"EndpointStatus": "InService", "EndpointConfigName": config}
        variant = {"VariantName": "AllTraffic", "ModelName": model, "InstanceType": "ml.c7i.large"}
        self.configs[config] = [variant]
        container = {"ModelDataUrl": address, "Environment": {"MODEL_ARTIFACT_SHA256": sha256}}
        self.models[model] = {"PrimaryContainer": container}

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:  # noqa: N803
        return dict(_found(self.endpoints, EndpointName, "endpoint"))

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:  # noqa: N803
        return {"ProductionVariants": _found(self.configs, EndpointConfigName, "endpoint configuration")}

    def describe_model(self, ModelName: str) -> dict[str, Any]:  # noqa: N803
        return dict(_found(self.models, ModelName, "model"))

    def list_endpoints(self) -> dict[str, Any]:
        return {"Endpoints": [{"EndpointName": name} for name in self.endpoints]}

    def list_models(self) -> dict[str, Any]:
        return {"Models": [{"ModelName": name, "ModelArn": f"{ARN}:model/{name.lower()}"} for name in self.models]}

    def list_endpoint_configs(self) -> dict[str, Any]:
        arn = f"{ARN}:endpoint-config"
        listed = [{"EndpointConfigName": n, "EndpointConfigArn": f"{arn}/{n.lower()}"} for n in self.configs]
        return {"EndpointConfigs": listed}

    def list_tags(self, ResourceArn: str) -> dict[str, Any]:  # noqa: N803
        tags = self.tags.get(ResourceArn.rsplit("/", 1)[-1], {})
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def delete_model(self, ModelName: str) -> None:  # noqa: N803
        if ModelName == "Refused":
            raise error("AccessDeniedException", "not authorized to perform: sagemaker:DeleteModel")
        del self.models[ModelName]
        self.deleted.append(ModelName)

    def delete_endpoint_config(self, EndpointConfigName: str) -> None:  # noqa: N803
        del self.configs[EndpointConfigName]
        self.deleted.append(EndpointConfigName)


def _found(things: dict[str, Any], name: str, kind: str) -> Any:
    if name not in things:
        raise error("ValidationException", f'Could not find {kind} "{ARN}:{kind}/{name}".')
    return things[name]


class FakeCloudFormation(Paginated):
    """Stacks with templates and resources; an update ends at once, unless a test sets its end."""

    def __init__(self) -> None:
        super().__init__(self)
        self.stacks: dict[str, dict[str, Any]] = {}
        self.templates: dict[str, dict[str, Any]] = {}
        self.resources: dict[str, list[tuple[str, str, str]]] = {}
        self.updates: list[dict[str, Any]] = []
        self.ends = "UPDATE_COMPLETE"

    def add(self, name: str, template: dict[str, Any] | None = None, *, protected: bool = False) -> None:
        status = {"StackName": name, "StackId": name, "StackStatus": "CREATE_COMPLETE"}
        self.stacks[name] = {**status, "EnableTerminationProtection": protected}
        self.templates[name] = template or {"Resources": {}}

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        if StackName not in self.stacks:
            raise error("ValidationError", f"Stack with id {StackName} does not exist")
        return {"Stacks": [self.stacks[StackName]]}

    def list_stack_resources(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        if StackName not in self.resources:
            raise error("ValidationError", f"Stack with id {StackName} does not exist")
        return {
            "StackResourceSummaries": [
                {
                    "LogicalResourceId": logical,
                    "ResourceType": kind,
                    "PhysicalResourceId": physical,
                    "ResourceStatus": "CREATE_COMPLETE",
                }
                for logical, kind, physical in self.resources[StackName]
            ]
        }

    def get_template(self, StackName: str, TemplateStage: str) -> dict[str, Any]:  # noqa: N803
        return {"TemplateBody": json.loads(json.dumps(self.templates[StackName]))}

    def update_stack(self, **request: Any) -> None:
        self.updates.append(request)
        self.templates[request["StackName"]] = json.loads(request["TemplateBody"])
        self.stacks[request["StackName"]]["StackStatus"] = self.ends

    def describe_stack_events(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        failed = {"ResourceStatus": "UPDATE_FAILED", "LogicalResourceId": "Alias", "ResourceStatusReason": "no"}
        return {"StackEvents": [failed]}

    def delete_stack(self, StackName: str) -> None:  # noqa: N803
        assert not self.stacks[StackName]["EnableTerminationProtection"]
        del self.stacks[StackName]
        self.resources.pop(StackName, None)

    def update_termination_protection(self, StackName: str, EnableTerminationProtection: bool) -> None:  # noqa: N803
        self.stacks[StackName]["EnableTerminationProtection"] = EnableTerminationProtection


class FakeLogs:
    def describe_log_groups(self, logGroupNamePrefix: str) -> dict[str, Any]:  # noqa: N803
        return {"logGroups": []}


def account(**clients: Any) -> Account:
    """Return an account with these clients."""
    made = Account(ID, REGION, boto3.Session(region_name=REGION))
    defaults = {
        "sagemaker": FakeSageMaker(),
        "cloudformation": FakeCloudFormation(),
        "s3": FakeS3({}),
        "logs": FakeLogs(),
    }
    made.__dict__.update(defaults | clients)  # where cached_property keeps them
    return made
