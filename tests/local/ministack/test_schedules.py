"""A schedule with a universal target: what it calls, as whom, and when first."""

import json
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
from ministack.services import eventbridge, scheduler

from local.core.account import Account
from local.core.errors import validation_error
from local.ministack import schedules

ROLE = "arn:aws:iam::123456789012:role/logs"


class RecordingAccount:
    """Records calls; one role may be assumed."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def assume(self, role: str, service: str, session: str, source: str) -> str:
        if (role, service, source) != (ROLE, "scheduler", "schedule-group/default"):
            raise validation_error(f"Could not assume role {role}.")
        return role

    def client(self, service: str, role: str) -> Any:
        calls = self.calls

        class Client:
            def put_retention_policy(self, **request: Any) -> None:
                calls.append((service, role, request))

        return Client()


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingAccount]:
    account = RecordingAccount()
    monkeypatch.setattr(eventbridge, "_invoke_target", eventbridge._invoke_target)
    monkeypatch.setattr(scheduler, "_create_schedule", scheduler._create_schedule)
    schedules.register(cast("Account", account))
    scheduler.reset()
    scheduler._ensure_default_group()
    yield account
    scheduler.reset()


def schedule(name: str, role: str = ROLE) -> None:
    target = {
        "Arn": "arn:aws:scheduler:::aws-sdk:cloudwatchlogs:putRetentionPolicy",
        "RoleArn": role,
        "Input": json.dumps({"LogGroupName": "group", "RetentionInDays": 7}),
    }
    window = {"Mode": "OFF"}
    scheduler._create_schedule(
        name, {"ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": window, "Target": target}
    )


def test_a_rate_begins_at_once_and_goes_on_by_the_hour(
    account: RecordingAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule("retention")
    scheduler._tick_schedules()
    expected = ("logs", ROLE, {"logGroupName": "group", "retentionInDays": 7})
    assert account.calls == [expected]
    scheduler._tick_schedules()
    assert account.calls == [expected]
    later = time.time() + 3601
    monkeypatch.setattr(time, "time", lambda: later)
    scheduler._tick_schedules()
    assert account.calls == [expected] * 2


def test_a_role_that_does_not_trust_the_scheduler_calls_nothing(account: RecordingAccount) -> None:
    schedule("retention", role="arn:aws:iam::123456789012:role/another")
    scheduler._tick_schedules()
    assert account.calls == []
