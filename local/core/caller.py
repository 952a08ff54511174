"""Who sent a request, and what IAM lets them do beside the request's own action."""

from typing import Any

from ministack.core import iam_actions, iam_evaluator, router

from local.core.names import REGION


class Caller:
    """The principal that signed a request.

    Parameters
    ----------
    headers, query
        Of the request.
    """

    def __init__(self, headers: dict[str, str], query: dict[str, Any]) -> None:
        self._key = router.extract_access_key_id(headers, query)

    def denial(self, action: str, resource: str, context: dict[str, Any] | None = None) -> str | None:
        """Return AWS's words for a caller who may not do this, None for one who may.

        Parameters
        ----------
        action
            With its service, for example ``ssm:GetParameters``.
        resource
            An ARN.
        context
            The action's condition keys.
        """
        denied = iam_evaluator.enforce(
            self._key, action, action.partition(":")[0], REGION, resource_arn=resource, service_context=context
        )
        if not isinstance(denied, iam_evaluator.EvalResult):
            return None
        explicit = denied.decision == "Deny"
        return str(iam_actions.identity_denial_message(action, denied.principal_arn, resource, explicit))

    def denial_to_pass(self, role: str, service: str) -> str | None:
        """Return AWS's words for a caller who may not pass a role to a service, None for one who may.

        Parameters
        ----------
        role
            The role's ARN.
        service
            The service's principal, for example ``ec2.amazonaws.com``.
        """
        return self.denial("iam:PassRole", role, {"iam:PassedToService": service})
