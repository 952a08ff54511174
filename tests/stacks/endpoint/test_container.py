import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from stacks.endpoint.artifact import Artifact
from stacks.endpoint.stack import EndpointStack
from stacks.settings import Settings

ARTIFACT = Artifact("0" * 64, bucket="models-bucket", key="7/model.tar.gz")


@pytest.fixture
def endpoint(dev: Settings, in_project: None) -> Callable[..., dict[str, Any]]:
    def synthesise(**changes: Any) -> dict[str, Any]:
        changed = dev.model_copy(update={"endpoint": dev.endpoint.model_copy(update=changes)})
        stack = EndpointStack(cdk.App(), "Endpoint", settings=changed, artifact=ARTIFACT)
        return dict(Template.from_stack(stack).to_json())

    return synthesise


def image_and_repository(template: dict[str, Any]) -> tuple[Any, Any]:
    resources = template["Resources"].values()
    (model,) = [item for item in resources if item["Type"] == "AWS::SageMaker::Model"]
    policies = [item["Properties"]["PolicyDocument"] for item in resources if item["Type"] == "AWS::IAM::Policy"]
    (pull,) = [s for policy in policies for s in policy["Statement"] if s["Sid"] == "PullImage"]
    return model["Properties"]["PrimaryContainer"]["Image"], pull["Resource"]


def joined(value: dict[str, Any]) -> str:
    return "".join(part if isinstance(part, str) else "?" for part in value["Fn::Join"][1])


def test_ray_is_awss_image_in_the_account_of_the_region(endpoint: Callable[..., dict[str, Any]]) -> None:
    template = endpoint(container="ray")
    image, repository = image_and_repository(template)
    assert joined(image) == "?.dkr.ecr.?.?/ray:serve-ml-sagemaker-cpu-v1.4"
    assert joined(repository).endswith(":repository/ray")
    accounts = template["Mappings"]["DlcRepositoryAccountMap"]
    assert accounts["us-east-1"]["value"] == "763104351884"
    assert accounts["cn-north-1"]["value"] == "727897471807"


def test_ray_is_pinned_by_a_tag_or_a_digest(endpoint: Callable[..., dict[str, Any]]) -> None:
    image, _ = image_and_repository(endpoint(container="ray", ray_tag="serve-ml-sagemaker-cpu-v1.3"))
    assert joined(image).endswith("/ray:serve-ml-sagemaker-cpu-v1.3")
    image, _ = image_and_repository(endpoint(container="ray", ray_tag="sha256:" + "a" * 64))
    assert joined(image).endswith("/ray@sha256:" + "a" * 64)


@pytest.mark.parametrize(
    ("instance_type", "platform"), [("ml.c7i.large", "linux/amd64"), ("ml.c7g.large", "linux/arm64")]
)
def test_image_is_our_dockerfile_for_the_processor_of_the_instance(
    dev: Settings, in_project: None, instance_type: str, platform: str
) -> None:
    own = dev.endpoint.model_copy(update={"container": "image", "instance_type": instance_type})
    app = cdk.App()
    EndpointStack(app, "Endpoint", settings=dev.model_copy(update={"endpoint": own}), artifact=ARTIFACT)
    assets = json.loads((Path(app.synth().directory) / "Endpoint.assets.json").read_text())
    (image,) = assets["dockerImages"].values()
    assert image["source"]["platform"] == platform
    # What the CDK's command line gives to `docker build --output`: SageMaker refuses images of OCI's media types.
    assert image["source"]["dockerOutputs"] == ["type=docker,oci-mediatypes=false"]


def test_a_named_image_is_pulled_from_its_own_repository_only(endpoint: Callable[..., dict[str, Any]]) -> None:
    uri = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/kennel@sha256:" + "a" * 64
    image, repository = image_and_repository(endpoint(container=uri))
    assert image == uri
    assert joined(repository) == "arn:?:ecr:eu-west-1:123456789012:repository/team/kennel"


def test_an_artifact_in_s3_is_read_where_it_lies(endpoint: Callable[..., dict[str, Any]]) -> None:
    (model,) = [i for i in endpoint()["Resources"].values() if i["Type"] == "AWS::SageMaker::Model"]
    assert model["Properties"]["PrimaryContainer"]["ModelDataUrl"] == "s3://models-bucket/7/model.tar.gz"
