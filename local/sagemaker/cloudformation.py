"""The CloudFormation types of SageMaker, over its own operations.

Which property replaces and which updates in place: CloudFormation template reference of each type.
"""

import time
import uuid

from ministack.services.cloudformation import provisioners

from local.core.json_service import Parameters
from local.ministack.cloudformation import Created, ResourceType, Service, convert

SUFFIX_LENGTH = 13
"""What CloudFormation appends to the names that it makes."""

NAME_LENGTH = 63
"""Longest name of a SageMaker resource (API reference, CreateModel and others)."""

UPDATE_ONLY = ("RetainAllVariantProperties", "ExcludeRetainedVariantProperties", "RetainDeploymentConfig")
"""Properties of an endpoint that UpdateEndpoint takes and CreateEndpoint does not."""

CHANGING = ("Creating", "Updating", "Deleting")
"""Statuses that an endpoint leaves by itself (API reference, EndpointStatus), those that it has here."""

POLL_SECONDS = 0.1
"""Between two looks at an endpoint that changes."""


def types(sagemaker: Service) -> dict[str, ResourceType]:
    """Return the types by name."""
    return {
        "AWS::SageMaker::Model": _Named(sagemaker, "Model"),
        "AWS::SageMaker::EndpointConfig": _Named(sagemaker, "EndpointConfig"),
        "AWS::SageMaker::Endpoint": _Endpoint(sagemaker),
        "AWS::SageMaker::NotebookInstance": _Notebook(sagemaker),
        "AWS::SageMaker::NotebookInstanceLifecycleConfig": _LifecycleConfig(sagemaker),
    }


def _new_name(stack: str, logical_id: str) -> str:
    """Return a name that no resource has had: its stack may be new, and what an older one retained still there."""
    like: str = provisioners._physical_name(stack, logical_id, max_len=NAME_LENGTH)
    return like[:-SUFFIX_LENGTH] + uuid.uuid4().hex[:SUFFIX_LENGTH].upper()


class _Named(ResourceType):
    """A SageMaker resource with a name: every changed property but its tags replaces it."""

    stack_tags = "Tags"

    def __init__(self, service: Service, kind: str) -> None:
        super().__init__(service)
        self.kind = kind
        self.name_property = f"{kind}Name"
        shape = service.model.operation_model(f"Create{kind}").input_shape
        self.replacing = tuple(name for name in getattr(shape, "members", {}) if name != "Tags")

    def name_of(self, physical_id: str) -> str:
        return physical_id.rsplit("/", 1)[-1]

    def attributes(self, physical_id: str) -> Parameters:
        return {self.name_property: self.name_of(physical_id), "Id": physical_id}

    def create(self, logical_id: str, properties: Parameters, stack: str) -> Created:
        name = properties.get(self.name_property) or _new_name(stack, logical_id)
        answer = self.call(f"Create{self.kind}", {**properties, self.name_property: name})
        physical_id = str(answer[f"{self.kind}Arn"])
        return physical_id, self.attributes(physical_id)

    def update(self, physical_id: str, old: Parameters, new: Parameters, stack: str) -> Created:
        self.update_tags(physical_id, old, new)
        return physical_id, self.attributes(physical_id)

    def update_tags(self, physical_id: str, old: Parameters, new: Parameters) -> None:
        tags = new.get("Tags", [])
        gone = {tag["Key"] for tag in old.get("Tags", [])} - {tag["Key"] for tag in tags}
        if gone:
            self.call("DeleteTags", {"ResourceArn": physical_id, "TagKeys": sorted(gone)})
        if tags:
            self.call("AddTags", {"ResourceArn": physical_id, "Tags": tags})

    def delete(self, physical_id: str, properties: Parameters) -> None:
        self.delete_quietly(f"Delete{self.kind}", {self.name_property: self.name_of(physical_id)})


