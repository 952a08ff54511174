"""The CloudWatch alarms that can take an update of an endpoint back."""

from collections.abc import Collection
from contextlib import AbstractContextManager

from local.core.account import Account
from local.core.errors import validation_error
from local.core.names import arn
from local.ministack.alarms import AlarmEvaluation

KINDS = ["MetricAlarm", "CompositeAlarm"]


class RollbackAlarms:
    """Alarms of auto-rollback configurations.

    Parameters
    ----------
    account
        Reads them, and knows what roles may do.
    evaluation
        Evaluates them.
    scale
        Seconds of the deployments' clock in a real one.
    """

    def __init__(self, account: Account, evaluation: AlarmEvaluation, scale: float) -> None:
        self._account = account
        self._evaluation = evaluation
        self._scale = scale

    def require(self, names: Collection[str], roles: Collection[str]) -> None:
        """Refuse alarms that do not exist or that one of the execution roles may not read.

        Source: SageMaker guide, "Auto-Rollback Configuration and Monitoring" (the words are our own).

        Raises
        ------
        ServiceError
            One is missing, or a role lacks ``cloudwatch:DescribeAlarms`` on it.
        """
        states = self._states(names)
        if missing := [name for name in names if name not in states]:
            raise validation_error(f"Alarms of AutoRollbackConfiguration do not exist: {', '.join(missing)}.")
        for role in roles:
            credentials = self._account.assume(role, "sagemaker", "SageMaker")
            for name in names:
                alarm = arn("cloudwatch", f"alarm:{name}")
                if not self._account.allows(credentials, "cloudwatch:DescribeAlarms", alarm):
                    raise validation_error(f"Role {role} is not allowed cloudwatch:DescribeAlarms on {alarm}.")

    def watched(self, names: Collection[str]) -> AbstractContextManager[None]:
        """Have the alarms' periods pass on the deployments' clock for the time of the context."""
        return self._evaluation.watched(names, self._scale)

    def ringing(self, names: Collection[str]) -> list[str]:
        """Return those in state ALARM."""
        return [name for name, state in self._states(names).items() if state == "ALARM"]

    def _states(self, names: Collection[str]) -> dict[str, str]:
        answer = self._account.client("cloudwatch").describe_alarms(AlarmNames=list(names), AlarmTypes=KINDS)
        return {alarm["AlarmName"]: alarm["StateValue"] for kind in KINDS for alarm in answer.get(f"{kind}s", ())}
