"""Properties of Lambda's CloudFormation types that ministack drops, records without effect, or answers wrongly."""

import logging
from collections.abc import Callable
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc
from ministack.services.cloudformation import provisioners

from local.json_service import Parameters

log = logging.getLogger(__name__)

Created = tuple[str, Parameters]


def register() -> None:
    """Wrap ministack's handlers of the types."""
    _after("AWS::Lambda::Function", _reserve)
    _after("AWS::Lambda::Alias", _initialise)
    _after("AWS::Lambda::Url", _qualify)


def _after(name: str, complete: Callable[[Created, Parameters], Created]) -> None:
    """Have `complete` finish what a type's create and update handlers have done."""
    handlers: dict[str, Any] = provisioners._RESOURCE_HANDLERS[name]
    create, update = handlers["create"], handlers["update"]

    def create_and_complete(logical_id: str, properties: Parameters, stack: str) -> Created:
        return complete(create(logical_id, properties, stack), properties)

    def update_and_complete(
        physical_id: str, old: Parameters, new: Parameters, stack: str, *logical_id: str
    ) -> Created:
        return complete(update(physical_id, old, new, stack, *logical_id), new)

    handlers.update(create=create_and_complete, update=update_and_complete)


def _reserve(created: Created, properties: Parameters) -> Created:
    """Set ``ReservedConcurrentExecutions``, which ministack drops."""
    reserved = properties.get("ReservedConcurrentExecutions")
    if reserved is None:
        lambda_svc._delete_function_concurrency(created[0])
    else:
        lambda_svc._put_function_concurrency(created[0], {"ReservedConcurrentExecutions": int(reserved)})
    return created


def _initialise(created: Created, properties: Parameters) -> Created:
    """Start the environments of ``ProvisionedConcurrencyConfig``, which ministack only records.

    Raises
    ------
    ValueError
        The function's initialisation fails, as the alias then does on AWS.
    """
    provisioned = properties.get("ProvisionedConcurrencyConfig") or {}
    count = int(provisioned.get("ProvisionedConcurrentExecutions", 0))
    function, name, _, _ = provisioners._lambda_function_for_cfn_ref(properties["FunctionName"])
    version = (function or {}).get("versions", {}).get(str(properties["FunctionVersion"]))
    if not count or version is None:
        return created
    config, code = version["config"], version.get("code_zip") or function["code_zip"]
    workers = [lambda_runtime.acquire_worker(name, config, code, qualifier=config["Version"])[0] for _ in range(count)]
    try:
        for worker in workers:
            lambda_runtime.ensure_spawned(worker)
    except Exception as error:
        raise ValueError(f"Provisioned Concurrency configuration failed to be applied. Reason: {error}") from error
    finally:
        for worker in workers:
            lambda_runtime.release_worker(worker)
    return created


def _qualify(created: Created, properties: Parameters) -> Created:
    """Name the alias in the URL's ``FunctionArn``, where ministack leaves it out."""
    physical_id, attributes = created
    qualifier = properties.get("Qualifier")
    function_arn = str(attributes.get("FunctionArn", ""))
    if qualifier and not function_arn.endswith(f":{qualifier}"):
        attributes = {**attributes, "FunctionArn": f"{function_arn}:{qualifier}"}
        lambda_svc._function_urls[physical_id]["FunctionArn"] = attributes["FunctionArn"]
    return physical_id, attributes
