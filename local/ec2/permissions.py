"""What RunInstances asks of its caller beside ``ec2:RunInstances``."""

from typing import Any

from ministack.core import iam_actions, iam_evaluator, router

from local.core.errors import ServiceError
from local.core.names import ACCOUNT, REGION


class Caller:
    """Who sent a request.

    Parameters
    ----------
    headers, query
        Of the request, which tell who signed it.
    """

    def __init__(self, headers: dict[str, str], query: dict[str, Any]) -> None:
        self._key = router.extract_access_key_id(headers, query)

    def denial(self, action: str, resource: str, context: dict[str, Any] | None = None) -> str | None:
        """Return AWS's words for a caller who may not do this, None for one who may."""
        denied = iam_evaluator.enforce(
            self._key, action, action.partition(":")[0], REGION, resource_arn=resource, service_context=context
        )
        if not isinstance(denied, iam_evaluator.EvalResult):
            return None
        explicit = denied.decision == "Deny"
        return str(iam_actions.identity_denial_message(action, denied.principal_arn, resource, explicit))

    def check_tagging(self, kind: str, tags: list[dict[str, str]]) -> None:
        """Refuse a caller who may not tag what the request creates.

        Source: EC2 guide, "Grant permission to tag Amazon EC2 resources during creation".

        Raises
        ------
        ServiceError
            ``UnauthorizedOperation``.
        """
        context: dict[str, Any] = {"ec2:CreateAction": "RunInstances"}
        context |= {f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in tags}
        if message := self.denial("ec2:CreateTags", f"arn:aws:ec2:{REGION}:{ACCOUNT}:{kind}/*", context):
            words = f"You are not authorized to perform this operation. {message}"
            raise ServiceError("UnauthorizedOperation", words, 403)
