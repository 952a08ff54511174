"""The user's key on the disks of the endpoint's instances, where SageMaker takes one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from stacks.endpoint.artifact import Artifact
from stacks.endpoint.stack import EndpointStack
from stacks.settings import Settings
from stacks.settings.instances import CPU_INSTANCES, has_local_storage
from stacks.settings.variants import ServerlessSettings, ShadowSettings, VariantSettings

KEY = "arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012"
PLAIN, WITH_DISKS = "ml.c7i.large", "ml.c5d.large"


@pytest.fixture
def volume_key(dev: Settings, in_project: None, tmp_path: Path) -> Callable[..., Any]:
    """Return the endpoint configuration's key, with changes to the settings."""

    def of(key: str | None = KEY, **changes: Any) -> Any:
        storage = dev.storage.model_copy(update={"kms_key_arn": key})
        endpoint = dev.endpoint.model_copy(update=changes)
        stack = EndpointStack(
            cdk.App(outdir=str(tmp_path)),
            "Endpoint",
            settings=dev.model_copy(update={"storage": storage, "endpoint": endpoint}),
            artifact=Artifact("0" * 64, bucket="models-bucket", key="7/model.tar.gz"),
        )
        (config,) = Template.from_stack(stack).find_resources("AWS::SageMaker::EndpointConfig").values()
        return config["Properties"].get("KmsKeyId")

    return of


def test_the_key_of_the_bucket_is_on_the_volumes_too(volume_key: Callable[..., Any]) -> None:
    assert volume_key() == KEY
    assert volume_key(key=None) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"instance_type": WITH_DISKS},
        {
            "variants": [
                VariantSettings(name="A", weight=1),
                VariantSettings(name="B", weight=1, instance_type=WITH_DISKS),
            ]
        },
        {"shadow": ShadowSettings(name="Next", sampling_percentage=10, instance_type=WITH_DISKS)},
        {"serverless": ServerlessSettings(memory_mb=1024, maximum_concurrency=1), "network_isolation": False},
    ],
    ids=["disks", "a variant with disks", "a shadow with disks", "serverless"],
)
def test_no_key_is_asked_for_where_sagemaker_refuses_one(
    volume_key: Callable[..., Any], changes: dict[str, Any]
) -> None:
    assert volume_key(**changes) is None


def test_instances_with_disks_of_their_own_are_known() -> None:
    with_disks = {name.split(".")[1] for name in CPU_INSTANCES if has_local_storage(name)}
    assert with_disks == {"c5d", "m5d", "r5d", "c6gd", "m6gd", "r6gd", "r7gd"}
    assert not has_local_storage(PLAIN)
