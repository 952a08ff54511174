"""The embedded AWS as its users see it: raw CloudFormation in, boto3 calls out."""

import datetime as dt
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded import Aws, Traffic, alive, eventually
from tests.local.harness import ask
from tests.local.templates import api_resources, bucket_resources, endpoint_resources, role, scaling_resources

NAME = "kennel-test"
SCALING = {"ServiceNamespace": "sagemaker", "ResourceId": f"endpoint/{NAME}/variant/AllTraffic"}


def whole(artifact: str) -> dict[str, Any]:
    """Return the template with everything that this project deploys."""
    return {
        "Resources": {
            **bucket_resources(),
            **endpoint_resources(NAME, artifact),
            **scaling_resources(NAME, target=10_000),
            **api_resources(NAME),
        },
        "Outputs": {
            "Bucket": {"Value": {"Ref": "Bucket"}},
            "Config": {"Value": {"Fn::GetAtt": ["Config", "EndpointConfigName"]}},
            "Model": {"Value": {"Fn::GetAtt": ["Model", "ModelName"]}},
            "HostingRole": {"Value": {"Ref": "HostingRole"}},
            "UrlFunction": {"Value": {"Fn::GetAtt": ["Url", "FunctionArn"]}},
        },
    }


@pytest.fixture(scope="module")
def stack(aws: Aws, artifacts: str) -> str:
    """Deploy everything once."""
    assert aws.deploy("whole", whole("one")) == "CREATE_COMPLETE", aws.reasons("whole")
    return "whole"


def outputs(aws: Aws, stack: str) -> dict[str, str]:
    described = aws.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}


