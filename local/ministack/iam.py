"""What ministack's IAM does not see in a request: resources of Logs, CloudWatch and ECR, a metric's namespace."""

import json
from collections.abc import Callable
from typing import Any

from ministack.core import iam_actions

TAGGING = ("TagResource", "UntagResource", "ListTagsForResource")
"""The actions of CloudWatch Logs whose resource is a group's ARN without an ending."""


def register() -> None:
    """Wrap ministack's function that names a request's condition keys."""
    iam_actions.request_tag_context = _with_namespace(iam_actions.request_tag_context)


def resource_of(service: str, headers: dict[str, str], body: bytes, region: str, account: str) -> str | None:
    """Return the ARN that a request is authorised on, None where ministack's own is right.

    Sources: CloudWatch Logs guide, "Overview of managing access permissions" (all actions but tagging are
    authorised on ``log-group:GROUP:...``; a denial names ``log-group:GROUP:log-stream:STREAM``); Service
    Authorization Reference, Amazon CloudWatch (DescribeAlarms on ``alarm:NAME``), Amazon ECR (a repository belongs
    to the account that ``registryId`` names). Of several alarms none is named: only a pattern that ends in ``*``
    allows them.

    Parameters
    ----------
    service
        ministack's name of the service.
    headers, body
        Of the request.
    region, account
        What the ARN names.
    """
    if not (action := headers.get("x-amz-target", "").rpartition(".")[2]):
        return None
    request = _members(body)
    if service == "logs" and action not in TAGGING and (group := request.get("logGroupName")):
        return f"arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:{request.get('logStreamName', '')}"
    if service == "monitoring" and (action == "DescribeAlarms" or "AlarmNames" in request):
        names = request.get("AlarmNames") or []
        return f"arn:aws:cloudwatch:{region}:{account}:alarm:{names[0] if len(names) == 1 else '*'}"
    if service == "ecr" and (name := request.get("repositoryName")):
        return f"arn:aws:ecr:{region}:{request.get('registryId', account)}:repository/{name}"
    return None


def _with_namespace(context: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Add ``cloudwatch:namespace``, the one key that narrows PutMetricData (Service Authorization Reference)."""

    def add(service: str, iam_action: str, body: bytes, params: dict[str, Any]) -> dict[str, Any]:
        keys = context(service, iam_action, body, params)
        namespace = _members(body).get("Namespace") if iam_action == "cloudwatch:PutMetricData" else None
        return keys | ({"cloudwatch:namespace": namespace} if namespace else {})

    return add


def _members(body: bytes) -> dict[str, Any]:
    """Return a JSON request's members, none where it is another protocol's."""
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return {}
    return request if isinstance(request, dict) else {}
