"""A log group of ours: retention from the settings, gone with its stack."""

from typing import cast

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from stacks.settings.api import ApiSettings


def log_group(scope: Construct, construct_id: str, *, name: str, settings: ApiSettings) -> logs.LogGroup:
    """Create a log group that keeps lines as long, and under the key, that the settings say."""
    key = (
        kms.Key.from_key_arn(scope, f"{construct_id}Key", settings.log_kms_key_arn)
        if settings.log_kms_key_arn
        else None
    )
    group = logs.LogGroup(
        scope, construct_id, log_group_name=name, encryption_key=key, removal_policy=RemovalPolicy.DESTROY
    )
    # The L2 takes an enumeration that spells the days out in words; the setting is a number of days.
    cast(logs.CfnLogGroup, group.node.default_child).retention_in_days = settings.log_retention_days
    return group
