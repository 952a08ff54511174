"""The CloudFormation types of SageMaker and Application Auto Scaling, over the two services' own operations.

Which property replaces and which updates in place: CloudFormation template reference of each type.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from ministack.services.cloudformation import provisioners, stacks

from local.autoscaling_api import ApplicationAutoScaling
from local.errors import NotFoundError, ServiceError
from local.json_service import JsonService, Parameters
from local.sagemaker_control import SageMaker

NAME_LENGTH = 63
"""Longest name of a SageMaker resource (API reference, CreateModel and others)."""

Created = tuple[str, Parameters]
"""Physical id (what Ref returns) and attributes (what GetAtt returns)."""

UPDATE_ONLY = ("RetainAllVariantProperties", "ExcludeRetainedVariantProperties", "RetainDeploymentConfig")
"""Properties of an endpoint that UpdateEndpoint takes and CreateEndpoint does not."""

TARGET_KEYS = ("ResourceId", "ScalableDimension", "ServiceNamespace")
POLICY_KEYS = ("PolicyName", "PolicyType", "ScalingTargetId", *TARGET_KEYS)


def register(sagemaker: SageMaker, scaling: ApplicationAutoScaling) -> None:
    """Add the types to ministack's CloudFormation."""
    handlers = {
        "AWS::SageMaker::Model": _Named(sagemaker, "Model"),
        "AWS::SageMaker::EndpointConfig": _Named(sagemaker, "EndpointConfig"),
        "AWS::SageMaker::Endpoint": _Endpoint(sagemaker),
        "AWS::SageMaker::NotebookInstance": _Notebook(sagemaker),
        "AWS::SageMaker::NotebookInstanceLifecycleConfig": _LifecycleConfig(sagemaker),
        "AWS::ApplicationAutoScaling::ScalableTarget": _ScalableTarget(scaling),
        "AWS::ApplicationAutoScaling::ScalingPolicy": _ScalingPolicy(scaling),
    }
    for name, handler in handlers.items():
        provisioners._RESOURCE_HANDLERS[name] = {
            "create": handler.create,
            "update": handler.update,
            "delete": handler.delete,
        }
        provisioners._REPLACING_PROPERTIES[name] = handler.replacing
        if isinstance(handler, _Named):
            provisioners._STACK_TAG_PROPERTY[name] = ("Tags", "list")
    run_on_worker_threads({*handlers, "AWS::Lambda::Alias"})


def run_on_worker_threads(types: set[str]) -> None:
    """Have ministack provision types that block in a thread instead of on its event loop."""
    blocks: Callable[[str], bool] = stacks._runs_on_worker_thread
    stacks._runs_on_worker_thread = lambda name: name in types or blocks(name)


def after(name: str, complete: Callable[[Created, Parameters, Parameters], Created]) -> None:
    """Have `complete` finish what a type's handlers have done; given the old properties, {} on create, and the new."""
    handlers: dict[str, Any] = provisioners._RESOURCE_HANDLERS[name]
    create, update = handlers["create"], handlers["update"]

    def create_and_complete(logical_id: str, properties: Parameters, stack: str) -> Created:
        return complete(create(logical_id, properties, stack), {}, properties)

    def update_and_complete(
        physical_id: str, old: Parameters, new: Parameters, stack: str, *logical_id: str
    ) -> Created:
        return complete(update(physical_id, old, new, stack, *logical_id), old, new)

    handlers.update(create=create_and_complete, update=update_and_complete)


def converted(shape: Any, value: Any) -> Any:
    """Return a template's value with the types of the API: CloudFormation takes numbers and booleans as strings.

    Members that the API does not know are left in place, for the API's own validation to name.
    """
    match shape.type_name:
        case "structure":
            known = shape.members
            return {k: converted(known[k], v) if k in known else v for k, v in value.items()}
        case "list":
            return [converted(shape.member, item) for item in value]
        case "map":
            return {k: converted(shape.value, v) for k, v in value.items()}
        case "integer" | "long":
            return int(value)
        case "float" | "double":
            return float(value)
        case "boolean":
            return str(value).lower() == "true"
        case _:
            return str(value)


class _Type(ABC):
    """What the types share: calls whose errors read as CloudFormation's."""

    replacing: tuple[str, ...] = ()

    def __init__(self, service: JsonService) -> None:
        self.service = service

    @abstractmethod
    def create(self, logical_id: str, properties: Parameters, stack: str) -> Created: ...

    @abstractmethod
    def update(self, physical_id: str, old: Parameters, new: Parameters, stack: str) -> Created: ...

    @abstractmethod
    def delete(self, physical_id: str, properties: Parameters) -> None: ...

    def call(self, operation: str, properties: Parameters) -> Parameters:
        shape = self.service.model.operation_model(operation).input_shape
        try:
            return self.service.call(operation, converted(shape, properties))
        except (TypeError, ValueError) as error:
            raise ValueError(f"Invalid property value: {error}") from error
        except ServiceError as error:
            raise ValueError(
                f"{error} (Service: {self.service.name}, Status Code: {error.status}, Error Code: {error.code})"
            ) from error

    def delete_quietly(self, operation: str, parameters: Parameters) -> None:
        """Delete what may be gone already."""
        try:
            self.service.call(operation, parameters)
        except ServiceError as error:
            if not isinstance(error, NotFoundError):
                raise ValueError(str(error)) from error