class _Endpoint(_Named):
    """An endpoint: a new configuration rolls it in place; the stack waits until it has settled."""

    def __init__(self, service: Service) -> None:
        super().__init__(service, "Endpoint")
        self.replacing = ("EndpointName",)
        self._policies: dict[str, Parameters] = {}

    def create(self, logical_id: str, properties: Parameters, stack: str) -> Created:
        creating = {key: value for key, value in properties.items() if key not in UPDATE_ONLY}
        physical_id, attributes = super().create(logical_id, creating, stack)
        try:
            self._stabilize(physical_id, properties)
        except ValueError:
            self.delete(physical_id, properties)
            raise
        return physical_id, attributes

    def update(self, physical_id: str, old: Parameters, new: Parameters, stack: str) -> Created:
        self.update_tags(physical_id, old, new)
        self._wait_until_idle(physical_id)  # autoscaling may be at work
        name = self.name_of(physical_id)
        running = self.call("DescribeEndpoint", {"EndpointName": name})
        if running["EndpointConfigName"] != new["EndpointConfigName"] or self._redeploys(physical_id, new):
            updating = {key: value for key, value in new.items() if key != "Tags"}
            self.call("UpdateEndpoint", {**updating, "EndpointName": name})
            self._stabilize(physical_id, new)
        return physical_id, self.attributes(physical_id)

    def _redeploys(self, physical_id: str, new: Parameters) -> bool:
        """Tell whether the deployment policy differs from the one in effect; that runs a whole deployment.

        Source: hashicorp/terraform-provider-aws 49069. A failed update's rollback finds the policy of before in effect:
        LastDeploymentConfig is the failed one.
        """
        return self._policies.get(physical_id, {}) != self._policy(new)

    def _policy(self, properties: Parameters) -> Parameters:
        shape = self.service.model.operation_model("UpdateEndpoint").input_shape
        members = getattr(shape, "members", {})
        policy: Parameters = convert(members["DeploymentConfig"], properties.get("DeploymentConfig", {}))
        return policy

    def delete(self, physical_id: str, properties: Parameters) -> None:
        self._wait_until_idle(physical_id)
        super().delete(physical_id, properties)
        self._wait_until_idle(physical_id)
        self._policies.pop(physical_id, None)

    def _wait_until_idle(self, physical_id: str) -> Parameters:
        """Wait until an endpoint is not changing; return how it is described, {} where it does not exist."""
        name = {"EndpointName": self.name_of(physical_id)}
        while (described := self.find("DescribeEndpoint", name)).get("EndpointStatus") in CHANGING:
            time.sleep(POLL_SECONDS)
        return described

    def _stabilize(self, physical_id: str, properties: Parameters) -> None:
        """Wait until a change is over, and keep its deployment policy in mind if it succeeded."""
        described = self._wait_until_idle(physical_id)
        if reason := described.get("FailureReason"):
            raise ValueError(
                f"Resource of type 'AWS::SageMaker::Endpoint' with identifier '{physical_id}' did not stabilize. "
                f"{reason}"
            )
        if described.get("EndpointConfigName") == properties["EndpointConfigName"]:  # else it was rolled back silently
            self._policies[physical_id] = self._policy(properties)


class _Notebook(_Named):
    """A notebook instance: most changes stop it, change it and start it again."""

    def __init__(self, service: Service) -> None:
        super().__init__(service, "NotebookInstance")
        shape = service.model.operation_model("UpdateNotebookInstance").input_shape
        self.updatable = frozenset(getattr(shape, "members", {})) - {self.name_property}
        self.replacing = tuple(name for name in self.replacing if name not in self.updatable)

    def update(self, physical_id: str, old: Parameters, new: Parameters, stack: str) -> Created:
        self.update_tags(physical_id, old, new)
        name = {self.name_property: self.name_of(physical_id)}
        changed = {key: value for key, value in new.items() if key in self.updatable and value != old.get(key)}
        if "LifecycleConfigName" in old and "LifecycleConfigName" not in new:
            changed["DisassociateLifecycleConfig"] = True
        if changed:
            self.call("StopNotebookInstance", name)
            self.call("UpdateNotebookInstance", {**name, **changed})
            self.call("StartNotebookInstance", name)
        return physical_id, self.attributes(physical_id)

    def delete(self, physical_id: str, properties: Parameters) -> None:
        self.delete_quietly("StopNotebookInstance", {self.name_property: self.name_of(physical_id)})
        super().delete(physical_id, properties)


class _LifecycleConfig(_Named):
    """The scripts of notebook instances: they change in place."""

    def __init__(self, service: Service) -> None:
        super().__init__(service, "NotebookInstanceLifecycleConfig")
        self.replacing = (self.name_property,)

    def update(self, physical_id: str, old: Parameters, new: Parameters, stack: str) -> Created:
        scripts: Parameters = {key: new.get(key, []) for key in ("OnCreate", "OnStart") if key in new or key in old}
        name = self.name_of(physical_id)
        self.call("UpdateNotebookInstanceLifecycleConfig", {self.name_property: name, **scripts})
        return super().update(physical_id, old, new, stack)
