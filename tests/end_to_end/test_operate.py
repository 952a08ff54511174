"""Each command that changes an environment, once, on an environment of its own: in this order."""

import dataclasses
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from operate import stack as stacks
from operate.account import Account
from operate.environment import load_environment
from operate.errors import OperateError
from operate.retained import retained
from operate.serving import verdict
from tests.embedded import KENNEL, Traffic, eventually
from tests.end_to_end import aws_commands
from tests.end_to_end.environment import Environment, copied_project, operate
from tests.end_to_end.project import Deployment, Model

NAME = "operated"
ACCOUNT, REGION = "123456789012", "us-east-1"
BEFORE = "of-before"
DECLARED = "declared"
BUCKET = f"kennel-{NAME}-{ACCOUNT}-{REGION}"
HTTP_API = """
[api.http_api]
authorizer = "iam"
rate_per_second = 50
burst = 100
cors_origins = []
"""
FAILED = {"status": "502", "integrationStatus": "200"}
REFUSED = {"status": "415", "integrationStatus": "200"}

PRINTS = {
    "describe-stack-events": "UPDATE_COMPLETE|CREATE_COMPLETE",
    "Endpoints/$NAME": "server: serving",
    "Task timed out": r"\A2026 Task timed out after 29.00 seconds\Z",
    "/aws/lambda/$NAME": "Task timed out",
    "status = 5*": rf"\A{re.escape(json.dumps(FAILED))}\Z",
    "status = 4*": rf"\A{re.escape(json.dumps(REFUSED))}\Z",
    "describe-endpoint": "InService",
    "receive-message": "the failed event",
    "get-account-settings": "ConcurrentExecutions",
    "get-provisioned-concurrency-config": "READY",
    "list-models": "KennelEndpoint-",
    "describe-model": r"s3://\S+\.tar\.gz",
    "update-endpoint ": "arn:aws:sagemaker",
    "get-trail-status": "false",
}
"""What a command prints, by a part of it; the first that is in the command decides."""


