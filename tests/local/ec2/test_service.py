"""EC2 instances on the embedded AWS: user data of a few lines."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded import Aws, eventually
from tests.local.jobs import document, make_role, statement

BUCKET = "ec2-instances"


@pytest.fixture(scope="module")
def role(aws: Aws) -> str:
    aws.s3.create_bucket(Bucket=BUCKET)
    write = statement(["s3:PutObject"], [f"arn:aws:s3:::{BUCKET}/allowed/*"])
    log = statement(["logs:CreateLogStream"], ["arn:aws:logs:us-east-1:123456789012:log-group:/machines:*"])
    made = make_role(aws, "machine", [write, log], "ec2")
    aws.logs.create_log_group(logGroupName="/machines")
    aws.iam.create_instance_profile(InstanceProfileName="machine")
    aws.iam.add_role_to_instance_profile(InstanceProfileName="machine", RoleName="machine")
    return made


@pytest.fixture(scope="module")
def template(aws: Aws, role: str) -> dict[str, str]:
    """A launch template like TrainingStack's, and its version."""
    made = aws.ec2.create_launch_template(
        LaunchTemplateName="machines",
        LaunchTemplateData={
            "ImageId": "ami-12345678",
            "InstanceType": "c7i.xlarge",
            "IamInstanceProfile": {"Name": "machine"},
            "InstanceInitiatedShutdownBehavior": "terminate",
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "project", "Value": "kennel"}]}],
        },
    )
    return {"LaunchTemplateId": made["LaunchTemplate"]["LaunchTemplateId"], "Version": "$Latest"}


def run(aws: Aws, user_data: str, **changes: Any) -> str:
    """Start one instance and return its id."""
    started = aws.ec2.run_instances(UserData=user_data, MinCount=1, MaxCount=1, **changes)
    assert started["Instances"][0]["State"]["Name"] == "pending"
    return str(started["Instances"][0]["InstanceId"])


def look(aws: Aws, instance: str) -> dict[str, Any]:
    found: dict[str, Any] = aws.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    return found


def reached(aws: Aws, instance: str, state: str) -> None:
    eventually(lambda: look(aws, instance)["State"]["Name"] == state)


def console(aws: Aws, instance: str) -> str:
    return str(aws.ec2.get_console_output(InstanceId=instance).get("Output", ""))


TRAINING = f"""#!/bin/bash
python3 - <<'END'
import json, os, boto3
s3 = boto3.client("s3", "us-east-1")
home = os.environ["HOME"]
s3.put_object(Bucket="{BUCKET}", Key="allowed/where", Body=json.dumps([os.getcwd(), home]).encode())
try:
    s3.put_object(Bucket="{BUCKET}", Key="forbidden", Body=b"")
except s3.exceptions.ClientError as error:
    print(error.response["Error"]["Code"])
boto3.client("logs", "us-east-1").create_log_stream(logGroupName="/machines", logStreamName="training")
END
ec2-metadata -i
shutdown -h now
sleep 100
"""


def test_user_data_runs_with_the_template_s_role_and_shuts_the_instance_down(
    aws: Aws, template: dict[str, str]
) -> None:
    instance = run(aws, TRAINING, LaunchTemplate=template)
    described = look(aws, instance)
    assert described["InstanceType"] == "c7i.xlarge"
    assert described["ImageId"] == "ami-12345678"
    assert described["IamInstanceProfile"]["Arn"].endswith(":instance-profile/machine")
    assert described["Tags"] == [{"Key": "project", "Value": "kennel"}]
    reached(aws, instance, "terminated")
    assert look(aws, instance)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    where, home = json.load(aws.s3.get_object(Bucket=BUCKET, Key="allowed/where")["Body"])
    assert where == home != "/"
    assert "AccessDenied" in console(aws, instance)
    streams = aws.logs.describe_log_streams(logGroupName="/machines")["logStreams"]
    assert [stream["logStreamName"] for stream in streams] == ["training"]
    assert f"instance-id: {instance}" in console(aws, instance)


