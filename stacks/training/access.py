"""What several roles of the TrainingStack share: the bucket's prefixes and the VPC."""

from collections.abc import Sequence

from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks import policies
from stacks.common import names
from stacks.settings import Settings


def train_from_bucket(scope: Construct, settings: Settings) -> list[iam.PolicyStatement]:
    """Read ``data/``, read and write ``training/``, write ``models/``, remove old checkpoints."""
    bucket = names.bucket_arn(scope, settings.environment)
    return [
        policies.list_prefixes(bucket, [names.DATA, names.TRAINING]),
        policies.read_objects(bucket, [names.DATA, names.TRAINING]),
        policies.write_objects(bucket, [names.MODELS, names.TRAINING]),
        policies.delete_checkpoints(bucket, names.CHECKPOINTS),
        *use_bucket_key(scope, settings),
    ]


def use_bucket_key(scope: Construct, settings: Settings) -> list[iam.PolicyStatement]:
    """Use the bucket's customer-managed key to read and write, where there is one."""
    key = settings.storage.kms_key_arn
    return [policies.use_key(scope, key, write=True)] if key else []


def join_network(
    scope: Construct, subnet_ids: Sequence[str], security_group_ids: Sequence[str]
) -> list[iam.PolicyStatement]:
    """Let SageMaker put network interfaces into these subnets."""
    return [
        policies.describe_network(),
        policies.create_network_interfaces(scope, subnet_ids, security_group_ids),
        policies.manage_network_interfaces(scope, subnet_ids),
    ]