def denied(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return f"{caught.value.response['Error']['Code']}: {caught.value.response['Error']['Message']}"


def session(aws: Aws, service: str, *statements: dict[str, Any]) -> Any:
    """Return a client of a user with a policy of these statements."""
    return aws.make(service, *aws.user(*statements))


# What is deployed is there, property by property


def test_every_bucket_property_is_there(aws: Aws, stack: str) -> None:
    s3, bucket = aws.s3, {"Bucket": outputs(aws, stack)["Bucket"]}
    default = s3.get_bucket_encryption(**bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert default["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    leftovers, capture = s3.get_bucket_lifecycle_configuration(**bucket)["Rules"]
    assert leftovers["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert leftovers["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert capture["ID"] == "Capture"
    assert capture["Status"] == "Enabled"
    assert capture["Filter"] == {"Prefix": "capture/"}
    assert capture["Expiration"] == {"Days": 90}
    assert capture["Transitions"] == [{"Days": 30, "StorageClass": "STANDARD_IA"}]
    assert set(s3.get_public_access_block(**bucket)["PublicAccessBlockConfiguration"].values()) == {True}
    assert s3.get_bucket_versioning(**bucket)["Status"] == "Enabled"
    ownership = s3.get_bucket_ownership_controls(**bucket)["OwnershipControls"]["Rules"]
    assert ownership == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert s3.get_bucket_logging(**bucket)["LoggingEnabled"]["TargetPrefix"] == "log/"
    assert {"Key": "part", "Value": "storage"} in s3.get_bucket_tagging(**bucket)["TagSet"]
    statement = json.loads(s3.get_bucket_policy(**bucket)["Policy"])["Statement"][0]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_every_model_and_endpoint_property_is_there(aws: Aws, stack: str) -> None:
    made, sagemaker = outputs(aws, stack), aws.sagemaker
    model = sagemaker.describe_model(ModelName=made["Model"])
    assert model["EnableNetworkIsolation"] is True
    assert model["PrimaryContainer"]["ModelDataUrl"] == "s3://artifacts/one.tar.gz"
    assert model["PrimaryContainer"]["Environment"] == {"MODEL_ARTIFACT_SHA256": "abc"}
    assert model["ExecutionRoleArn"].endswith(made["HostingRole"])
    config = sagemaker.describe_endpoint_config(EndpointConfigName=made["Config"])
    variant = config["ProductionVariants"][0]
    assert variant["ModelName"] == made["Model"]
    assert variant["InstanceType"] == "ml.c7i.large"
    assert variant["ModelDataDownloadTimeoutInSeconds"] == 60
    assert variant["ContainerStartupHealthCheckTimeoutInSeconds"] == 60
    tags = sagemaker.list_tags(ResourceArn=config["EndpointConfigArn"])["Tags"]
    assert {"Key": "artifact", "Value": "one"} in tags
    endpoint = sagemaker.describe_endpoint(EndpointName=NAME)
    assert endpoint["EndpointStatus"] == "InService"
    assert endpoint["EndpointConfigName"] == made["Config"]
    assert [v["CurrentInstanceCount"] for v in endpoint["ProductionVariants"]] == [1]
    assert [e["EndpointName"] for e in sagemaker.list_endpoints(NameContains="kennel")["Endpoints"]] == [NAME]


def test_every_scaling_property_is_there(aws: Aws, stack: str) -> None:
    scaling = aws.application_autoscaling
    target = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[SCALING["ResourceId"]])[
        "ScalableTargets"
    ][0]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 3)
    linked = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    assert target["RoleARN"].endswith(linked)
    assert aws.iam.get_role(RoleName=linked)["Role"]["Arn"] == target["RoleARN"]
    policy = scaling.describe_scaling_policies(**SCALING)["ScalingPolicies"][0]
    config = policy["TargetTrackingScalingPolicyConfiguration"]
    assert (config["TargetValue"], config["ScaleInCooldown"], config["ScaleOutCooldown"]) == (10_000, 60, 60)
    names = [alarm["AlarmName"] for alarm in policy["Alarms"]]
    alarms = aws.cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
    assert {(a["Threshold"], a["EvaluationPeriods"], a["Period"]) for a in alarms} == {(10_000, 3, 60), (9_000, 15, 60)}


def test_every_function_property_is_there(aws: Aws, stack: str) -> None:
    function = aws.make("lambda")
    config = function.get_function_configuration(FunctionName="predict", Qualifier="live")
    assert (config["Runtime"], config["Architectures"]) == ("python3.13", ["arm64"])
    assert (config["MemorySize"], config["Timeout"]) == (512, 29)
    assert config["Environment"]["Variables"] == {"ENDPOINT_NAME": NAME}
    assert config["LoggingConfig"]["LogGroup"] == "/aws/lambda/predict"
    assert function.get_function_concurrency(FunctionName="predict")["ReservedConcurrentExecutions"] == 3
    provisioned = function.get_provisioned_concurrency_config(FunctionName="predict", Qualifier="live")
    assert provisioned["AllocatedProvisionedConcurrentExecutions"] == 2
    url = function.get_function_url_config(FunctionName="predict", Qualifier="live")
    assert url["AuthType"] == "AWS_IAM"
    assert url["FunctionArn"].endswith(":function:predict:live")
    assert outputs(aws, stack)["UrlFunction"] == url["FunctionArn"]
    group = aws.logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/predict")["logGroups"][0]
    assert group["retentionInDays"] == 7


def test_provisioned_environments_are_started_before_the_first_request(aws: Aws, stack: str) -> None:
    def version_workers() -> list[str]:
        found = []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                content = environ.read_bytes().decode(errors="replace")
            except OSError:
                continue
            if "AWS_LAMBDA_FUNCTION_NAME=predict" in content and aws.environment["AWS_CA_BUNDLE"] in content:
                found.append(environ.parent.name)
        return found

    assert len(version_workers()) >= 2


# Invocation


def test_a_model_sees_what_a_container_sees(aws: Aws, stack: str) -> None:
    answer = ask(aws, NAME)
    environment = answer["environment"]
    assert environment["MODEL_ARTIFACT_SHA256"] == "abc"
    assert environment["BIND_HOST"] == "127.0.0.1"
    assert Path(environment["SM_MODEL_DIR"]).is_absolute()
    assert not [name for name in environment if name.startswith(("AWS_ACCESS", "AWS_SECRET", "AWS_SESSION"))]


def test_headers_travel_both_ways(aws: Aws, stack: str) -> None:
    answer = aws.sagemaker_runtime.invoke_endpoint(
        EndpointName=NAME,
        Body=b"{}",
        ContentType="image/png",
        Accept="application/json",
        CustomAttributes="top_k=3",
        TargetVariant="AllTraffic",
    )
    headers = json.load(answer["Body"])["headers"]
    assert headers["Content-Type"] == "image/png"
    assert headers["Accept"] == "application/json"
    assert headers["X-Amzn-SageMaker-Custom-Attributes"] == "top_k=3"
    assert answer["ContentType"] == "application/json"
    assert answer["CustomAttributes"] == "seen=1"
    assert answer["InvokedProductionVariant"] == "AllTraffic"


def test_a_model_s_error_is_a_model_error_with_its_status_and_message(aws: Aws, stack: str) -> None:
    runtime = aws.sagemaker_runtime
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        ask(aws, NAME, status=415)
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == 415
    assert json.loads(response["OriginalMessage"])["model"] == "one"
    assert response["Error"]["Message"].startswith("Received client error (415) from primary with message")


def test_a_body_over_25_megabytes_is_refused(aws: Aws, stack: str) -> None:
    message = denied(aws.sagemaker_runtime.invoke_endpoint, EndpointName=NAME, Body=b"0" * (25 * 1024 * 1024 + 1))
    assert message == "413: HTTP content length exceeded 26214400 bytes."


def test_an_unknown_endpoint_or_variant_is_refused_in_aws_s_words(aws: Aws, stack: str) -> None:
    invoke = aws.sagemaker_runtime.invoke_endpoint
    unknown = denied(invoke, EndpointName="nobody", Body=b"")
    assert unknown == "ValidationError: Endpoint nobody of account 123456789012 not found."
    assert denied(invoke, EndpointName=NAME, Body=b"", TargetVariant="Other").startswith("ValidationError: ")


def test_invocations_publish_metrics_in_aws_s_units(aws: Aws, stack: str) -> None:
    dimensions = [{"Name": "EndpointName", "Value": NAME}, {"Name": "VariantName", "Value": "AllTraffic"}]
    now = dt.datetime.now(dt.UTC)

    def statistic(metric: str, name: str) -> float:
        points = aws.cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=dimensions,
            StartTime=now - dt.timedelta(hours=1),
            EndTime=now + dt.timedelta(hours=1),
            Period=7200,
            Statistics=[name],
        )["Datapoints"]
        return float(sum(point[name] for point in points))

    ask(aws, NAME)
    seen, before = -1.0, 0.0
    while not before or before > seen:  # what others have asked is published each second, and may still be coming
        time.sleep(3)
        seen, before = before, statistic("Invocations", "Sum")
    for _ in range(5):
        ask(aws, NAME, sleep=0.05)
    with pytest.raises(ClientError):
        ask(aws, NAME, status=500)
    eventually(lambda: statistic("Invocations", "Sum") == before + 6)
    assert statistic("ModelLatency", "Maximum") >= 50_000
    assert statistic("Invocation5XXErrors", "Sum") >= 1
    assert 0 < statistic("OverheadLatency", "Minimum") < 50_000


def test_the_last_words_of_a_server_that_did_not_start_are_in_cloudwatch_logs(aws: Aws, artifacts: str) -> None:
    assert aws.deploy("hopeless", {"Resources": endpoint_resources("hopeless", "broken")}) == "ROLLBACK_COMPLETE"
    events = aws.logs.filter_log_events(logGroupName="/aws/sagemaker/Endpoints/hopeless")["events"]
    assert [event["message"] for event in events] == ["this model cannot be loaded"]


def test_what_an_instance_prints_is_in_cloudwatch_logs(aws: Aws, stack: str) -> None:
    def messages() -> list[str]:
        found = aws.logs.describe_log_groups(logGroupNamePrefix=f"/aws/sagemaker/Endpoints/{NAME}")["logGroups"]
        if not found:
            return []
        events = aws.logs.filter_log_events(logGroupName=f"/aws/sagemaker/Endpoints/{NAME}")["events"]
        return [event["message"] for event in events]

    assert "serving one" in eventually(messages)


def test_a_function_reaches_its_endpoint_through_the_alias_with_its_role(aws: Aws, stack: str) -> None:
    answer = aws.make("lambda").invoke(FunctionName="predict", Qualifier="live", Payload=b"{}")
    body = json.loads(json.load(answer["Payload"])["body"])
    assert body["model"] == "one"


def test_a_function_is_denied_on_another_endpoint(aws: Aws, stack: str) -> None:
    payload = json.dumps({"endpoint": "somebody-else"})
    answer = aws.make("lambda").invoke(FunctionName="predict", Qualifier="live", Payload=payload)
    message = json.load(answer["Payload"])["errorMessage"]
    assert "AccessDeniedException" in message
    assert (
        "sagemaker:InvokeEndpoint on resource: arn:aws:sagemaker:us-east-1:123456789012:endpoint/somebody-else"
        in message
    )


def test_a_function_url_answers_signed_requests_only(aws: Aws, stack: str) -> None:
    shown = aws.make("lambda").get_function_url_config(FunctionName="predict", Qualifier="live")["FunctionUrl"]
    status, body = aws.ask_url(shown, b"{}", "application/json")
    assert (status, json.loads(body)["model"]) == (200, "one")
    assert aws.ask_url(shown, b"{}", "application/json", signed=False)[0] == 403


def test_a_function_url_asks_its_caller_for_both_permissions(aws: Aws, stack: str) -> None:
    shown = aws.make("lambda").get_function_url_config(FunctionName="predict", Qualifier="live")
    live = {"Resource": shown["FunctionArn"]}
    url = {"Action": "lambda:InvokeFunctionUrl", **live}
    url["Condition"] = {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}
    through = {
        "Action": "lambda:InvokeFunction",
        "Condition": {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
        **live,
    }
    for statements in ([url], [through], [{**url, "Resource": f"{live['Resource']}x"}, through]):
        status, body = aws.ask_url(shown["FunctionUrl"], b"{}", "application/json", caller=aws.user(*statements))
        assert status == 403
        assert json.loads(body)["Message"].startswith("Forbidden.")
    both = aws.user(url, through)
    assert aws.ask_url(shown["FunctionUrl"], b"{}", "application/json", caller=both)[0] == 200
    assert aws.ask_url(shown["FunctionUrl"], b"{}", "application/json", caller=(both[0], "guessed"))[0] == 403
    directly = denied(aws.make("lambda", *both).invoke, FunctionName="predict", Qualifier="live")
    assert directly.startswith("AccessDeniedException")


def test_an_unknown_key_is_refused(aws: Aws, stack: str) -> None:
    forged = aws.make("sagemaker-runtime", "AKIAFORGED", "guessed")
    assert denied(forged.invoke_endpoint, EndpointName=NAME, Body=b"").startswith("UnrecognizedClientException")


def test_a_wrong_secret_is_refused(aws: Aws, stack: str) -> None:
    aws.iam.create_user(UserName="victim")
    key = aws.iam.create_access_key(UserName="victim")["AccessKey"]["AccessKeyId"]
    forged = aws.make("sagemaker-runtime", key, "guessed")
    assert denied(forged.invoke_endpoint, EndpointName=NAME, Body=b"").startswith("InvalidSignatureException")


def test_a_caller_may_only_invoke_the_endpoint_that_its_policy_names(aws: Aws, stack: str) -> None:
    mine = f"arn:aws:sagemaker:us-east-1:123456789012:endpoint/{NAME}"
    runtime = session(aws, "sagemaker-runtime", {"Action": "sagemaker:InvokeEndpoint", "Resource": mine})
    assert runtime.invoke_endpoint(EndpointName=NAME, Body=b"{}")["ContentType"] == "application/json"
    assert "endpoint/other" in denied(runtime.invoke_endpoint, EndpointName="other", Body=b"")


def test_the_control_plane_is_authorised_by_resource(aws: Aws, stack: str) -> None:
    mine = f"arn:aws:sagemaker:us-east-1:123456789012:endpoint/{NAME}"
    sagemaker = session(aws, "sagemaker", {"Action": "sagemaker:DescribeEndpoint", "Resource": mine})
    assert sagemaker.describe_endpoint(EndpointName=NAME)["EndpointStatus"] == "InService"
    for message in (
        denied(sagemaker.describe_endpoint, EndpointName="other"),
        denied(sagemaker.delete_endpoint, EndpointName=NAME),
        denied(sagemaker.list_endpoints),
    ):
        assert message.startswith("AccessDeniedException: User: arn:aws:iam::123456789012:user/")


def test_creating_a_model_needs_the_right_to_pass_its_role(aws: Aws, stack: str) -> None:
    arn = aws.iam.get_role(RoleName=outputs(aws, stack)["HostingRole"])["Role"]["Arn"]
    model = {"ModelName": "passed", "ExecutionRoleArn": arn, "PrimaryContainer": {"Image": "image"}}
    create = {"Action": "sagemaker:CreateModel", "Resource": "*"}
    message = denied(session(aws, "sagemaker", create).create_model, **model)
    assert "is not authorized to perform: iam:PassRole on resource: " + arn in message
    condition = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    passing = {"Action": "iam:PassRole", "Resource": arn, "Condition": condition}
    assert session(aws, "sagemaker", create, passing).create_model(**model)["ModelArn"].endswith("model/passed")


def test_a_role_that_does_not_trust_sagemaker_is_refused(aws: Aws, stack: str) -> None:
    template = {"Resources": {"Role": role("lambda", {"Action": "s3:GetObject", "Resource": "*"})}}
    assert aws.deploy("untrusting", template) == "CREATE_COMPLETE"
    name = aws.cloudformation.describe_stack_resources(StackName="untrusting")["StackResources"][0]
    arn = aws.iam.get_role(RoleName=name["PhysicalResourceId"])["Role"]["Arn"]
    message = denied(
        aws.sagemaker.create_model, ModelName="m", ExecutionRoleArn=arn, PrimaryContainer={"Image": "image"}
    )
    assert message.startswith(f"ValidationException: Could not assume role {arn}.")


# Input


def test_input_is_checked_against_aws_s_own_model(aws: Aws, stack: str) -> None:
    variant = {
        "VariantName": "a",
        "ModelName": outputs(aws, stack)["Model"],
        "InitialInstanceCount": 1,
        "InstanceType": "ml.c7i.enormous",
    }
    create = aws.sagemaker.create_endpoint_config
    enum = denied(create, EndpointConfigName="c", ProductionVariants=[variant])
    assert "'ml.c7i.enormous' at 'productionVariants.1.member.instanceType'" in enum
    pattern = denied(create, EndpointConfigName="no_underscores", ProductionVariants=[variant])
    assert "failed to satisfy constraint: Member must satisfy regular expression pattern" in pattern


def test_missing_resources_are_named_in_aws_s_words(aws: Aws, stack: str) -> None:
    message = denied(aws.sagemaker.describe_endpoint, EndpointName="nobody")
    expected = (
        'ValidationException: Could not find endpoint "arn:aws:sagemaker:us-east-1:123456789012:endpoint/nobody".'
    )
    assert message == expected
    unknown = {
        **SCALING,
        "ResourceId": "endpoint/nobody/variant/x",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    register = aws.application_autoscaling.register_scalable_target
    assert "No endpoint variant found" in denied(register, **unknown, MinCapacity=1, MaxCapacity=2)


# Change and failure


def test_a_crashed_instance_is_replaced(aws: Aws, stack: str) -> None:
    pid = ask(aws, NAME)["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid))

    eventually(lambda: _serves(aws))
    assert ask(aws, NAME)["pid"] != pid
    assert aws.sagemaker.describe_endpoint(EndpointName=NAME)["EndpointStatus"] == "InService"


def test_a_request_that_ends_the_server_is_a_model_error_and_is_not_sent_again(aws: Aws, stack: str) -> None:
    with pytest.raises(aws.sagemaker_runtime.exceptions.ModelError) as caught:
        ask(aws, NAME, exit=True)
    assert caught.value.response["OriginalStatusCode"] == 500
    eventually(lambda: _serves(aws))


def test_a_new_artifact_rolls_the_same_endpoint_without_a_failed_request(aws: Aws, stack: str) -> None:
    old_model, old_pid = outputs(aws, stack)["Model"], ask(aws, NAME)["pid"]
    with Traffic(lambda: ask(aws, NAME)) as traffic, ThreadPoolExecutor() as threads:
        eventually(lambda: len(traffic.answers) > 20)
        slow = threads.submit(ask, aws, NAME, sleep=3)
        assert aws.deploy(stack, whole("two")) == "UPDATE_COMPLETE", aws.reasons(stack)
        assert slow.result()["pid"] == old_pid
        eventually(lambda: models(traffic)[-5:] == ["two"] * 5)
    assert traffic.failures == []
    assert not alive(old_pid)
    assert outputs(aws, stack)["Model"] != old_model
    assert old_model in denied(aws.sagemaker.describe_model, ModelName=old_model)


@pytest.mark.parametrize(
    ("artifact", "reason"),
    [
        ("broken", "Its last line: this model cannot be loaded"),
        ("damaged", 'Failed to extract model data archive from URL "s3://artifacts/damaged.tar.gz"'),
        ("absent", "An error occurred (NoSuchKey)"),
    ],
)
def test_a_bad_artifact_rolls_back_while_the_old_model_answers(
    aws: Aws, stack: str, artifact: str, reason: str
) -> None:
    before, serving = outputs(aws, stack), ask(aws, NAME)["model"]
    with Traffic(lambda: ask(aws, NAME)) as traffic:
        assert aws.deploy(stack, whole(artifact)) == "UPDATE_ROLLBACK_COMPLETE"
        answered = len(traffic.answers)
        eventually(lambda: len(traffic.answers) > answered + 20)
    assert traffic.failures == []
    assert set(models(traffic)) == {serving}
    assert outputs(aws, stack) == before
    endpoint = aws.sagemaker.describe_endpoint(EndpointName=NAME)
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", before["Config"])
    assert reason in endpoint["FailureReason"]
    assert reason in aws.reasons(stack)


def test_after_a_silent_rollback_the_stack_says_updated_and_the_old_fleet_still_scales(
    aws: Aws, artifacts: str
) -> None:
    def template(artifact: str) -> dict[str, Any]:
        resources = endpoint_resources("silent", artifact)
        for replaced in ("Model", "Config"):
            resources[replaced]["UpdateReplacePolicy"] = "Retain"
        pattern = {"source": ["aws.sagemaker"], "detail": {"EndpointName": ["silent"]}}
        topic = {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "silent"}}
        target = {"Id": "Topic", "Arn": {"Ref": "Topic"}}
        rule = {"Type": "AWS::Events::Rule", "Properties": {"EventPattern": pattern, "Targets": [target]}}
        publish = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sns:Publish",
            "Resource": {"Ref": "Topic"},
            "Condition": {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["Rule", "Arn"]}}},
        }
        over_tls = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sns:Publish",
            "Resource": {"Ref": "Topic"},
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        policy = {
            "Type": "AWS::SNS::TopicPolicy",
            "Properties": {"Topics": [{"Ref": "Topic"}], "PolicyDocument": {"Statement": [publish, over_tls]}},
        }
        return {"Resources": {**resources, "Topic": topic, "Rule": rule, "Policy": policy}}

    def notified() -> list[str]:
        received = aws.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        messages = [json.loads(json.loads(message["Body"])["Message"]) for message in received]
        return [message["detail"]["EndpointStatus"] for message in messages]

    assert aws.deploy("silent", template("one")) == "CREATE_COMPLETE", aws.reasons("silent")
    before = aws.sagemaker.describe_endpoint(EndpointName="silent")
    tag = {"Key": "local:silent-rollback", "Value": "yes"}
    aws.sagemaker.add_tags(ResourceArn=before["EndpointArn"], Tags=[tag])
    queue_arn = "arn:aws:sqs:us-east-1:123456789012:silent"
    let_in = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:*",
        "Resource": queue_arn,
    }
    attributes = {"Policy": json.dumps({"Version": "2012-10-17", "Statement": [let_in]})}
    queue = aws.sqs.create_queue(QueueName="silent", Attributes=attributes)["QueueUrl"]
    aws.sns.subscribe(TopicArn="arn:aws:sns:us-east-1:123456789012:silent", Protocol="sqs", Endpoint=queue_arn)
    assert aws.deploy("silent", template("broken")) == "UPDATE_COMPLETE"
    after = aws.sagemaker.describe_endpoint(EndpointName="silent")
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", before["EndpointConfigName"])
    assert "FailureReason" not in after
    assert notified() == ["UPDATING", "IN_SERVICE"]
    wish = {"VariantName": "AllTraffic", "DesiredInstanceCount": 2}
    aws.sagemaker.update_endpoint_weights_and_capacities(EndpointName="silent", DesiredWeightsAndCapacities=[wish])
    eventually(lambda: len({ask(aws, "silent")["pid"] for _ in range(10)}) == 2)
    assert ask(aws, "silent")["model"] == "one"
    aws.cloudformation.delete_stack(StackName="silent")
    eventually(lambda: not [s for s in aws.sagemaker.list_endpoints()["Endpoints"] if s["EndpointName"] == "silent"])