def test_a_request_overrides_its_template(aws: Aws, template: dict[str, str]) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "job", "Value": "1"}]}]
    changes = {"InstanceType": "g5.xlarge", "InstanceInitiatedShutdownBehavior": "stop", "TagSpecifications": tags}
    instance = run(aws, "#!/bin/sh\nhalt", LaunchTemplate=template, **changes)
    assert look(aws, instance)["InstanceType"] == "g5.xlarge"
    assert look(aws, instance)["Tags"] == tags[0]["Tags"]
    reached(aws, instance, "stopped")


def test_user_data_that_ends_leaves_the_instance_running_until_somebody_terminates_it(
    aws: Aws, template: dict[str, str]
) -> None:
    instance = run(aws, "#!/bin/sh\necho done", LaunchTemplate=template)
    eventually(lambda: "done" in console(aws, instance))
    reached(aws, instance, "running")
    answer = aws.ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"][0]
    assert answer["PreviousState"]["Name"] == "running"
    assert answer["CurrentState"]["Name"] == "shutting-down"
    reached(aws, instance, "terminated")
    again = aws.ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"][0]
    assert again["CurrentState"]["Name"] == "terminated"
    assert look(aws, instance)["StateReason"]["Code"] == "Client.UserInitiatedShutdown"


def test_the_same_request_again_starts_no_second_instance(aws: Aws) -> None:
    one, two = (run(aws, "#!/bin/sh\nshutdown", ClientToken="once") for _ in range(2))
    assert one == two
    assert run(aws, "#!/bin/sh\nshutdown", ClientToken="twice") != one
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        run(aws, "#!/bin/sh\nshutdown", ClientToken="once", InstanceType="g5.xlarge")


def test_every_process_hears_sigterm_when_its_instance_is_terminated(aws: Aws) -> None:
    script = """#!/bin/bash
bash -c 'trap "echo child heard; exit" TERM; echo ready; while :; do sleep 0.1; done' &
trap 'wait; echo script heard; exit' TERM
while :; do sleep 0.1; done
"""
    instance = run(aws, script)
    eventually(lambda: "ready" in console(aws, instance))
    aws.ec2.terminate_instances(InstanceIds=[instance])
    reached(aws, instance, "terminated")
    assert "child heard" in console(aws, instance)
    assert "script heard" in console(aws, instance)


def test_an_instance_without_a_profile_has_no_credentials(aws: Aws) -> None:
    script = "#!/bin/bash\npython3 -c 'import boto3; print(boto3.Session().get_credentials())'\nshutdown now\n"
    instance = run(aws, script)
    eventually(lambda: "None" in console(aws, instance))
    reached(aws, instance, "stopped")


def test_whoever_starts_an_instance_must_be_allowed_to_pass_its_role(
    aws: Aws, role: str, template: dict[str, str]
) -> None:
    aws.iam.create_user(UserName="starter")
    key = aws.iam.create_access_key(UserName="starter")["AccessKey"]
    client = aws.make("ec2", key["AccessKeyId"], key["SecretAccessKey"])

    def allow(*statements: dict[str, Any]) -> None:
        aws.iam.put_user_policy(UserName="starter", PolicyName="p", PolicyDocument=document(list(statements)))

    start = {"LaunchTemplate": template, "MinCount": 1, "MaxCount": 1, "UserData": "#!/bin/sh\nshutdown"}
    allow(statement(["ec2:RunInstances"], ["*"]))
    with pytest.raises(ClientError, match=r"UnauthorizedOperation.*iam:PassRole on resource: \S+:role/machine"):
        client.run_instances(**start)
    condition = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    allow(statement(["ec2:RunInstances"], ["*"]), statement(["iam:PassRole"], [role], **condition))
    with pytest.raises(ClientError, match=r"UnauthorizedOperation.*ec2:CreateTags on resource: \S+:instance/\*"):
        client.run_instances(**start)
    created = {"StringEquals": {"ec2:CreateAction": "RunInstances", "aws:RequestTag/project": "kennel"}}
    tag = statement(["ec2:CreateTags"], ["arn:aws:ec2:us-east-1:123456789012:instance/*"], **created)
    allow(statement(["ec2:RunInstances"], ["*"]), statement(["iam:PassRole"], [role], **condition), tag)
    instance = client.run_instances(**start)["Instances"][0]["InstanceId"]
    reached(aws, instance, "terminated")