@pytest.fixture(scope="module")
def environment(
    bootstrapped: Deployment, first: Model, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    """The settings of the demo under another name, bound to the account, with an HTTP API.

    They have no access log of the bucket, which would stay.
    """
    project = copied_project(tmp_path_factory.mktemp(NAME))
    text = (project / "settings/local.toml").read_text()
    for old, new in {
        "\naccess_log_days = 30\n": "\n",
        "[account]\n": f'[account]\nid = "{ACCOUNT}"\nregion = "{REGION}"\n',
        "[api.asynchronous]\n": f"{HTTP_API}\n[api.asynchronous]\n",
    }.items():
        assert old in text
        text = text.replace(old, new)
    (project / f"settings/{NAME}.toml").write_text(text)
    environment = Environment(dataclasses.replace(bootstrapped, settings=NAME), project, first)
    yield environment
    for name in environment.remaining():  # where a test has failed
        environment.aws.cloudformation.delete_stack(StackName=name)
    eventually(lambda: environment.remaining() == [], 60)


def account(environment: Environment) -> Account:
    """Return the account as the commands see it, to look at something between two of them."""
    aws = environment.aws
    return cast(
        Account, SimpleNamespace(id=ACCOUNT, region=REGION, cloudformation=aws.cloudformation, sagemaker=aws.sagemaker)
    )


def serves(environment: Environment) -> str:
    return str(environment.endpoint()["artifact"])


def instances(environment: Environment) -> str:
    return str(environment.endpoint()["variant"]["InstanceType"])


def beside(environment: Environment) -> bool:
    """Return whether the manifest lies beside the artifact that serves."""
    model = environment.aws.sagemaker.describe_model(ModelName=environment.endpoint()["model"])
    bucket, key = model["PrimaryContainer"]["ModelDataUrl"].removeprefix("s3://").split("/", 1)
    listed = environment.aws.s3.list_objects_v2(Bucket=bucket, Prefix=key.removesuffix("tar.gz"))["Contents"]
    return {item["Key"] for item in listed} == {key, key.removesuffix("tar.gz") + "json"}


def test_other_credentials_are_refused_before_anything_happens(environment: Environment) -> None:
    file = environment.project / f"settings/{NAME}.toml"
    right = file.read_text()
    file.write_text(right.replace(ACCOUNT, "999999999999"))
    try:
        printed = operate(environment, "deploy", check=False)
    finally:
        file.write_text(right)
    assert f"binds {NAME} to account 999999999999, but your credentials belong to account {ACCOUNT}" in printed
    assert environment.remaining() == []


def test_deploy_ends_with_the_model_that_serves(environment: Environment, first: Model) -> None:
    printed = operate(environment, "deploy", "--manifest", first.folder / "model.json")
    assert printed.splitlines()[-1].startswith(f"kennel-{NAME} serves {first.sha256[:12]} (s3://cdk-")
    assert len(environment.remaining()) == 5
    assert beside(environment)


def test_rollback_takes_an_address_and_the_manifest_beside_it(environment: Environment, second: Model) -> None:
    s3, key = environment.aws.s3, f"models/{second.sha256}.tar.gz"
    s3.upload_file(str(second.folder / "model.tar.gz"), BUCKET, key)
    command = ("rollback", "--model", f"s3://{BUCKET}/{key}")
    assert "the artifact has no manifest beside it" in operate(environment, *command, check=False)
    s3.upload_file(str(second.folder / "model.json"), BUCKET, key.replace("tar.gz", "json"))
    printed = operate(environment, *command)
    assert printed.splitlines()[-1].startswith(f"kennel-{NAME} serves {second.sha256[:12]} (s3://{BUCKET}/{key})")
    assert serves(environment) == second.sha256


def test_a_rollback_behind_the_stacks_back_is_noticed(environment: Environment) -> None:
    """The next test's deployment brings the endpoint and its stack together again."""
    sagemaker, name = environment.aws.sagemaker, environment.aws.name
    settings = load_environment(NAME, environment.project / "settings")
    assert "as KennelEndpoint-operated declares" in verdict(account(environment), settings)
    described = sagemaker.describe_endpoint_config(EndpointConfigName=environment.endpoint()["config"])
    sagemaker.create_endpoint_config(EndpointConfigName=BEFORE, ProductionVariants=described["ProductionVariants"])
    sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=BEFORE)
    eventually(lambda: sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService", 60)
    with pytest.raises(OperateError, match="SageMaker rolled the update back"):
        verdict(account(environment), settings)


def test_the_instance_type_of_a_scaling_endpoint_is_changed_and_resumes(
    environment: Environment, second: Model
) -> None:
    file = environment.project / f"settings/{NAME}.toml"
    file.write_text(file.read_text().replace('instance_type = "ml.c7i.large"', 'instance_type = "ml.c7i.xlarge"'))
    # Interrupted after the first of the two deployments.
    stacks.edit(account(environment), environment.aws.stack("Endpoint"), stacks.without_scaling)
    targets = environment.aws.application_autoscaling.describe_scalable_targets
    resource = f"endpoint/kennel-{NAME}/variant/AllTraffic"
    assert resource not in [t["ResourceId"] for t in targets(ServiceNamespace="sagemaker")["ScalableTargets"]]
    printed = operate(environment, "change-instance-type")
    assert "1 of 2: the scaling is already removed" in printed
    assert instances(environment) == "ml.c7i.xlarge"
    assert serves(environment) == second.sha256
    assert resource in [t["ResourceId"] for t in targets(ServiceNamespace="sagemaker")["ScalableTargets"]]
    assert "already has the variants of settings/operated.toml" in operate(environment, "change-instance-type")


def test_the_minimum_is_raised_to_two_instances_by_one_deployment(
    environment: Environment, second: Model, photos: Path
) -> None:
    """As docs/runbook.md says, "Raising the minimum to two instances"."""
    aws = environment.aws
    before, photo = environment.endpoint(), sorted((photos / "test").glob("*/*.png"))[0]
    assert (before["bounds"], fleet(environment)) == ((1, 4), 1)
    environment.change("endpoint.scaling", "minimum_instances", 2)
    with Traffic(lambda: aws.ask_endpoint(photo), pause=0.3) as traffic:
        aws.application_autoscaling.register_scalable_target(
            ServiceNamespace="sagemaker",
            ResourceId=f"endpoint/{aws.name}/variant/AllTraffic",
            ScalableDimension="sagemaker:variant:DesiredInstanceCount",
            MinCapacity=2,
        )
        eventually(lambda: environment.endpoint()["status"] == "InService", 60)
        aws.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=aws.name,
            DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}],
        )
        eventually(lambda: environment.endpoint()["status"] == "InService", 60)
        operate(environment, "deploy", "--model", f"s3://{BUCKET}/models/{second.sha256}.tar.gz")
    assert traffic.failures == []
    assert {answer["predictions"][0]["label"] for answer in traffic.answers} == {photo.parent.name}
    after = environment.endpoint()
    assert (after["bounds"], fleet(environment)) == ((2, 4), 2)
    assert after["variant"]["InitialInstanceCount"] == 2
    shifting = after["deployment"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert shifting["Type"] == "CANARY"
    assert (after["arn"], after["created"]) == (before["arn"], before["created"])


def fleet(environment: Environment) -> int:
    """Return how many instances run."""
    described = environment.aws.sagemaker.describe_endpoint(EndpointName=environment.aws.name)
    return int(described["ProductionVariants"][0]["CurrentInstanceCount"])


def test_sleep_removes_what_bills_by_the_hour_and_wake_brings_it_back(environment: Environment, second: Model) -> None:
    before = environment.endpoint()["model"], environment.function()
    url = environment.aws.make("lambda").get_function_url_config(FunctionName=environment.aws.name, Qualifier="live")
    assert environment.function()["provisioned"] == 1
    operate(environment, "sleep")
    assert environment.aws.name not in [
        e["EndpointName"] for e in environment.aws.sagemaker.list_endpoints()["Endpoints"]
    ]
    assert environment.function()["provisioned"] is None
    assert environment.function()["function version"] == before[1]["function version"]
    assert "is asleep; `make wake" in operate(environment, "sleep")
    printed = operate(environment, "wake")
    assert f"kennel-{NAME} serves {second.sha256[:12]} (s3://{BUCKET}/models/" in printed
    assert environment.function() == before[1]
    again = environment.aws.make("lambda").get_function_url_config(FunctionName=environment.aws.name, Qualifier="live")
    assert again["FunctionUrl"] == url["FunctionUrl"]
    assert f"{NAME} is awake." in operate(environment, "wake")


def happened(environment: Environment) -> dict[str, str]:
    """Let happen what the runbook's commands look for; return the values of the words that its reader replaces."""
    aws, endpoint, now = environment.aws, environment.endpoint(), int(time.time() * 1000)
    config = aws.sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["config"])
    tags = [{"Key": "Project", "Value": "kennel"}, {"Key": "Deployment", "Value": aws.name}]
    variants = config["ProductionVariants"]
    aws.sagemaker.create_endpoint_config(EndpointConfigName=DECLARED, ProductionVariants=variants, Tags=tags)
    for group, messages in {
        f"/aws/lambda/{aws.name}": ["2026 Task timed out after 29.00 seconds", "REPORT Duration: 7.00 ms"],
        f"/aws/vendedlogs/apis/{aws.name}": [json.dumps(FAILED), json.dumps(REFUSED), json.dumps({"status": "200"})],
    }.items():
        aws.logs.create_log_stream(logGroupName=group, logStreamName="planted")
        events = [{"timestamp": now, "message": message} for message in messages]
        aws.logs.put_log_events(logGroupName=group, logStreamName="planted", logEvents=events)
    queue = aws.sqs.get_queue_url(QueueName=f"{aws.name}-failures")["QueueUrl"]
    aws.cloudtrail.create_trail(Name="trail", S3BucketName=BUCKET)
    aws.sqs.send_message(QueueUrl=queue, MessageBody="the failed event")
    return {
        "<environment>": NAME,
        "--account-id ACCOUNT": f"--account-id {ACCOUNT}",
        "BUCKET": BUCKET,
        "CONFIGURATION": DECLARED,
        "MODEL": str(endpoint["model"]),
        "PREVIOUS": str(environment.function()["function version"]),
        "SERVICE": "lambda.application-autoscaling.amazonaws.com",
        "create-trail --name TRAIL": "create-trail --name another",
        "TRAIL": "trail",
    }


