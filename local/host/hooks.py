"""Registers our services with ministack: routing, handlers, IAM."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from ministack import app
from ministack.core import iam_actions
from ministack.services import cloudwatch

from local.autoscaling.service import ALARM_PREFIX, ApplicationAutoScaling
from local.core.caller import Caller
from local.core.json_service import Response
from local.ministack import iam
from local.sagemaker.runtime import PATH, SageMakerRuntime
from local.sagemaker.service import SageMaker

Handler = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[Response]]

NAMESPACES = {
    "sagemaker": "sagemaker",
    "sagemaker-runtime": "sagemaker",
    "application-autoscaling": "application-autoscaling",
}
"""Our services, and the prefix of their IAM actions."""

TARGETS = {"SageMaker.": "sagemaker", "AnyScaleFrontendService.": "application-autoscaling"}
"""The start of X-Amz-Target, by which the JSON protocol names a service."""

RESOURCES = {
    "EndpointName": "endpoint",
    "EndpointConfigName": "endpoint-config",
    "ModelName": "model",
    "NotebookInstanceName": "notebook-instance",
    "NotebookInstanceLifecycleConfigName": "notebook-instance-lifecycle-config",
    "TrainingJobName": "training-job",
    "HyperParameterTuningJobName": "hyper-parameter-tuning-job",
}
"""The request member that names the resource of a SageMaker action; the first that is present decides."""

PASSED_ROLES = {
    "CreateModel": ("ExecutionRoleArn",),
    "CreateTrainingJob": ("RoleArn",),
    "CreateHyperParameterTuningJob": ("TrainingJobDefinition", "RoleArn"),
}
"""Where a request names the role that its caller passes to SageMaker."""


def register(sagemaker: SageMaker, runtime: SageMakerRuntime, scaling: ApplicationAutoScaling) -> None:
    """Add the services to ministack's tables.

    Parameters
    ----------
    sagemaker, runtime, scaling
        Their handlers answer the requests.
    """
    app.SERVICE_HANDLERS["sagemaker"] = _check_pass_role(sagemaker.handle)
    app.SERVICE_HANDLERS["sagemaker-runtime"] = runtime.handle
    app.SERVICE_HANDLERS["application-autoscaling"] = scaling.handle
    app.detect_service = _route_before(app.detect_service)
    iam_actions.SERVICE_TO_IAM_NAMESPACE.update(NAMESPACES)
    iam_actions._BOTOCORE_SERVICE_MAP["sagemaker-runtime"] = ["sagemaker-runtime"]
    iam_actions.extract_resource_arn = _name_resource_before(iam_actions.extract_resource_arn)
    iam_actions.access_denied_response = _deny_before(iam_actions.access_denied_response)
    cloudwatch._evaluate_alarm = _leave_tracking_alarms(cloudwatch._evaluate_alarm)


def _route_before(detect: Callable[..., str]) -> Callable[..., str]:
    def route(method: str, path: str, headers: dict[str, str], query: dict[str, Any]) -> str:
        target = headers.get("x-amz-target", "")
        for prefix, service in TARGETS.items():
            if target.startswith(prefix):
                return service
        if "/sagemaker/aws4_request" in headers.get("authorization", "") and path.startswith("/endpoints/"):
            return "sagemaker-runtime"
        return detect(method, path, headers, query)

    return route


def _name_resource_before(extract: Callable[..., str]) -> Callable[..., str]:
    def name_resource(
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query: dict[str, Any],
        region: str,
        account: str,
    ) -> str:
        prefix = f"arn:aws:sagemaker:{region}:{account}"
        if service == "sagemaker-runtime":
            match = PATH.match(path)
            return f"{prefix}:endpoint/{match[1]}" if match else "*"
        if service == "sagemaker":
            return _sagemaker_resource(prefix, body)
        if resource := iam.resource_of(service, headers, body, region, account):
            return resource
        return extract(service, method, path, headers, body, query, region, account)

    return name_resource


def _sagemaker_resource(prefix: str, body: bytes) -> str:
    for member, kind in RESOURCES.items():
        if name := _member(body, member):
            return f"{prefix}:{kind}/{name}"
    return _member(body, "ResourceArn") or "*"


def _member(body: bytes, *path: str) -> str | None:
    """Return a text member of a JSON request, or of a structure in it, None where there is none."""
    try:
        value = json.loads(body or b"{}")
        for name in path:
            value = value.get(name)
    except (ValueError, AttributeError):
        return None
    return value if isinstance(value, str) else None


def _check_pass_role(handle: Handler) -> Handler:
    """Refuse a caller who may not pass the role that the request names to SageMaker."""

    async def check_and_handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        member = PASSED_ROLES.get(headers.get("x-amz-target", "").removeprefix("SageMaker."))
        role = _member(body, *member) if member else None
        if role and (message := Caller(headers, query).denial_to_pass(role, "sagemaker.amazonaws.com")):
            return _denial(message)
        return await handle(method, path, headers, body, query)

    return check_and_handle


def _deny_before(deny: Callable[..., Response]) -> Callable[..., Response]:
    """Answer a denial as SageMaker does: HTTP 400, and a text that names the resource."""

    def answer(service: str, action: str, principal: str, request_id: str, **details: Any) -> Response:
        if service not in NAMESPACES or details.get("error_code"):
            return deny(service, action, principal, request_id, **details)
        explicit = details.get("explicit_deny", False)
        resource = details.get("resource_arn", "*")
        return _denial(iam_actions.identity_denial_message(action, principal, resource, explicit))

    return answer


def _denial(message: str) -> Response:
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": "AccessDeniedException"}
    return 400, headers, json.dumps({"__type": "AccessDeniedException", "Message": message}).encode()


def _leave_tracking_alarms(evaluate: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """Keep ministack from evaluating target tracking's alarms: their clock is the autoscaler's."""

    def evaluate_others(alarm: dict[str, Any]) -> None:
        if not alarm.get("AlarmName", "").startswith(ALARM_PREFIX):
            evaluate(alarm)

    return evaluate_others
