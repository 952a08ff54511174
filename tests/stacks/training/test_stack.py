"""Training jobs, instances and the notebook, whatever the snapshots say."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from stacks.settings import Settings, load_settings
from stacks.settings.training import NetworkSettings
from stacks.training.notebook import STOP_WHEN_IDLE
from stacks.training.stack import TrainingStack
from stacks.training.stop_when_idle import seconds_idle

ROOT = Path(__file__).parents[3]
CONTEXT = json.loads((ROOT / "cdk.json").read_text())["context"]
KEY = "arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012"
NETWORK = NetworkSettings(
    vpc_id="vpc-0123456789abcdef0",
    subnet_ids=["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
    security_group_ids=["sg-0123456789abcdef0"],
)
VALUES = {"AWS::Partition": "aws", "AWS::Region": "eu-west-1", "AWS::AccountId": "1", "AWS::URLSuffix": "amazonaws.com"}

Template = dict[str, Any]
Synthesise = Callable[..., Template]


@pytest.fixture
def synthesise(tmp_path: Path, dev: Settings) -> Synthesise:
    def of(key: str | None = None, notebook: bool = False, **training: Any) -> Template:
        parts: dict[str, Any] = dict(training)
        if notebook:
            parts["notebook"] = dev.training.notebook.model_copy(update={"enabled": True})
        changed = dev.model_copy(
            update={
                "training": dev.training.model_copy(update=parts),
                "storage": dev.storage.model_copy(update={"kms_key_arn": key}),
            }
        )
        app = cdk.App(outdir=str(tmp_path), context=CONTEXT)
        TrainingStack(app, "Training", settings=changed)
        app.synth()
        template: Template = json.loads((tmp_path / "Training.template.json").read_text())
        return template

    return of


def plain(value: Any) -> Any:
    """Put the pseudo parameters' values in, as CloudFormation would."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "Ref" in value:
        return VALUES.get(value["Ref"], value["Ref"])
    if "Fn::Join" in value:
        return value["Fn::Join"][0].join(plain(value["Fn::Join"][1]))
    if "Fn::FindInMap" in value:
        return "DLC"
    return {key: plain(item) for key, item in value.items()}


def the(template: Template, kind: str) -> Template:
    (item,) = [item for item in template["Resources"].values() if item["Type"] == kind]
    properties: Template = plain(item["Properties"])
    return properties


def role(template: Template, name: str) -> set[str]:
    """Return the Sids of a role's statements."""
    (item,) = [
        item["Properties"]
        for logical, item in template["Resources"].items()
        if item["Type"] == "AWS::IAM::Role" and logical.startswith(name)
    ]
    (inline,) = item["Policies"]
    return {statement["Sid"] for statement in inline["PolicyDocument"]["Statement"]}


def test_the_container_of_each_region_is_aws_own(synthesise: Synthesise) -> None:
    template = synthesise()
    (accounts,) = template["Mappings"].values()
    assert accounts["us-east-1"]["value"] == "763104351884"
    assert plain(template["Outputs"]["TrainingRepositoryUri"]["Value"]) == (
        "DLC.dkr.ecr.eu-west-1.amazonaws.com/pytorch"
    )


ADDED = {
    "key": {
        "JobRole": {"UseKey", "EncryptJobOutput"},
        "InstanceRole": {"UseKey"},
        "NotebookRole": {"UseKey"},
    },
    "network": {
        "JobRole": {"DescribeNetwork", "CreateNetworkInterfaces", "ManageNetworkInterfaces"},
        "InstanceRole": set(),
        "NotebookRole": {"DescribeNetwork", "CreateNetworkInterfaces", "ManageNetworkInterfaces"},
    },
}
"""The statements that a setting adds to each role; the golden policies hold what they say."""


@pytest.mark.parametrize(("setting", "value"), [("key", KEY), ("network", NETWORK)], ids=["key", "network"])
def test_a_key_or_a_network_adds_its_statements_and_no_other(
    synthesise: Synthesise, setting: str, value: object
) -> None:
    without, given = (synthesise(notebook=True, **changes) for changes in ({}, {setting: value}))
    for name, added in ADDED[setting].items():
        assert role(given, name) == role(without, name) | added
        assert not role(without, name) & added