def test_whatever_an_instance_brings_along_is_tagged_as_the_request_says(aws: Aws) -> None:
    kinds = ("instance", "volume", "network-interface", "spot-instances-request")
    tags = [{"ResourceType": kind, "Tags": [{"Key": "of", "Value": kind}]} for kind in kinds]
    with pytest.raises(ClientError, match=r"InvalidParameterValue.*'spot-instances-request' is not a valid taggable"):
        run(aws, "#!/bin/sh\nshutdown", TagSpecifications=tags)
    spot = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}}
    instance = run(aws, "#!/bin/sh\nsleep 60", TagSpecifications=tags, InstanceMarketOptions=spot)
    described = look(aws, instance)
    assert described["InstanceLifecycle"] == "spot"
    (volume,) = aws.ec2.describe_volumes(VolumeIds=[described["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]])["Volumes"]
    requests = aws.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[described["SpotInstanceRequestId"]])
    (request,) = requests["SpotInstanceRequests"]

    def interfaces() -> list[dict[str, Any]]:
        found = aws.ec2.describe_network_interfaces()["NetworkInterfaces"]
        return [each for each in found if each["Attachment"]["InstanceId"] == instance]

    (interface,) = interfaces()
    tagged = [described["Tags"], volume["Tags"], interface["TagSet"], request["Tags"]]
    assert tagged == [[{"Key": "of", "Value": kind}] for kind in kinds]
    assert (request["State"], request["InstanceId"]) == ("active", instance)
    aws.ec2.terminate_instances(InstanceIds=[instance])
    reached(aws, instance, "terminated")
    assert interfaces() == []
    with pytest.raises(ClientError, match=r"InvalidVolume\.NotFound"):
        aws.ec2.describe_volumes(VolumeIds=[volume["VolumeId"]])


def test_a_key_is_named_once(aws: Aws) -> None:
    twice = [{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}]
    with pytest.raises(ClientError, match=r"InvalidParameterValue.*Duplicate tag key"):
        run(aws, "#!/bin/sh\nshutdown", TagSpecifications=twice)


@pytest.fixture
def spot_user(aws: Aws) -> Iterator[Any]:
    """A client of a user who may run instances, in an account that never had a spot instance."""
    for role in aws.iam.list_roles(PathPrefix="/aws-service-role/spot.amazonaws.com/")["Roles"]:
        aws.iam.delete_service_linked_role(RoleName=role["RoleName"])
    aws.iam.create_user(UserName="bidder")
    key = aws.iam.create_access_key(UserName="bidder")["AccessKey"]
    policy = document([statement(["ec2:RunInstances"], ["*"])])
    aws.iam.put_user_policy(UserName="bidder", PolicyName="p", PolicyDocument=policy)
    yield aws.make("ec2", key["AccessKeyId"], key["SecretAccessKey"])
    aws.iam.delete_access_key(UserName="bidder", AccessKeyId=key["AccessKeyId"])
    aws.iam.delete_user_policy(UserName="bidder", PolicyName="p")
    aws.iam.delete_user(UserName="bidder")


def test_the_account_s_first_spot_instance_needs_a_service_linked_role(aws: Aws, spot_user: Any) -> None:
    start = {"UserData": "#!/bin/sh\nshutdown", "MinCount": 1, "MaxCount": 1, "ImageId": "ami-12345678"}
    market = {"MarketType": "spot"}
    with pytest.raises(ClientError, match=r"AuthFailure\.ServiceLinkedRoleCreationNotPermitted"):
        spot_user.run_instances(**start, InstanceMarketOptions=market)
    spot_user.run_instances(**start)
    aws.iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")
    spot_user.run_instances(**start, InstanceMarketOptions=market)


def test_an_image_s_parameter_is_resolved_whenever_an_instance_starts(aws: Aws) -> None:
    image = {"Name": "golden", "Type": "String", "DataType": "aws:ec2:image"}
    aws.ssm.put_parameter(**image, Value="ami-0c2023a1b2c3d4e5f")
    made = {"LaunchTemplateName": "resolving", "LaunchTemplateData": {"ImageId": "resolve:ssm:golden"}}
    aws.ec2.create_launch_template(**made)
    of_template = {"LaunchTemplate": {"LaunchTemplateName": "resolving"}}
    assert look(aws, run(aws, "#!/bin/sh\nshutdown", **of_template))["ImageId"] == "ami-0c2023a1b2c3d4e5f"
    aws.ssm.put_parameter(**image, Value="ami-0abcdef1234567890", Overwrite=True)
    assert look(aws, run(aws, "#!/bin/sh\nshutdown", **of_template))["ImageId"] == "ami-0abcdef1234567890"
    public = "resolve:ssm:/aws/service/deeplearning/ami/x86_64/any-amazon-linux-2023/latest/ami-id"
    assert look(aws, run(aws, "#!/bin/sh\nshutdown", ImageId=public))["ImageId"].startswith("ami-")


def test_a_parameter_must_be_an_image_that_the_caller_may_read(aws: Aws, spot_user: Any) -> None:
    aws.ssm.put_parameter(Name="text", Type="String", Value="ami-0c2023a1b2c3d4e5f")
    with pytest.raises(ClientError, match=r"SsmInvalidParameter.*Unsupported data type"):
        run(aws, "#!/bin/sh\nshutdown", ImageId="resolve:ssm:text")
    with pytest.raises(ClientError, match="SsmAccessDenied"):
        spot_user.run_instances(ImageId="resolve:ssm:/aws/service/any", MinCount=1, MaxCount=1)
    data = {"LaunchTemplateData": {"ImageId": "resolve:ssm:text"}}
    template = {"Resources": {"Template": {"Type": "AWS::EC2::LaunchTemplate", "Properties": data}}}
    assert aws.deploy("text-image", template) == "ROLLBACK_COMPLETE"
    assert "Error Code: SsmInvalidParameter" in aws.reasons("text-image")
    aws.cloudformation.delete_stack(StackName="text-image")


def test_a_template_that_is_not_there_is_named(aws: Aws) -> None:
    missing = {"LaunchTemplateId": "lt-00000000000000000"}
    with pytest.raises(ClientError, match="lt-00000000000000000"):
        aws.ec2.run_instances(LaunchTemplate=missing, MinCount=1, MaxCount=1)


def test_a_template_s_own_user_data_is_run(aws: Aws, template: dict[str, str]) -> None:
    script = base64.b64encode(b"#!/bin/sh\necho from the template; shutdown").decode()
    made = aws.ec2.create_launch_template(
        LaunchTemplateName="scripted", LaunchTemplateData={"ImageId": "ami-12345678", "UserData": script}
    )["LaunchTemplate"]
    started = aws.ec2.run_instances(
        LaunchTemplate={"LaunchTemplateName": made["LaunchTemplateName"]}, MinCount=2, MaxCount=2
    )
    assert len(started["Instances"]) == 2
    for instance in started["Instances"]:
        reached(aws, instance["InstanceId"], "stopped")
        assert "from the template" in console(aws, instance["InstanceId"])