def test_without_the_right_to_read_its_artifact_an_endpoint_fails_and_says_why(aws: Aws, artifacts: str) -> None:
    template = {"Resources": endpoint_resources("unreadable", "one", may_read=False)}
    assert aws.deploy("unreadable", template) == "ROLLBACK_COMPLETE"
    reasons = aws.reasons("unreadable")
    assert "the role passed to CreateModel has permissions to download the model" in reasons
    assert "AccessDenied" in reasons
    assert "Could not find endpoint" in denied(aws.sagemaker.describe_endpoint, EndpointName="unreadable")


def test_target_tracking_starts_and_stops_processes(aws: Aws, artifacts: str) -> None:
    resources = {**endpoint_resources("busy", "one"), **scaling_resources("busy", maximum=3, target=4)}
    assert aws.deploy("busy", {"Resources": resources}) == "CREATE_COMPLETE", aws.reasons("busy")

    def instances() -> int:
        described = aws.sagemaker.describe_endpoint(EndpointName="busy")
        settled = described["EndpointStatus"] == "InService"
        return int(described["ProductionVariants"][0]["CurrentInstanceCount"]) if settled else 0

    with Traffic(lambda: ask(aws, "busy")) as traffic:
        eventually(lambda: instances() == 3)
        eventually(lambda: len(set(pids(traffic)[-30:])) == 3)
        started = set(pids(traffic))
    eventually(lambda: instances() == 1, 60)
    assert traffic.failures == []
    eventually(lambda: sum(alive(pid) for pid in started) == 1)
    busy = {"ServiceNamespace": "sagemaker", "ResourceId": "endpoint/busy/variant/AllTraffic"}
    activities = aws.application_autoscaling.describe_scaling_activities(**busy)["ScalingActivities"]
    assert {activity["StatusCode"] for activity in activities} == {"Successful"}
    assert "Setting desired instance count to 3." in {activity["Description"] for activity in activities}
    high = aws.application_autoscaling.describe_scaling_policies(**busy)["ScalingPolicies"][0]["Alarms"][0]
    history = aws.cloudwatch.describe_alarm_history(AlarmName=high["AlarmName"])["AlarmHistoryItems"]
    assert any("ALARM" in item["HistorySummary"] for item in history)


