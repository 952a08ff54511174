"""Properties of Lambda's CloudFormation types that ministack drops, and what a function URL asks of its caller."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from ministack import app
from ministack.core import iam_evaluator, lambda_runtime, router
from ministack.services import lambda_svc
from ministack.services.cloudformation import provisioners

from local.core.json_service import Parameters, Response
from local.core.names import REGION
from local.ministack.cloudformation import Created, complete_after

FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
"""The whole text of a refusal, which names no action (seen in awsdocs/aws-lambda-developer-guide, issue 494)."""


def register() -> None:
    """Wrap ministack's handlers of the types, and of function URLs."""
    complete_after("AWS::Lambda::Function", _reserve)
    complete_after("AWS::Lambda::Function", _record)
    complete_after("AWS::Lambda::Alias", _initialise)
    complete_after("AWS::Lambda::Url", _qualify)
    function = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    function["delete"] = _end_workers_after(function["delete"])
    app._handle_lambda_url_request = _authorize_before(app._handle_lambda_url_request)


def _end_workers_after(delete: Callable[[str, Parameters], None]) -> Callable[[str, Parameters], None]:
    """End the processes of a function that is deleted, which ministack leaves running."""

    def delete_and_end(physical_id: str, properties: Parameters) -> None:
        delete(physical_id, properties)
        lambda_runtime.invalidate_worker(physical_id)

    return delete_and_end


def _reserve(created: Created, old: Parameters, new: Parameters) -> Created:
    """Set ``ReservedConcurrentExecutions``, which ministack drops."""
    reserved = new.get("ReservedConcurrentExecutions")
    if reserved is None:
        lambda_svc._delete_function_concurrency(created[0])
    else:
        lambda_svc._put_function_concurrency(created[0], {"ReservedConcurrentExecutions": int(reserved)})
    return created


def _record(created: Created, old: Parameters, new: Parameters) -> Created:
    """Show the dead-letter queue and the key of the environment, which ministack drops."""
    config = lambda_svc._functions[created[0]]["config"]
    for property_name, member in (("DeadLetterConfig", "DeadLetterConfig"), ("KmsKeyArn", "KMSKeyArn")):
        if property_name in new:
            config[member] = new[property_name]
        else:
            config.pop(member, None)
    return created


def _initialise(created: Created, old: Parameters, new: Parameters) -> Created:
    """Start the environments of ``ProvisionedConcurrencyConfig``, which ministack only records.

    Raises
    ------
    ValueError
        The function's initialisation fails, as the alias then does on AWS.
    """
    function, name, _, _ = provisioners._lambda_function_for_cfn_ref(new["FunctionName"])
    versions = (function or {}).get("versions", {})
    provisioned = new.get("ProvisionedConcurrencyConfig") or {}
    count = int(provisioned.get("ProvisionedConcurrentExecutions", 0))
    if count and (version := versions.get(str(new["FunctionVersion"]))):
        _start_workers(name, version["config"], version.get("code_zip") or function["code_zip"], count)
    if (left := old.get("FunctionVersion")) != new["FunctionVersion"] and left in versions:
        _end_idle_workers(name, versions[left]["config"])
    return created


def _start_workers(name: str, config: Parameters, code: bytes, count: int) -> None:
    workers = [lambda_runtime.acquire_worker(name, config, code, qualifier=config["Version"])[0] for _ in range(count)]
    try:
        for worker in workers:
            lambda_runtime.ensure_spawned(worker)
    except Exception as error:
        raise ValueError(f"Provisioned Concurrency configuration failed to be applied. Reason: {error}") from error
    finally:
        for worker in workers:
            lambda_runtime.release_worker(worker)


def _end_idle_workers(name: str, config: Parameters) -> None:
    """End the environments of a version that the alias has left; one that still answers a request may finish."""
    key = lambda_runtime._worker_key(name, config, config["Version"])
    with lambda_runtime._lock:
        workers = lambda_runtime._workers.get(key, [])
        idle = [worker for worker in workers if not worker.in_use]
        lambda_runtime._workers[key] = [worker for worker in workers if worker.in_use]
    lambda_runtime.kill_workers(idle)


def _qualify(created: Created, old: Parameters, new: Parameters) -> Created:
    """Name the alias in the URL's ``FunctionArn``, where ministack leaves it out."""
    physical_id, attributes = created
    qualifier = new.get("Qualifier")
    function_arn = str(attributes.get("FunctionArn", ""))
    if qualifier and not function_arn.endswith(f":{qualifier}"):
        attributes = {**attributes, "FunctionArn": f"{function_arn}:{qualifier}"}
        lambda_svc._function_urls[physical_id]["FunctionArn"] = attributes["FunctionArn"]
    return physical_id, attributes


def _authorize_before(handle: Callable[..., Awaitable[Response | None]]) -> Callable[..., Awaitable[Response | None]]:
    """Refuse a request to a function URL whose caller lacks one of the two permissions."""

    async def check_and_handle(
        host: str, path: str, method: str, headers: dict[str, str], body: bytes, query: dict[str, Any], *more: Any
    ) -> Response | None:
        parts = app._parse_lambda_url(host, path)
        if parts and (refusal := _refusal(parts[0], headers, query)):
            return refusal
        return await handle(host, path, method, headers, body, query, *more)

    return check_and_handle


def _refusal(identifier: str, headers: dict[str, str], query: dict[str, Any]) -> Response | None:
    """Return the refusal of a caller who may not invoke a function through its URL.

    A URL made since October 2025 needs ``lambda:InvokeFunctionUrl`` and ``lambda:InvokeFunction`` (Lambda guide,
    "Control access to Lambda function URLs"). Condition keys: ``lambda:FunctionUrlAuthType`` of the one,
    ``lambda:InvokedViaFunctionUrl`` of the other (Service Authorization Reference, AWS Lambda). Nobody without a
    signature has the second one here, whatever the URL's AuthType.
    """
    resource, context, resolved = app._function_url_auth_target(identifier)
    if resolved is None:
        return None
    key = router.extract_access_key_id(headers, query)
    checks = {"lambda:InvokeFunctionUrl": context, "lambda:InvokeFunction": {"lambda:InvokedViaFunctionUrl": "true"}}
    for action, keys in checks.items():
        denied = iam_evaluator.enforce(key, action, "lambda", REGION, resource_arn=resource, service_context=keys)
        if key and isinstance(denied, iam_evaluator.AuthError):
            failure: Response = app._credential_failure("lambda", action, "", denied, headers)
            return failure
        if denied:
            content = {"Content-Type": "application/json", "x-amzn-ErrorType": "AccessDeniedException"}
            return 403, content, json.dumps({"Message": FORBIDDEN}).encode()
    return None
