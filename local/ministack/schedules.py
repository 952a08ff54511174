"""EventBridge Scheduler's universal targets, which ministack drops: a schedule calls an operation as its role.

Source: EventBridge Scheduler guide, "Using universal targets": the target's ARN names service and operation, its input
is the request, with members that begin with a capital letter. A rate without a start date begins at once.
"""

import json
import logging
import re
import time
from collections.abc import Callable
from typing import Any

from botocore import xform_name
from ministack.services import eventbridge, scheduler

from local.core.account import Account
from local.core.aws_errors import CALL_FAILED_AS_ROLE

log = logging.getLogger(__name__)

TARGET = re.compile(r"arn:aws:scheduler:::aws-sdk:(?P<service>\w+):(?P<operation>\w+)")
CLIENTS = {"cloudwatchlogs": "logs"}
"""Services as targets spell them, and as boto3 does."""

Record = dict[str, Any]


def register(account: Account) -> None:
    """Carry out universal targets, and begin rates at once."""
    eventbridge._invoke_target = _universal(account, eventbridge._invoke_target)
    scheduler._create_schedule = _begin_at_once(scheduler._create_schedule)


def _begin_at_once(create: Callable[[str, Record], Any]) -> Callable[[str, Record], Any]:
    def create_and_begin(name: str, body: Record) -> Any:
        answer = create(name, body)
        seconds = eventbridge._parse_rate_seconds(body.get("ScheduleExpression", ""))
        if seconds is not None and not body.get("StartDate"):
            for key, schedule in scheduler._schedules._data.items():
                if schedule["Name"] == name:
                    scheduler._schedule_last_fired.setdefault(key, time.time() - seconds)
        return answer

    return create_and_begin


def _universal(account: Account, invoke: Callable[..., None]) -> Callable[..., None]:
    def call_or_invoke(target: Record, event: Record, rule: Record, view: Any = None) -> None:
        if match := TARGET.fullmatch(target.get("Arn", "")):
            call(account, target, match["service"], match["operation"])
        else:
            invoke(target, event, rule, view)

    return call_or_invoke


def call(account: Account, target: Record, service: str, operation: str) -> None:
    """Call an operation with the rights of the target's role; a refusal is logged, as a failed invocation is on AWS.

    Parameters
    ----------
    account
        Knows the role.
    target
        The schedule's, with ``RoleArn`` and ``Input``.
    service, operation
        As the target's ARN spells them.
    """
    request = {name[0].lower() + name[1:]: value for name, value in json.loads(target.get("Input") or "{}").items()}
    try:
        role = account.assume(target["RoleArn"], "scheduler", "Scheduler", source="schedule-group/default")
        client = account.client(CLIENTS.get(service, service), role)
        getattr(client, xform_name(operation))(**request)
    except (*CALL_FAILED_AS_ROLE, AttributeError) as error:
        log.warning("schedule to %s:%s: %s", service, operation, error)