def test_an_update_keeps_the_scaled_out_count_when_it_is_told_to(aws: Aws, artifacts: str) -> None:
    def deploy(artifact: str) -> str:
        return aws.deploy("retained", {"Resources": endpoint_resources("retained", artifact)})

    def count() -> list[int]:
        described = aws.sagemaker.describe_endpoint(EndpointName="retained")
        return [variant["CurrentInstanceCount"] for variant in described["ProductionVariants"]]

    assert deploy("one") == "CREATE_COMPLETE"
    aws.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="retained",
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}],
    )
    eventually(lambda: count() == [2])
    assert deploy("two") == "UPDATE_COMPLETE"
    assert count() == [2]
    config = aws.sagemaker.describe_endpoint(EndpointName="retained")["EndpointConfigName"]
    aws.sagemaker.update_endpoint(EndpointName="retained", EndpointConfigName=config)
    eventually(lambda: count() == [1])
    aws.cloudformation.delete_stack(StackName="retained")
    eventually(lambda: "Could not find" in _describe(aws, "retained"))


def test_a_scaled_variant_s_instance_type_cannot_change(aws: Aws, stack: str) -> None:
    template = whole("one")
    variant = template["Resources"]["Config"]["Properties"]["ProductionVariants"][0]
    variant["InstanceType"] = "ml.c7i.xlarge"
    assert aws.deploy(stack, template) == "UPDATE_ROLLBACK_COMPLETE"
    assert "deregister its scalable target" in aws.reasons(stack)


