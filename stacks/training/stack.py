"""TrainingStack: who may train, and on what."""

from typing import Any

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks import policies
from stacks.common import names
from stacks.common.deep_learning_containers import Repository
from stacks.settings import Settings
from stacks.settings.training import NetworkSettings
from stacks.training.access import join_network, train_from_bucket
from stacks.training.instance import TrainingInstance
from stacks.training.notebook import Notebook
from stacks.training.repository import training_repository


class TrainingStack(Stack):
    """A role for SageMaker training and tuning jobs, an EC2 launch template, and a workbench notebook.

    The outputs are what ``./kennel launch`` reads; names and IDs only, never an export.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        network = settings.training.network
        repository = training_repository(self, settings.training.repository)
        role = self._job_role(settings, network, repository)
        bucket = names.bucket_name(self, settings.environment)
        CfnOutput(self, "TrainingRoleArn", value=role.role_arn)
        CfnOutput(self, "TrainingRepositoryUri", value=repository.uri)
        CfnOutput(self, "TrainingUri", value=f"s3://{bucket}/{names.TRAINING}")
        CfnOutput(self, "CheckpointUri", value=f"s3://{bucket}/{names.CHECKPOINTS}")
        CfnOutput(self, "ModelUri", value=f"s3://{bucket}/{names.MODELS}")
        if key := settings.storage.kms_key_arn:
            CfnOutput(self, "KeyArn", value=key)
        if network:
            CfnOutput(self, "SubnetIds", value=",".join(network.subnet_ids))
            CfnOutput(self, "SecurityGroupIds", value=",".join(network.security_group_ids))
        if settings.training.instance.enabled:
            instance = TrainingInstance(self, "Instance", settings=settings)
            CfnOutput(self, "LaunchTemplateId", value=instance.launch_template_id)
            CfnOutput(self, "InstanceRoleArn", value=instance.role_arn)
            CfnOutput(self, "InstanceMarket", value=instance.market)
            CfnOutput(self, "InstanceLogGroup", value=names.training_log_group(settings.environment))
        if settings.training.notebook.enabled:
            Notebook(self, "Notebook", settings=settings)
            CfnOutput(self, "NotebookName", value=names.notebook_name(settings.environment))

    def _job_role(self, settings: Settings, network: NetworkSettings | None, repository: Repository) -> iam.Role:
        statements = [
            *train_from_bucket(self, settings),
            policies.log_in_to_ecr(),
            policies.pull_image(repository.arn),
            policies.write_training_job_logs(self),
            policies.publish_training_metrics(),
        ]
        if key := settings.storage.kms_key_arn:
            statements.append(policies.encrypt_job_output(key))
        if network:
            statements += join_network(self, network.subnet_ids, network.security_group_ids)
        return iam.Role(
            self,
            "JobRole",
            description="Execution role of Kennel's SageMaker training and tuning jobs",
            assumed_by=policies.sagemaker_principal(self),
            inline_policies={"Train": iam.PolicyDocument(statements=statements)},
        )
