"""The workbench: a SageMaker notebook instance that stops itself when nobody works on it."""

from pathlib import Path

from aws_cdk import Fn, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks import policies
from stacks.common import names
from stacks.settings import Settings
from stacks.settings.training import NotebookSettings
from stacks.training.access import join_network, use_bucket_key

STOP_WHEN_IDLE = Path(__file__).with_name("stop_when_idle.py")
CHECK_SECONDS = 300


class Notebook(Construct):
    """A notebook instance, its own role, and the lifecycle script that stops it when idle.

    It reads ``data/`` and works in ``training/``. In a VPC (``training.network``) it has no direct internet access;
    without one SageMaker demands direct access (API reference, CreateNotebookInstance, DirectInternetAccess).
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        notebook, network = settings.training.notebook, settings.training.network
        name = names.notebook_name(settings.environment)
        lifecycle = sagemaker.CfnNotebookInstanceLifecycleConfig(
            self,
            "Lifecycle",
            on_start=[
                sagemaker.CfnNotebookInstanceLifecycleConfig.NotebookInstanceLifecycleHookProperty(
                    content=Fn.base64(_on_start(name, Stack.of(self).region, notebook))
                )
            ],
        )
        sagemaker.CfnNotebookInstance(
            self,
            "Instance",
            notebook_instance_name=name,
            instance_type=notebook.type,
            platform_identifier="notebook-al2023-v1",
            role_arn=self._role(settings, name).role_arn,
            # Lifecycle scripts run as root all the same (SageMaker guide, "Control root access").
            root_access="Disabled",
            direct_internet_access="Disabled" if network else "Enabled",
            subnet_id=network.subnet_ids[0] if network else None,
            security_group_ids=network.security_group_ids if network else None,
            instance_metadata_service_configuration=(
                sagemaker.CfnNotebookInstance.InstanceMetadataServiceConfigurationProperty(
                    minimum_instance_metadata_service_version="2"
                )
            ),
            lifecycle_config_name=lifecycle.attr_notebook_instance_lifecycle_config_name,
            volume_size_in_gb=notebook.disk_gb,
            kms_key_id=settings.storage.kms_key_arn,
        )

    def _role(self, settings: Settings, name: str) -> iam.Role:
        bucket = names.bucket_arn(self, settings.environment)
        statements = [
            policies.list_prefixes(bucket, [names.DATA, names.TRAINING]),
            policies.read_objects(bucket, [names.DATA, names.TRAINING]),
            policies.write_objects(bucket, [names.TRAINING]),
            *use_bucket_key(self, settings),
            policies.write_notebook_logs(self),
            policies.stop_notebook(self, name),
        ]
        if network := settings.training.network:
            statements += join_network(self, network.subnet_ids[:1], network.security_group_ids)
        return iam.Role(
            self,
            "Role",
            description="Role of Kennel's workbench notebook",
            assumed_by=policies.sagemaker_principal(self),
            inline_policies={"Workbench": iam.PolicyDocument(statements=statements)},
        )


def _on_start(name: str, region: str, settings: NotebookSettings) -> str:
    """Return the script that SageMaker runs as root at each start: install the watcher, and its timer."""
    watcher = "/usr/local/lib/stop_when_idle.py"
    return (
        "#!/bin/bash\n"
        "set -eu\n"
        f"cat > {watcher} <<'END_OF_WATCHER'\n"
        f"{STOP_WHEN_IDLE.read_text(encoding='utf-8')}"
        "END_OF_WATCHER\n"
        f"systemd-run --unit=stop-when-idle --on-active={CHECK_SECONDS} --on-unit-active={CHECK_SECONDS} "
        f'--setenv=PATH="$PATH" /usr/bin/python3 {watcher} {name} {region} {settings.idle_minutes}\n'
    )
