"""CloudFormation types over the operations of our own services, in ministack's tables."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from botocore.model import ServiceModel
from ministack.services.cloudformation import provisioners, stacks

from local.core.errors import NotFoundError, ServiceError
from local.core.json_service import Parameters

Created = tuple[str, Parameters]
"""Physical id (what Ref returns) and attributes (what GetAtt returns)."""


def add_types(types: dict[str, "ResourceType"]) -> None:
    """Add types, by name, to ministack's CloudFormation."""
    for name, handler in types.items():
        provisioners._RESOURCE_HANDLERS[name] = {
            "create": handler.create,
            "update": handler.update,
            "delete": handler.delete,
        }
        provisioners._REPLACING_PROPERTIES[name] = handler.replacing
        if handler.stack_tags:
            provisioners._STACK_TAG_PROPERTY[name] = (handler.stack_tags, "list")


def run_on_worker_threads(types: set[str]) -> None:
    """Have ministack provision types that block in a thread instead of on its event loop."""
    blocks: Callable[[str], bool] = stacks._runs_on_worker_thread
    stacks._runs_on_worker_thread = lambda name: name in types or blocks(name)


def complete_after(name: str, complete: Callable[[Created, Parameters, Parameters], Created]) -> None:
    """Finish what ministack's handlers of a type have done.

    Parameters
    ----------
    name
        The type, for example ``AWS::SNS::Topic``.
    complete
        Takes what the handler returned, the old properties, {} on create, and the new ones; returns what CloudFormation
        is to see.
    """
    handlers: dict[str, Any] = provisioners._RESOURCE_HANDLERS[name]
    create, update = handlers["create"], handlers["update"]

    def create_and_complete(logical_id: str, properties: Parameters, stack: str) -> Created:
        return complete(create(logical_id, properties, stack), {}, properties)

    def update_and_complete(
        physical_id: str, old: Parameters, new: Parameters, stack: str, *logical_id: str
    ) -> Created:
        return complete(update(physical_id, old, new, stack, *logical_id), old, new)

    handlers.update(create=create_and_complete, update=update_and_complete)


def convert(shape: Any, value: Any) -> Any:
    """Return a template's value with the types of the API: CloudFormation takes numbers and booleans as strings.

    Members that the API does not know are left in place, for the API's own validation to name.

    Parameters
    ----------
    shape
        Of botocore's service model.
    value
        The template's, with the members of the shape.
    """
    match shape.type_name:
        case "structure":
            members = shape.members
            return {k: convert(members[k], v) if k in members else v for k, v in value.items()}
        case "list":
            return [convert(shape.member, item) for item in value]
        case "map":
            return {k: convert(shape.value, v) for k, v in value.items()}
        case "integer" | "long":
            return int(value)
        case "float" | "double":
            return float(value)
        case "boolean":
            return str(value).lower() == "true"
        case _:
            return str(value)


@contextmanager
def failed_event(service: str, separator: str = ", ") -> Iterator[None]:
    """Raise a service's refusal as the reason of a failed CloudFormation event.

    Parameters
    ----------
    service
        The service's name in the reason.
    separator
        What stands between its details: older resource handlers of CloudFormation write semicolons.

    Raises
    ------
    ValueError
        The service refuses.
    """
    try:
        yield
    except ServiceError as error:
        details = (f"Service: {service}", f"Status Code: {error.status}", f"Error Code: {error.code}")
        raise ValueError(f"{error} ({separator.join(details)})") from error


class Service(Protocol):
    """The API of a service."""

    name: str
    model: ServiceModel

    def call(self, operation: str, parameters: Parameters) -> Parameters:
        """Call an operation; a refusal is a ServiceError."""


class ResourceType(ABC):
    """What the types share: calls whose errors read as CloudFormation's.

    Parameters
    ----------
    service
        What the resources belong to; a type knows nothing of it but its API.

    Attributes
    ----------
    replacing
        Properties whose change replaces a resource.
    stack_tags
        The property that takes the stack's tags, "" where none does.
    """

    replacing: tuple[str, ...] = ()
    stack_tags = ""

    def __init__(self, service: Service) -> None:
        self.service = service

    @abstractmethod
    def create(self, logical_id: str, properties: Parameters, stack: str) -> Created:
        """Create a resource.

        Parameters
        ----------
        logical_id
            Its name in the template.
        properties
            As the template has them, with the values of functions.
        stack
            The stack's name.
        """

    @abstractmethod
    def update(self, physical_id: str, old: Parameters, new: Parameters, stack: str) -> Created:
        """Bring a resource from its old properties to the new ones, in place.

        Parameters
        ----------
        physical_id
            What Ref returns.
        old, new
            Its properties in the template, before and after. In a rollback, old are those that failed.
        stack
            The stack's name.
        """

    @abstractmethod
    def delete(self, physical_id: str, properties: Parameters) -> None:
        """Delete a resource, which may be gone already."""

    def call(self, operation: str, properties: Parameters) -> Parameters:
        """Call the service; a refusal reads as CloudFormation's event would.

        Parameters
        ----------
        operation
            As the API spells it.
        properties
            Of a template: numbers and booleans may be text.

        Raises
        ------
        ValueError
            The service refuses the request.
        """
        shape = self.service.model.operation_model(operation).input_shape
        with failed_event(self.service.name):
            try:
                return self.service.call(operation, convert(shape, properties))
            except (TypeError, ValueError) as error:
                raise ValueError(f"Invalid property value: {error}") from error

    def find(self, operation: str, parameters: Parameters) -> Parameters:
        """Call a Describe operation; return {} where the resource does not exist."""
        try:
            return self.service.call(operation, parameters)
        except NotFoundError:
            return {}

    def delete_quietly(self, operation: str, parameters: Parameters) -> None:
        """Delete what may be gone already."""
        try:
            self.service.call(operation, parameters)
        except ServiceError as error:
            if not isinstance(error, NotFoundError):
                raise ValueError(str(error)) from error