def test_capture_is_written_with_the_rights_of_the_execution_role_or_not_at_all(aws: Aws, artifacts: str) -> None:
    resources = endpoint_resources("captured", "one")
    resources["Config"]["Properties"]["DataCaptureConfig"] = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://captured/capture",
        "CaptureOptions": [{"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }
    outputs_ = {"HostingRole": {"Value": {"Ref": "HostingRole"}}}
    aws.s3.create_bucket(Bucket="captured")
    assert aws.deploy("captured", {"Resources": resources, "Outputs": outputs_}) == "CREATE_COMPLETE"

    def invoke(inference_id: str) -> None:
        invoke = aws.sagemaker_runtime.invoke_endpoint
        invoke(EndpointName="captured", Body=b"{}", ContentType="image/png", InferenceId=inference_id)

    def keys() -> list[str]:
        return [item["Key"] for item in aws.s3.list_objects_v2(Bucket="captured").get("Contents", [])]

    def lines() -> list[dict[str, Any]]:
        bodies = [aws.s3.get_object(Bucket="captured", Key=key)["Body"].read() for key in keys()]
        return [json.loads(line) for body in bodies for line in body.splitlines()]

    log = Path(aws.environment["AWS_CA_BUNDLE"]).parent / "gateway.log"
    invoke("denied")
    eventually(lambda: "capture of captured/AllTraffic" in log.read_text())
    assert "s3:PutObject" in log.read_text().split("capture of captured/AllTraffic")[1].splitlines()[0]
    assert keys() == []
    write = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::captured/capture/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [write]})
    role = outputs(aws, "captured")["HostingRole"]
    aws.iam.put_role_policy(RoleName=role, PolicyName="Capture", PolicyDocument=policy)
    for number in range(5):
        invoke(f"allowed-{number}")
    eventually(lambda: len(lines()) == 5)
    assert {line["eventMetadata"]["inferenceId"] for line in lines()} == {f"allowed-{number}" for number in range(5)}
    assert {tuple(line["captureData"]) for line in lines()} == {("endpointOutput",)}
    assert all(key.startswith("capture/captured/AllTraffic/") for key in keys())
    message = denied(aws.sagemaker_runtime.invoke_endpoint, EndpointName="captured", Body=b"{}", InferenceId="x" * 65)
    assert message.startswith("ValidationError: 1 validation error detected")
    aws.iam.delete_role_policy(RoleName=role, PolicyName="Capture")
    aws.cloudformation.delete_stack(StackName="captured")
    eventually(lambda: "Could not find" in _describe(aws, "captured"))


