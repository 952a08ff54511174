"""The container that serves the artifact: which image, and where it is pulled from."""

from dataclasses import dataclass

from aws_cdk import Stack
from aws_cdk import aws_ecr_assets as ecr_assets
from constructs import Construct

from stacks.common.deep_learning_containers import aws_repository
from stacks.settings.variants import ECR_IMAGE, Variant

SERVING_FOLDER = "training/serving"
RAY_REPOSITORY = "ray"
"""AWS's Ray Serve inference container (AWS Deep Learning Containers, "Ray Serve Inference")."""

DOCKER_OUTPUT = "type=docker,oci-mediatypes=false"
"""Builds the image with Docker's media types; SageMaker refuses OCI's ("Unsupported manifest media type").

``type=docker`` alone does not say so: where Docker keeps images in containerd, buildx exports them as ``type=oci`` or
``image``. Source: aws/amazon-sagemaker-feedback 180; docker/buildx, ``build/opt.go``; Docker's documentation, "OCI and
Docker exporters".
"""


@dataclass(frozen=True)
class Container:
    """An image in Amazon ECR: its URI, and the ARN of the repository that the model's role may pull."""

    image: str
    repository_arn: str


def serving_container(scope: Construct, variant: Variant) -> Container:
    """Choose the image that a variant's ``container`` names; ``image`` adds our Dockerfile as an asset."""
    if variant.container == "ray":
        return _ray(Stack.of(scope), variant.ray_tag)
    if variant.container == "image":
        return _own(scope, variant)
    return _named(Stack.of(scope), variant.container)


def _ray(stack: Stack, tag: str) -> Container:
    repository = aws_repository(
        stack,
        RAY_REPOSITORY,
        way_out='set endpoint.container to "image", or to the URI of an image in your own Amazon ECR',
    )
    separator = "@" if tag.startswith("sha256:") else ":"
    return Container(f"{repository.uri}{separator}{tag}", repository.arn)


def _own(scope: Construct, variant: Variant) -> Container:
    arm = variant.architecture == "arm64"
    asset = ecr_assets.DockerImageAsset(
        scope,
        "Image",
        directory=SERVING_FOLDER,
        exclude=["**/__pycache__", "*.pyc"],
        platform=ecr_assets.Platform.LINUX_ARM64 if arm else ecr_assets.Platform.LINUX_AMD64,
        outputs=[DOCKER_OUTPUT],
    )
    return Container(asset.image_uri, asset.repository.repository_arn)


def _named(stack: Stack, image: str) -> Container:
    match = ECR_IMAGE.fullmatch(image)
    if not match:
        raise AssertionError(f"settings let {image!r} pass")
    arn = stack.format_arn(
        service="ecr",
        region=match["region"],
        account=match["account"],
        resource="repository",
        resource_name=match["repository"],
    )
    return Container(image, arn)