def test_the_log_group_of_instances_ends(synthesise: Synthesise) -> None:
    assert the(synthesise(), "AWS::Logs::LogGroup") == {"LogGroupName": "/kennel/dev/training", "RetentionInDays": 14}


def test_an_instance_is_hard_to_get_into_and_leaves_nothing_behind(synthesise: Synthesise) -> None:
    data = the(synthesise(), "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
    assert data["BlockDeviceMappings"] == [
        {
            "DeviceName": "/dev/xvda",
            "Ebs": {"DeleteOnTermination": True, "Encrypted": True, "VolumeSize": 150, "VolumeType": "gp3"},
        }
    ]
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert "KeyName" not in data
    assert data["ImageId"] == (
        "resolve:ssm:/aws/service/deeplearning/ami/x86_64/"
        "oss-nvidia-driver-gpu-pytorch-2.13-amazon-linux-2023/latest/ami-id"
    ), "resolved at each launch: with {{...}} CloudFormation would resolve it once"
    assert "UserData" not in data, "launch brings its own"


@pytest.mark.parametrize("network", [None, NETWORK])
def test_nothing_may_come_in_to_an_instance(synthesise: Synthesise, network: NetworkSettings | None) -> None:
    template = synthesise(network=network)
    group = the(template, "AWS::EC2::SecurityGroup")
    assert "SecurityGroupIngress" not in group
    assert not [item for item in template["Resources"].values() if item["Type"] == "AWS::EC2::SecurityGroupIngress"]
    (used,) = the(template, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["SecurityGroupIds"]
    assert template["Resources"][used["Fn::GetAtt"][0]]["Type"] == "AWS::EC2::SecurityGroup"
    if network:
        assert group["VpcId"] == network.vpc_id
        assert {(rule["FromPort"], rule["ToPort"]) for rule in group["SecurityGroupEgress"]} == {(443, 443)}


@pytest.mark.parametrize("network", [None, NETWORK])
def test_the_group_is_the_same_for_cloudformation_and_its_path_says_what_it_needs(
    synthesise: Synthesise, network: NetworkSettings | None, tmp_path: Path
) -> None:
    """Another logical ID would replace the group of an existing deployment."""
    template = synthesise(network=network)
    assert template["Resources"]["InstanceSecurityGroup93A921D3"]["Type"] == "AWS::EC2::SecurityGroup"
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    artifact = manifest["artifacts"]["Training"]
    metadata = artifact.get("metadata") or json.loads((tmp_path / artifact["additionalMetadataFile"]).read_text())
    (path,) = [
        path
        for path, entries in metadata.items()
        for entry in entries
        if entry["type"] == "aws:cdk:logicalId" and entry["data"] == "InstanceSecurityGroup93A921D3"
    ]
    assert ("training.network" in path) is (network is None)


def test_what_starts_from_the_template_has_the_tags_of_the_stack(synthesise: Synthesise, dev: Settings) -> None:
    """CloudFormation gives them to the template alone, and organisations refuse untagged launches."""
    expected = {"Project": "kennel", "Environment": "dev", "Deployment": "kennel-dev"}

    def tagged(**training: Any) -> list[str]:
        data = the(synthesise(**training), "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
        for specification in data["TagSpecifications"]:
            tags = {tag["Key"]: tag["Value"] for tag in specification["Tags"]}
            assert tags.items() >= expected.items()
            assert len(tags) == len(specification["Tags"])
        return [specification["ResourceType"] for specification in data["TagSpecifications"]]

    always = ["instance", "volume", "network-interface"]
    assert tagged() == [*always, "spot-instances-request"]
    on_demand = dev.training.instance.model_copy(update={"spot": False})
    assert tagged(instance=on_demand) == always
    outputs = [synthesise()["Outputs"], synthesise(instance=on_demand)["Outputs"]]
    assert [each["InstanceMarket"]["Value"] for each in outputs] == ["spot", "on-demand"]


def test_a_spot_instance_is_never_started_again_by_itself(synthesise: Synthesise, dev: Settings) -> None:
    data = the(synthesise(), "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["InstanceMarketOptions"] == {
        "MarketType": "spot",
        "SpotOptions": {"InstanceInterruptionBehavior": "terminate", "SpotInstanceType": "one-time"},
    }
    on_demand = dev.training.instance.model_copy(update={"spot": False})
    data = the(synthesise(instance=on_demand), "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert "InstanceMarketOptions" not in data


def test_without_instances_there_is_the_job_role_alone(synthesise: Synthesise, dev: Settings) -> None:
    template = synthesise(instance=dev.training.instance.model_copy(update={"enabled": False}))
    assert [item["Type"] for item in template["Resources"].values()] == ["AWS::IAM::Role"]
    assert "LaunchTemplateId" not in template["Outputs"]


@pytest.mark.parametrize("environment", ["dev", "prod", "local"])
def test_there_is_no_notebook_by_default(environment: str) -> None:
    assert load_settings(environment, ROOT / "settings").training.notebook.enabled is False


@pytest.mark.parametrize(("network", "direct"), [(None, "Enabled"), (NETWORK, "Disabled")])
def test_the_notebook_has_no_root_and_in_a_vpc_no_direct_internet(
    synthesise: Synthesise, network: NetworkSettings | None, direct: str
) -> None:
    notebook = the(synthesise(notebook=True, network=network), "AWS::SageMaker::NotebookInstance")
    assert notebook["InstanceType"] == "ml.t3.medium"
    assert notebook["RootAccess"] == "Disabled"
    assert notebook["DirectInternetAccess"] == direct
    assert ("SubnetId" in notebook) is (network is not None)
    assert notebook["InstanceMetadataServiceConfiguration"] == {"MinimumInstanceMetadataServiceVersion": "2"}


def test_the_notebook_watches_itself_from_its_start(synthesise: Synthesise) -> None:
    template = synthesise(notebook=True)
    assert the(template, "AWS::SageMaker::NotebookInstance")["NotebookInstanceName"] == "kennel-dev-workbench"
    (hook,) = the(template, "AWS::SageMaker::NotebookInstanceLifecycleConfig")["OnStart"]
    script = hook["Content"]["Fn::Base64"]
    assert script.startswith("#!/bin/bash\n")
    assert STOP_WHEN_IDLE.read_text() in script
    assert script.rstrip().endswith("kennel-dev-workbench eu-west-1 60")
    # SageMaker API reference, NotebookInstanceLifecycleHook: the encoded script has at most 16,384 characters.
    assert len(script) * 4 / 3 < 16384


NOON = 1769860800  # 2026-01-31T12:00:00Z


def jupyter(kernels: list[Any], terminals: list[Any]) -> Callable[[str], Any]:
    answers = {
        "/api/kernels": kernels,
        "/api/terminals": terminals,
        "/api/status": {"started": "2026-01-31T10:00:00.123456Z", "last_activity": "2026-01-31T12:00:00.000000Z"},
    }
    return answers.__getitem__


def kernel(last_activity: str, state: str = "idle") -> dict[str, str]:
    return {"last_activity": f"2026-01-31T{last_activity}.000000Z", "execution_state": state}


@pytest.mark.parametrize(
    ("kernels", "terminals", "idle"),
    [
        ([], [], 7200),
        ([kernel("11:00:00"), kernel("11:30:00")], [], 1800),
        ([kernel("11:00:00", "busy")], [], 0),
        ([kernel("11:00:00")], [kernel("11:59:00")], 60),
        ([kernel("12:00:01")], [], 0),
    ],
)
def test_a_busy_kernel_or_a_fresh_sign_of_life_keeps_the_notebook(
    kernels: list[Any], terminals: list[Any], idle: float
) -> None:
    assert seconds_idle(jupyter(kernels, terminals), NOON) == idle