def test_an_instance_type_changes_in_two_deployments_without_scaling_in_between(aws: Aws, artifacts: str) -> None:
    def deploy(instance_type: str, *, scaled: bool) -> str:
        resources = {**endpoint_resources("typed", "one"), **(scaling_resources("typed") if scaled else {})}
        resources["Config"]["Properties"]["ProductionVariants"][0]["InstanceType"] = instance_type
        return aws.deploy("typed", {"Resources": resources})

    def targets() -> list[str]:
        found = aws.application_autoscaling.describe_scalable_targets(
            ServiceNamespace="sagemaker", ResourceIds=["endpoint/typed/variant/AllTraffic"]
        )
        return [target["ResourceId"] for target in found["ScalableTargets"]]

    assert deploy("ml.c7i.large", scaled=True) == "CREATE_COMPLETE", aws.reasons("typed")
    assert deploy("ml.c7i.large", scaled=False) == "UPDATE_COMPLETE", aws.reasons("typed")
    assert targets() == []
    assert deploy("ml.c7i.xlarge", scaled=True) == "UPDATE_COMPLETE", aws.reasons("typed")
    assert targets() == ["endpoint/typed/variant/AllTraffic"]
    config = aws.sagemaker.describe_endpoint(EndpointName="typed")["EndpointConfigName"]
    (variant,) = aws.sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
    assert variant["InstanceType"] == "ml.c7i.xlarge"
    aws.cloudformation.delete_stack(StackName="typed")
    eventually(lambda: "Could not find" in _describe(aws, "typed"))


