"""The SageMaker model: an artifact, the container that serves it, and the role that may fetch both."""

import hashlib
import json
import re

from aws_cdk import AssetStaging, CfnDeletionPolicy, FileAssetPackaging, Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks import policies
from stacks.common import names
from stacks.endpoint.artifact import Artifact, Location
from stacks.endpoint.container import Container, serving_container
from stacks.settings import Settings
from stacks.settings.variants import Variant


class HostedModel(Construct):
    """A variant's SageMaker Model, and its execution role.

    The role stays; what it may fetch is a policy of its own for each artifact and container. An update adds
    the new policy before it makes the new model and removes the old one last, so that the running fleet can
    still be repaired or scaled from the old artifact while the new one is tried.

    After an auto-rollback the old fleet serves on, and CloudFormation may take the update for a success. So an update
    retains the old model, and the role reads the live artifact too, where it is known.

    Parameters
    ----------
    live
        Where the artifact lies that the endpoint serves at the time of the deployment; None if it is not known.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        variant: Variant,
        artifact: Artifact,
        live: Location | None = None,
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
                        *self._capture(settings),
                    ]
                )
            },
        )
        container = serving_container(self, variant)
        location = self._locate(artifact)
        access = self._access(settings, location, container)
        if live is not None and (known := self._recognise(live, location)) != location:
            self._access(settings, known, container)
        self.model = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=self.role.role_arn,
            enable_network_isolation=settings.endpoint.network_isolation,
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(
                image=container.image,
                model_data_url=f"s3://{location.bucket}/{location.key}",
                environment={"MODEL_ARTIFACT_SHA256": artifact.sha256},
            ),
        )
        self.model.cfn_options.update_replace_policy = CfnDeletionPolicy.RETAIN
        self.model.cfn_options.deletion_policy = CfnDeletionPolicy.DELETE
        self.model.node.add_dependency(access)

    def _access(self, settings: Settings, location: Location, container: Container) -> iam.Policy:
        """Let the role fetch one artifact and its container, in a policy that is named after both.

        An artifact that the CDK uploads lies in the bootstrap's asset bucket, under the bootstrap's own encryption.
        """
        stack, captures = Stack.of(self), settings.endpoint.capture_percentage > 0
        object_arn = stack.format_arn(service="s3", region="", account="", resource=f"{location.bucket}/{location.key}")
        statements = [
            policies.read_artifact(object_arn),
            policies.log_in_to_ecr(),
            policies.pull_image(container.repository_arn),
        ]
        # Where requests are captured, the role may use the key already.
        if settings.storage.kms_key_arn and not captures and not Token.is_unresolved(location.bucket):
            statements.append(policies.use_key(self, settings.storage.kms_key_arn, write=False))
        inputs = json.dumps(stack.resolve([object_arn, container.repository_arn]), sort_keys=True)
        return iam.Policy(
            self,
            f"Access{hashlib.sha256(inputs.encode()).hexdigest()[:12]}",
            roles=[self.role],
            statements=statements,
        )

    def _capture(self, settings: Settings) -> list[iam.PolicyStatement]:
        """Return what the capture of requests needs, and the key of the bucket that they go to."""
        if settings.endpoint.capture_percentage == 0:
            return []
        statements = [policies.write_capture(names.bucket_arn(self, settings.environment))]
        if settings.storage.kms_key_arn:
            statements.append(policies.use_key(self, settings.storage.kms_key_arn, write=True))
        return statements

    def _recognise(self, live: Location, current: Location) -> Location:
        """Return the live artifact's location in the words of the template that deployed it.

        An address names account and region of the bootstrap's bucket; a template leaves both to CloudFormation.
        """
        bucket = Stack.of(self).resolve(current.bucket)
        if isinstance(bucket, dict):
            text = re.escape(str(bucket.get("Fn::Sub", "")))
            for name, value in (("AccountId", r"\d{12}"), ("Region", "[a-z0-9-]+")):
                text = text.replace(re.escape(f"${{AWS::{name}}}"), value)
            if re.fullmatch(text, live.bucket):
                return Location(current.bucket, live.key)
        return live

    def _locate(self, artifact: Artifact) -> Location:
        """Return where the artifact lies; a file on disk becomes an asset.

        The asset is declared by hand because ``aws_s3_assets.Asset`` names the object ``<hash>.gz``, and
        SageMaker asks for the suffix ``.tar.gz`` (API reference, ContainerDefinition, ModelDataUrl).
        """
        if artifact.bucket and artifact.key:
            return Location(artifact.bucket, artifact.key)
        stack = Stack.of(self)
        staged = AssetStaging(self, "Artifact", source_path=str(artifact.path))
        asset = stack.synthesizer.add_file_asset(
            file_name=staged.relative_staged_path(stack),
            packaging=FileAssetPackaging.FILE,
            source_hash=f"{artifact.sha256}.tar",
        )
        self._keep_manifest(artifact)
        return Location(asset.bucket_name, asset.object_key)

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
