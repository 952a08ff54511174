"""The schedules that give the endpoint's log group, which SageMaker creates, our retention and key."""

import json

from aws_cdk import CfnResource, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from stacks import policies
from stacks.policies.hosting import ENDPOINTS_NAMESPACE
from stacks.settings import Settings


class LogRetention(Construct):
    """Schedules that set the retention, and the key, of the endpoint's log group every hour.

    The group is SageMaker's: a container's first line makes it, without a retention, and it outlives the stack. So the
    stack cannot declare it: CloudFormation refuses to create a group that exists, and does not apply a template's
    properties to a resource that it imports. A schedule works whoever created the group, calls CloudWatch Logs without
    a function, and its role may do that to this group only.

    Parameters
    ----------
    after
        What the first call waits for: the endpoint whose containers make the group.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, after: CfnResource) -> None:
        super().__init__(scope, construct_id)
        key, days = settings.api.log_kms_key_arn, settings.api.log_retention_days
        statements = [policies.keep_endpoint_logs(self, settings.endpoint_name)]
        if key:
            statements.append(policies.encrypt_endpoint_logs(self, settings.endpoint_name))
        self._role = iam.Role(
            self,
            "Role",
            assumed_by=policies.scheduler_principal(self),
            inline_policies={"Logs": iam.PolicyDocument(statements=statements)},
        )
        group = {"LogGroupName": f"{ENDPOINTS_NAMESPACE}/{settings.endpoint_name}"}
        schedules = [self._call("Retention", "putRetentionPolicy", {**group, "RetentionInDays": days})]
        if key:
            schedules.append(self._call("Key", "associateKmsKey", {**group, "KmsKeyId": key}))
        for schedule in schedules:
            schedule.node.add_dependency(after)

    def _call(self, construct_id: str, action: str, request: dict[str, str | int]) -> scheduler.CfnSchedule:
        """Call an operation of CloudWatch Logs (EventBridge Scheduler guide, "Using universal targets").

        The L2 construct's universal target gives its role every resource.
        """
        return scheduler.CfnSchedule(
            self,
            construct_id,
            schedule_expression="rate(1 hour)",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=f"arn:{Stack.of(self).partition}:scheduler:::aws-sdk:cloudwatchlogs:{action}",
                role_arn=self._role.role_arn,
                input=json.dumps(request),
                # The next hour is the next attempt.
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(maximum_retry_attempts=0),
            ),
        )
