"""Events of our services on EventBridge, and the topic policies without which SNS takes no delivery.

ministack publishes to a topic for EventBridge and for CloudWatch whatever the topic's policy says. On AWS the policy
must let the service in (EventBridge guide, "Using resource-based policies"; CloudWatch guide, "Notifying users on
alarm changes"); otherwise the notification is lost without an error.
"""

import contextvars
import json
import logging
from collections.abc import Callable
from typing import Any

from ministack.core import iam_evaluator, responses
from ministack.services import cloudwatch, eventbridge, sns

from local.core.names import ACCOUNT, REGION

log = logging.getLogger(__name__)

ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")

Record = dict[str, Any]


def register() -> None:
    """Check topic policies before ministack's deliveries."""
    eventbridge._invoke_target = _check_topic_of_rule(eventbridge._invoke_target)
    cloudwatch._dispatch_alarm_actions = _check_topics_of_alarm(cloudwatch._dispatch_alarm_actions)


def publish_event(source: str, detail_type: str, resource: str, detail: Record) -> None:
    """Put an event of an AWS service on the account's default bus; callable from any thread.

    Parameters
    ----------
    source
        The service, for example ``aws.sagemaker``.
    detail_type
        What rules match, for example ``SageMaker Endpoint State Change``.
    resource
        An ARN.
    detail
        The event's own members.
    """
    entry = {"Source": source, "DetailType": detail_type, "Resources": [resource], "Detail": json.dumps(detail)}

    def put() -> None:
        responses.set_request_account_id(ACCOUNT)
        responses.set_request_region(REGION)
        eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)

    try:
        contextvars.copy_context().run(put)
    except Exception:  # a failed delivery must not fail the operation that the event reports
        log.exception("event %s of %s", detail_type, resource)


def _check_topic_of_rule(invoke: Callable[..., None]) -> Callable[..., None]:
    def check_and_invoke(target: Record, event: Record, rule: Record, view: Any = None) -> None:
        if _may_publish(target.get("Arn", ""), "events.amazonaws.com", rule["Arn"]):
            invoke(target, event, rule, view)

    return check_and_invoke


def _check_topics_of_alarm(dispatch: Callable[..., None]) -> Callable[..., None]:
    def check_and_dispatch(alarm: Record, *state: str) -> None:
        def may_publish(target: str) -> bool:
            return _may_publish(target, "cloudwatch.amazonaws.com", alarm["AlarmArn"])

        allowed = {kind: list(filter(may_publish, alarm.get(kind) or [])) for kind in ACTIONS}
        dispatch({**alarm, **allowed}, *state)

    return check_and_dispatch


def _may_publish(target: str, service: str, source: str) -> bool:
    """Return whether a topic takes what a service publishes; any other target decides for itself."""
    if not target.startswith("arn:aws:sns:"):
        return True
    # AWS's services publish over TLS, whatever connection led to it here.
    context = contextvars.copy_context()
    context.run(iam_evaluator._request_origin.set, ("127.0.0.1", True))
    if context.run(sns.topic_policy_allows, target, service, source, ACCOUNT):
        return True
    log.warning("the policy of %s does not let %s publish for %s", target, service, source)
    return False