class _Named(_Type):
    """A SageMaker resource with a name: every changed property but its tags replaces it."""

    def __init__(self, service: JsonService, kind: str) -> None:
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
        name = properties.get(self.name_property) or provisioners._physical_name(stack, logical_id, max_len=NAME_LENGTH)
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

    service: SageMaker

    def __init__(self, service: SageMaker) -> None:
        super().__init__(service, "Endpoint")
        self.replacing = ("EndpointName",)

    def create(self, logical_id: str, properties: Parameters, stack: str) -> Created:
        creating = {key: value for key, value in properties.items() if key not in UPDATE_ONLY}
        created = super().create(logical_id, creating, stack)
        try:
            self._wait(created[0])
        except ValueError:
            self.delete(created[0], properties)
            raise
        return created

    def update(self, physical_id: str, old: Parameters, new: Parameters, stack: str) -> Created:
        self.update_tags(physical_id, old, new)
        name = self.name_of(physical_id)
        running = self.service.endpoints.get(name)
        if running is not None:
            running.settled.wait()  # autoscaling may be at work
        redeployed = old.get("DeploymentConfig") != new.get("DeploymentConfig")
        if running is None or running.config_name != new["EndpointConfigName"] or redeployed:
            updating = {key: value for key, value in new.items() if key != "Tags"}
            self.call("UpdateEndpoint", {**updating, "EndpointName": name})
            self._wait(physical_id)
        return physical_id, self.attributes(physical_id)

    def delete(self, physical_id: str, properties: Parameters) -> None:
        endpoint = self.service.endpoints.get(self.name_of(physical_id))
        if endpoint is not None:
            endpoint.settled.wait()
            super().delete(physical_id, properties)
            endpoint.settled.wait()

    def _wait(self, physical_id: str) -> None:
        endpoint = self.service.endpoints[self.name_of(physical_id)]
        endpoint.settled.wait()
        if endpoint.failure:
            raise ValueError(
                f"Resource of type 'AWS::SageMaker::Endpoint' with identifier '{physical_id}' did not stabilize. "
                f"{endpoint.failure}"
            )


class _Notebook(_Named):
    """A notebook instance: most changes stop it, change it and start it again."""

    def __init__(self, service: JsonService) -> None:
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

    def __init__(self, service: JsonService) -> None:
        super().__init__(service, "NotebookInstanceLifecycleConfig")
        self.replacing = (self.name_property,)

    def update(self, physical_id: str, old: Parameters, new: Parameters, stack: str) -> Created:
        scripts: Parameters = {key: new.get(key, []) for key in ("OnCreate", "OnStart") if key in new or key in old}
        name = self.name_of(physical_id)
        self.call("UpdateNotebookInstanceLifecycleConfig", {self.name_property: name, **scripts})
        return super().update(physical_id, old, new, stack)


class _ScalableTarget(_Type):
    replacing = TARGET_KEYS

    def create(self, logical_id: str, properties: Parameters, stack: str) -> Created:
        own = {key: value for key, value in properties.items() if key != "ScheduledActions"}
        self.call("RegisterScalableTarget", own)
        physical_id = "|".join(properties[key] for key in TARGET_KEYS)
        try:
            self._schedule(properties, {}, properties)
        except ValueError:
            self.delete(physical_id, properties)
            raise
        return physical_id, {"Id": physical_id}

    def update(self, physical_id: str, old: Parameters, new: Parameters, stack: str) -> Created:
        own = {key: value for key, value in new.items() if key != "ScheduledActions"}
        self.call("RegisterScalableTarget", own)
        self._schedule(new, old, new)
        return physical_id, {"Id": physical_id}

    def _schedule(self, target: Parameters, old: Parameters, new: Parameters) -> None:
        keys = {key: target[key] for key in TARGET_KEYS}
        actions = new.get("ScheduledActions", [])
        names = {action["ScheduledActionName"] for action in actions}
        for gone in {action["ScheduledActionName"] for action in old.get("ScheduledActions", [])} - names:
            self.delete_quietly("DeleteScheduledAction", {**keys, "ScheduledActionName": gone})
        for action in actions:
            self.call("PutScheduledAction", {**keys, **action})

    def delete(self, physical_id: str, properties: Parameters) -> None:
        target = dict(zip(TARGET_KEYS, physical_id.split("|"), strict=True))
        self.delete_quietly("DeregisterScalableTarget", target)


class _ScalingPolicy(_Type):
    replacing = POLICY_KEYS

    def create(self, logical_id: str, properties: Parameters, stack: str) -> Created:
        answer = self.call("PutScalingPolicy", _with_target(properties))
        return answer["PolicyARN"], {"Arn": answer["PolicyARN"]}

    def update(self, physical_id: str, old: Parameters, new: Parameters, stack: str) -> Created:
        return self.create("", new, stack)

    def delete(self, physical_id: str, properties: Parameters) -> None:
        keys = _with_target(properties)
        self.delete_quietly("DeleteScalingPolicy", {key: keys[key] for key in (*TARGET_KEYS, "PolicyName")})


def _with_target(properties: Parameters) -> Parameters:
    """Return a policy's properties with its target's keys in place of ``ScalingTargetId``."""
    own = {key: value for key, value in properties.items() if key != "ScalingTargetId"}
    target = properties.get("ScalingTargetId", "").split("|")
    return own | dict(zip(TARGET_KEYS, target, strict=True)) if len(target) == len(TARGET_KEYS) else own