@pytest.mark.timeout(600)
def test_each_command_of_the_aws_cli_that_the_documents_print_runs(
    environment: Environment, subtests: pytest.Subtests
) -> None:
    values, sagemaker, name = happened(environment), environment.aws.sagemaker, environment.aws.name
    variables = {**os.environ, **environment.aws.environment, "AWS_MAX_ATTEMPTS": "1"}  # a retry would hide a failure
    commands = aws_commands.printed()
    assert {"README.md", "docs/launch.md", "docs/runbook.md", "docs/security.md"} <= set(commands.values())
    for command, page in commands.items():
        with subtests.test(f"{page}: {command}"):
            words = aws_commands.script(aws_commands.filled(command, values), name)
            done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
            if error := aws_commands.unanswered(command):
                assert done.returncode == 255
                assert re.search(error, done.stderr)
                continue
            assert done.returncode == 0, done.stdout + done.stderr
            expected = next((printed for part, printed in PRINTS.items() if part in command), "")
            assert re.search(expected, done.stdout.strip())
        if "sagemaker update-" in command:  # the next commands need it, and `aws sagemaker wait` looks every 30 s
            eventually(lambda: sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService", 60)
    assert sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"] == DECLARED


def test_destroy_asks_and_deletes_what_updates_retained_and_nothing_of_others(environment: Environment) -> None:
    sagemaker, config = environment.aws.sagemaker, environment.endpoint()
    model = sagemaker.describe_model(ModelName=config["model"])
    container = {"PrimaryContainer": model["PrimaryContainer"], "ExecutionRoleArn": model["ExecutionRoleArn"]}
    for name, deployment in (("retained", f"kennel-{NAME}"), ("of-another", f"kennel-{NAME}-2")):
        tags = [{"Key": "Project", "Value": "kennel"}, {"Key": "Deployment", "Value": deployment}]
        sagemaker.create_model(ModelName=name, **container, Tags=tags)
    command = [str(environment.project / KENNEL.name), "destroy", "--environment", NAME]
    variables = {**environment.aws.environment, "PATH": "/usr/bin:/bin"}
    asked = subprocess.run(command, env=variables, input="no\n", capture_output=True, text=True, check=False)
    assert "model      retained, which an update retained" in asked.stdout
    assert "the answer was not yes, so nothing was done" in asked.stderr
    assert len(environment.remaining()) == 5
    printed = operate(environment, "destroy")
    assert printed.splitlines()[-1] == f"Destroyed {NAME} in account {ACCOUNT}, region {REGION}."
    assert environment.remaining() == []
    models = [item["ModelName"] for item in sagemaker.list_models()["Models"]]
    sagemaker.delete_model(ModelName="of-another")
    sagemaker.delete_endpoint_config(EndpointConfigName=BEFORE)
    assert "of-another" in models
    assert "retained" not in models
    assert config["model"] not in models
    assert retained(account(environment), load_environment(NAME, environment.project / "settings")) == []
    assert BUCKET not in [bucket["Name"] for bucket in environment.aws.s3.list_buckets()["Buckets"]]
    assert f"{NAME} has no resources" in operate(environment, "destroy")