def test_a_deleted_stack_leaves_nothing(aws: Aws, artifacts: str) -> None:
    resources = {**endpoint_resources("short", "one"), **scaling_resources("short")}
    assert aws.deploy("short", {"Resources": resources}) == "CREATE_COMPLETE", aws.reasons("short")
    pid = ask(aws, "short")["pid"]
    aws.cloudformation.delete_stack(StackName="short")
    aws.cloudformation.get_waiter("stack_delete_complete").wait(StackName="short", WaiterConfig={"Delay": 1})
    assert not alive(pid)
    assert "Could not find" in _describe(aws, "short")
    assert aws.sagemaker.list_models(NameContains="short")["Models"] == []
    assert aws.sagemaker.list_endpoint_configs(NameContains="short")["EndpointConfigs"] == []
    targets = aws.application_autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert not [target for target in targets if "/short/" in target["ResourceId"]]
    alarms = aws.cloudwatch.describe_alarms(AlarmNamePrefix="TargetTracking-endpoint/short/")["MetricAlarms"]
    assert alarms == []


def models(traffic: Traffic) -> list[str]:
    return [answer["model"] for answer in traffic.answers]


def pids(traffic: Traffic) -> list[int]:
    return [answer["pid"] for answer in traffic.answers]


def _serves(aws: Aws) -> bool:
    try:
        return bool(ask(aws, NAME))
    except ClientError:
        return False


def _describe(aws: Aws, endpoint: str) -> str:
    try:
        return str(aws.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"])
    except ClientError as error:
        return str(error)
