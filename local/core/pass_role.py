"""``iam:PassRole``: who hands a role to a service must be allowed to."""

from typing import Any

from ministack.core import iam_actions, iam_evaluator, router

from local.core.names import REGION


def may_not_pass(role: str, service: str, headers: dict[str, str], query: dict[str, Any]) -> str | None:
    """Return AWS's words for a caller who may not pass a role to a service, None for one who may.

    Parameters
    ----------
    role
        The role's ARN.
    service
        The service's principal, such as ``ec2.amazonaws.com``.
    headers, query
        Of the request, which tell who signed it.
    """
    denied = iam_evaluator.enforce(
        router.extract_access_key_id(headers, query),
        "iam:PassRole",
        "iam",
        REGION,
        resource_arn=role,
        service_context={"iam:PassedToService": service},
    )
    if not isinstance(denied, iam_evaluator.EvalResult):
        return None
    explicit = denied.decision == "Deny"
    return str(iam_actions.identity_denial_message("iam:PassRole", denied.principal_arn, role, explicit))
