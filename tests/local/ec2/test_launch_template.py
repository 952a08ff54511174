"""What a request takes from its launch template."""

from typing import Any

from local.ec2.launch_template import merge_template

TEMPLATE: dict[str, Any] = {
    "ImageId": "ami-1",
    "InstanceType": "c7i.large",
    "SecurityGroupIds": ["sg-1", "sg-2"],
    "IamInstanceProfile": {"Name": "training"},
    "InstanceMarketOptions": {"MarketType": "spot"},
    "TagSpecifications": [{"ResourceType": "volume", "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]}],
}


def test_a_request_leaves_everything_to_its_launch_template() -> None:
    assert merge_template({"MaxCount": "2"}, TEMPLATE) == {
        "MinCount": "2",
        "MaxCount": "2",
        "ImageId": "ami-1",
        "InstanceType": "c7i.large",
        "SecurityGroupId.1": "sg-1",
        "SecurityGroupId.2": "sg-2",
        "IamInstanceProfile.Name": "training",
        "InstanceMarketOptions.MarketType": "spot",
        "TagSpecification.1.ResourceType": "volume",
        "TagSpecification.1.Tag.1.Key": "a",
        "TagSpecification.1.Tag.1.Value": "1",
        "TagSpecification.1.Tag.2.Key": "b",
        "TagSpecification.1.Tag.2.Value": "2",
    }


def test_a_request_overrides_members_one_by_one_and_structures_as_a_whole() -> None:
    request = {
        "MaxCount": "1",
        "InstanceType": "c7i.xlarge",
        "SecurityGroupId.1": "sg-3",
        "IamInstanceProfile.Arn": "arn",
        "InstanceMarketOptions.SpotOptions.MaxPrice": "1",
        "TagSpecification.1.ResourceType": "instance",
    }
    assert merge_template(request, TEMPLATE) == {"MinCount": "1", "ImageId": "ami-1", **request}
