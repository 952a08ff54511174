"""The SageMaker model: an artifact, the container that serves it, and the role that may fetch both."""

import hashlib

from aws_cdk import AssetStaging, FileAssetPackaging, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks import policies
from stacks.common import names
from stacks.endpoint.artifact import Artifact
from stacks.endpoint.container import serving_container
from stacks.settings import Settings
from stacks.settings.variants import Variant


class HostedModel(Construct):
    """A variant's SageMaker Model, and its execution role.

    The role stays; what it may fetch is a policy of its own for each artifact and container. An update adds
    the new policy before it makes the new model and removes the old one last, so that the running fleet can
    still be repaired or scaled from the old artifact while the new one is tried.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, variant: Variant, artifact: Artifact
    ) -> None:
        super().__init__(scope, construct_id)
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=policies.sagemaker_principal(self),
            inline_policies={
                "Hosting": iam.PolicyDocument(
                    statements=[
                        policies.write_endpoint_logs(self, settings.endpoint_name),
                        policies.publish_instance_metrics(),
                        *self._bucket_access(settings, artifact),
                    ]
                )
            },
        )
        container = serving_container(self, variant)
        url, object_arn = self._locate(artifact)
        # The same bytes at another address need another policy, and the running fleet keeps its own meanwhile.
        where = f" {artifact.bucket}/{artifact.key}" if artifact.path is None else ""
        inputs = hashlib.sha256(f"{artifact.sha256}{where} {variant.container}".encode()).hexdigest()
        access = iam.Policy(
            self,
            f"Access{inputs[:12]}",
            roles=[self.role],
            statements=[
                policies.read_artifact(object_arn),
                policies.log_in_to_ecr(),
                policies.pull_image(container.repository_arn),
            ],
        )
        self.model = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=self.role.role_arn,
            enable_network_isolation=settings.endpoint.network_isolation,
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(
                image=container.image,
                model_data_url=url,
                environment={"MODEL_ARTIFACT_SHA256": artifact.sha256},
            ),
        )
        self.model.node.add_dependency(access)

    def _bucket_access(self, settings: Settings, artifact: Artifact) -> list[iam.PolicyStatement]:
        """Return what capture needs, and the key of the bucket where the role puts or finds something in it.

        An artifact that the CDK uploads lies in the bootstrap's asset bucket, under the bootstrap's own encryption.
        """
        captures = settings.endpoint.capture_percentage > 0
        statements = []
        if captures:
            statements.append(policies.write_capture(names.bucket_arn(self, settings.environment)))
        if settings.storage.kms_key_arn and (captures or artifact.bucket):
            statements.append(policies.use_key(self, settings.storage.kms_key_arn, write=captures))
        return statements

    def _locate(self, artifact: Artifact) -> tuple[str, str]:
        """Return the artifact's S3 URL and its object's ARN; a file on disk becomes an asset.

        The asset is declared by hand because ``aws_s3_assets.Asset`` names the object ``<hash>.gz``, and
        SageMaker asks for the suffix ``.tar.gz`` (API reference, ContainerDefinition, ModelDataUrl).
        """
        stack = Stack.of(self)
        if artifact.path is None:
            bucket, key = artifact.bucket, artifact.key
        else:
            staged = AssetStaging(self, "Artifact", source_path=str(artifact.path))
            asset = stack.synthesizer.add_file_asset(
                file_name=staged.relative_staged_path(stack),
                packaging=FileAssetPackaging.FILE,
                source_hash=f"{artifact.sha256}.tar",
            )
            bucket, key = asset.bucket_name, asset.object_key
            self._keep_manifest(artifact)
        object_arn = stack.format_arn(service="s3", region="", account="", resource=f"{bucket}/{key}")
        return f"s3://{bucket}/{key}", object_arn

    def _keep_manifest(self, artifact: Artifact) -> None:
        """Upload the manifest beside an artifact that is uploaded: ``<sha256>.json`` beside ``<sha256>.tar.gz``.

        A rollback needs both, and then has the address of one. The template does not name it.
        """
        if artifact.manifest is None:
            return
        stack = Stack.of(self)
        staged = AssetStaging(self, "Manifest", source_path=str(artifact.manifest))
        stack.synthesizer.add_file_asset(
            file_name=staged.relative_staged_path(stack),
            packaging=FileAssetPackaging.FILE,
            source_hash=artifact.sha256,
        )
