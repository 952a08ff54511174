"""From labelled photos to a prediction, a second model, a broken one, load, and the end: in this order."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests import version_before
from tests.embedded import KENNEL, ROOT, Traffic, eventually
from tests.end_to_end.archives import repacked
from tests.end_to_end.project import ENVIRONMENT, NAME, Deployment, Model, model_servers, run, synthesised


def some_photos(photos: Path, count: int) -> list[Path]:
    files = sorted((photos / "test").glob("*/*.png"))
    return files[:: len(files) // count][:count]


def event(photo: Path) -> dict[str, str]:
    return {"image": base64.b64encode(photo.read_bytes()).decode()}


def test_the_trained_model_passes_the_bar_of_the_demo(first: Model) -> None:
    assert first.manifest["metrics"]["test"]["accuracy"] >= 0.97


def test_synthesis_twice_gives_the_same_bytes(first: Model, tmp_path: Path) -> None:
    again = synthesised(first.folder, tmp_path / "again").assembly
    for template in sorted(first.assembly.glob("*.template.json")):
        assert template.read_bytes() == (again / template.name).read_bytes()


def test_every_stack_is_created(deployed: Deployment) -> None:
    for noun in ("Storage", "Endpoint", "Api"):
        assert deployed.status(noun) == "CREATE_COMPLETE"


def test_the_bucket_is_encrypted_private_versioned_and_cleans_up(deployed: Deployment) -> None:
    s3, bucket = deployed.s3, f"{NAME}-{deployed.sts.get_caller_identity()['Account']}-us-east-1"
    (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    ownership = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert ownership == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    rules = {r["ID"]: r for r in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
    assert rules["KeepDataVersions"]["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    assert rules["RemoveLeftovers"]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 7
    assert rules["ExpireCapture"]["Expiration"]["Days"] == 30
    assert rules["ExpireCapture"]["Filter"]["Prefix"] == "capture/"
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    denied = [s["Condition"] for s in policy["Statement"] if s["Effect"] == "Deny"]
    assert {"Bool": {"aws:SecureTransport": "false"}} in denied


def test_the_model_has_no_network_and_reads_the_artifact_that_was_deployed(deployed: Deployment, first: Model) -> None:
    sagemaker = deployed.sagemaker
    model = sagemaker.describe_model(ModelName=deployed.resource("Endpoint", "AWS::SageMaker::Model").split("/")[-1])
    assert model["EnableNetworkIsolation"] is True
    container = model["PrimaryContainer"]
    assert container["Image"].endswith("/ray:serve-ml-sagemaker-cpu-v1.4")
    assert container["Environment"]["MODEL_ARTIFACT_SHA256"] == first.sha256
    bucket, key = container["ModelDataUrl"].removeprefix("s3://").split("/", 1)
    stored = deployed.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    assert hashlib.sha256(stored).hexdigest() == first.sha256
    role = model["ExecutionRoleArn"].split("/")[-1]
    iam = deployed.iam
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    (read,) = [s for d in documents for s in d["Statement"] if s["Sid"] == "ReadArtifact"]
    assert (read["Action"], read["Resource"]) == ("s3:GetObject", f"arn:aws:s3:::{bucket}/{key}")


def test_the_endpoint_has_the_declared_variant_and_scales_from_one_to_four(deployed: Deployment) -> None:
    sagemaker = deployed.sagemaker
    endpoint = sagemaker.describe_endpoint(EndpointName=NAME)
    assert endpoint["EndpointStatus"] == "InService"
    (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])[
        "ProductionVariants"
    ]
    assert variant["VariantName"] == "AllTraffic"
    assert variant["InstanceType"] == "ml.c7i.large"
    assert variant["InitialInstanceCount"] == 1
    assert variant["ModelDataDownloadTimeoutInSeconds"] == 60
    assert variant["ContainerStartupHealthCheckTimeoutInSeconds"] == 60
    autoscaling = deployed.application_autoscaling
    (target,) = autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert target["ResourceId"] == f"endpoint/{NAME}/variant/AllTraffic"
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 4)
    (policy,) = autoscaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert policy["PolicyType"] == "TargetTrackingScaling"
    tracking = policy["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == 12
    assert (tracking["ScaleOutCooldown"], tracking["ScaleInCooldown"]) == (60, 300)
    metric = tracking["PredefinedMetricSpecification"]["PredefinedMetricType"]
    assert metric == "SageMakerVariantInvocationsPerInstance"


def test_the_function_has_the_declared_properties(deployed: Deployment) -> None:
    functions = getattr(deployed, "lambda")
    function = functions.get_function_configuration(FunctionName=NAME, Qualifier="live")
    assert function["Version"] != "$LATEST"
    assert (function["Runtime"], function["Architectures"]) == ("python3.14", ["arm64"])
    assert (function["MemorySize"], function["Timeout"], function["Handler"]) == (512, 29, "predict.handler.handle")
    assert function["Environment"]["Variables"]["ENDPOINT_NAME"] == NAME
    assert function["LoggingConfig"]["LogGroup"] == f"/aws/lambda/{NAME}"
    assert functions.get_function_concurrency(FunctionName=NAME)["ReservedConcurrentExecutions"] == 3
    provisioned = functions.get_provisioned_concurrency_config(FunctionName=NAME, Qualifier="live")
    assert provisioned["RequestedProvisionedConcurrentExecutions"] == 1
    assert provisioned["Status"] == "READY"
    url = functions.get_function_url_config(FunctionName=NAME, Qualifier="live")
    assert url["AuthType"] == "AWS_IAM"
    assert url["FunctionArn"].endswith(f":function:{NAME}:live")
    (group,) = deployed.logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{NAME}")["logGroups"]
    assert group["retentionInDays"] == 7
    policy = deployed.iam.get_role_policy(RoleName=function["Role"].split("/")[-1], PolicyName="Predict")
    statements = {statement["Sid"]: statement for statement in policy["PolicyDocument"]["Statement"]}
    assert statements["InvokeEndpoint"]["Resource"].endswith(f":endpoint/{NAME}")


def test_photos_are_answered_with_the_right_labels_through_the_alias(
    deployed: Deployment, photos: Path, first: Model
) -> None:
    chosen = some_photos(photos, 30)
    command = [KENNEL, "predict", "--function", NAME, "--check", "--at-least", "29"]
    printed = run(*command, *chosen, env=deployed.environment)
    assert "of 30 right" in printed
    answer = deployed.predict(event(chosen[0]))
    assert answer["statusCode"] == 200
    assert answer["headers"]["Content-Type"] == "application/json"
    assert answer["body"]["artifact_sha256"] == first.sha256
    assert answer["body"]["predictions"][0]["label"] == chosen[0].parent.name


def test_the_function_url_answers_a_caller_with_the_documented_policy_and_nobody_else(
    deployed: Deployment, photos: Path
) -> None:
    photo = some_photos(photos, 1)[0]
    url = deployed.make("lambda").get_function_url_config(FunctionName=NAME, Qualifier="live")["FunctionUrl"]
    section = (ROOT / "docs" / "security.md").read_text().split("## What a caller needs")[1]
    policy = section.split("```json")[1].split("```")[0]
    for word, value in (("REGION", "us-east-1"), ("ACCOUNT_ID", "123456789012"), ("ENVIRONMENT", ENVIRONMENT)):
        policy = policy.replace(word, value)
    statements = json.loads(policy)["Statement"]
    caller = deployed.user(*statements)
    status, body = deployed.ask_url(url, photo.read_bytes(), "image/png", caller=caller)
    assert status == 200
    assert json.loads(body)["predictions"][0]["label"] == photo.parent.name
    for statement in statements:
        one = deployed.user(statement)
        assert deployed.ask_url(url, photo.read_bytes(), "image/png", caller=one)[0] == 403
    status, body = deployed.ask_url(url, b'{"url": "http://127.0.0.1/"}', "application/json")
    assert (status, json.loads(body)["status"]) == (403, 403)
    assert deployed.ask_url(url, photo.read_bytes(), "image/png", signed=False)[0] == 403


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"image": base64.b64encode(b"not a photo").decode()}, 415),
        ({"image": base64.b64encode(b"\x89PNG\r\n\x1a\n broken").decode()}, 422),
        ({"url": "http://169.254.169.254/latest/meta-data/"}, 403),
        ({}, 400),
    ],
)
def test_a_bad_request_is_answered_with_a_problem(deployed: Deployment, request_: dict[str, str], status: int) -> None:
    answer = deployed.predict(request_)
    assert answer["statusCode"] == answer["body"]["status"] == status
    assert answer["headers"]["Content-Type"] == "application/problem+json"


def test_diff_after_deploy_shows_nothing(deployed: Deployment, first: Model) -> None:
    printed = deployed.cdk("diff", "--app", first.assembly, "--fail")
    assert "Number of stacks with differences: 0" in printed


def test_the_functions_role_is_denied_on_another_endpoint(deployed: Deployment, photos: Path) -> None:
    sagemaker, functions = deployed.sagemaker, getattr(deployed, "lambda")
    config = sagemaker.describe_endpoint(EndpointName=NAME)["EndpointConfigName"]
    sagemaker.create_endpoint(EndpointName="another", EndpointConfigName=config)
    photo = some_photos(photos, 1)[0]
    try:
        eventually(lambda: sagemaker.describe_endpoint(EndpointName="another")["EndpointStatus"] == "InService")
        assert deployed.ask_endpoint(photo, "another")["predictions"]
        variables = functions.get_function_configuration(FunctionName=NAME)["Environment"]["Variables"]
        changed = {"Variables": {**variables, "ENDPOINT_NAME": "another"}}
        functions.update_function_configuration(FunctionName=NAME, Environment=changed)
        answer = deployed.predict(event(photo), qualifier="$LATEST")
        assert answer["statusCode"] == 500
        assert "AccessDenied" in deployed.log(f"/aws/lambda/{NAME}")
        functions.update_function_configuration(FunctionName=NAME, Environment={"Variables": variables})
        assert deployed.predict(event(photo), qualifier="$LATEST")["statusCode"] == 200
    finally:
        sagemaker.delete_endpoint(EndpointName="another")


def test_a_forged_key_is_refused(deployed: Deployment, photos: Path) -> None:
    forged = deployed.make("sagemaker-runtime", access_key="AKIAFORGEDFORGEDFORG", secret_key="forged")
    with pytest.raises(ClientError) as caught:
        forged.invoke_endpoint(EndpointName=NAME, Body=some_photos(photos, 1)[0].read_bytes())
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def models(deployed: Deployment) -> set[str]:
    listed = deployed.sagemaker.list_models(NameContains="KennelEndpoint-local", MaxResults=100)["Models"]
    return {model["ModelName"] for model in listed}


def test_a_second_artifact_rolls_the_same_endpoint_without_a_failed_request(
    deployed: Deployment, photos: Path, first: Model, second: Model
) -> None:
    arn = deployed.sagemaker.describe_endpoint(EndpointName=NAME)["EndpointArn"]
    photo = event(some_photos(photos, 1)[0])
    with Traffic(lambda: deployed.predict(photo), pause=0.3, clients=3) as traffic:
        deployed.roll_out(second, "KennelEndpoint-local")
    assert traffic.failures == []
    assert {answer["statusCode"] for answer in traffic.answers} == {200}
    hashes = [answer["body"]["artifact_sha256"] for answer in traffic.answers]
    assert hashes[0] == first.sha256
    assert deployed.predict(photo)["body"]["artifact_sha256"] == second.sha256
    assert deployed.sagemaker.describe_endpoint(EndpointName=NAME)["EndpointArn"] == arn
    assert len(models(deployed)) == 2, "a fleet that SageMaker rolls back needs the old model"


def test_a_corrupt_artifact_is_rolled_back_while_the_old_model_answers(
    deployed: Deployment, photos: Path, second: Model, tmp_path: Path
) -> None:
    corrupt = synthesised(corrupted(second, tmp_path))
    photo = event(some_photos(photos, 1)[0])
    with Traffic(lambda: deployed.predict(photo), pause=0.3, clients=3) as traffic:
        printed = deployed.roll_out(corrupt, "KennelEndpoint-local", check=False)
    assert deployed.status("Endpoint") == "UPDATE_ROLLBACK_COMPLETE"
    assert "did not pass the ping health check" in printed
    assert traffic.failures == []
    assert {answer["statusCode"] for answer in traffic.answers} == {200}
    assert {answer["body"]["artifact_sha256"] for answer in traffic.answers} == {second.sha256}


def corrupted(model: Model, folder: Path) -> Path:
    """Change the graph inside an archive, and write the manifest that belongs to the changed archive."""

    def flip(name: str, data: bytes) -> bytes:
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :] if name == "model.onnx" else data

    return repacked(model, folder, flip)


def test_without_permission_to_read_the_artifact_the_endpoint_fails_and_says_why(
    deployed: Deployment, photos: Path, first: Model, second: Model
) -> None:
    photo = some_photos(photos, 1)[0]
    if deployed.ask_endpoint(photo)["artifact_sha256"] != second.sha256:  # this test runs alone
        deployed.roll_out(second, "KennelEndpoint-local")
    assert deployed.update_without_the_right_to_read(first) == "UPDATE_ROLLBACK_COMPLETE"
    assert "s3:GetObject" in deployed.reasons("KennelEndpoint-local")
    assert deployed.ask_endpoint(photo)["artifact_sha256"] == second.sha256


def test_an_artifact_of_the_version_before_is_deployed_serves_outlives_a_failed_update_and_is_updated(
    deployed: Deployment, photos: Path, first: Model, tmp_path: Path
) -> None:
    before = synthesised(version_before.write_build(first.folder, tmp_path / "before"))
    chosen = some_photos(photos, 10)

    def predictions(model: Model) -> list[Any]:
        answers = [deployed.ask_endpoint(photo) for photo in chosen]
        assert {answer["artifact_sha256"] for answer in answers} == {model.sha256}
        members = ("label", "probability")  # the version before answers no others
        return [[{each: row[each] for each in members} for row in answer["predictions"]] for answer in answers]

    deployed.roll_out(before, "KennelEndpoint-local")
    old = predictions(before)
    assert [each[0]["label"] for each in old] == [photo.parent.name for photo in chosen]
    assert deployed.update_without_the_right_to_read(first) == "UPDATE_ROLLBACK_COMPLETE"
    assert predictions(before) == old
    assert deployed.update(first.endpoint_template) == "UPDATE_COMPLETE"
    assert predictions(first) == old


def test_load_scales_the_endpoint_out_and_its_end_scales_it_in(deployed: Deployment, photos: Path) -> None:
    sagemaker = deployed.sagemaker

    def instances() -> int:
        (variant,) = sagemaker.describe_endpoint(EndpointName=NAME)["ProductionVariants"]
        return int(variant["CurrentInstanceCount"])

    assert instances() == 1
    photo = some_photos(photos, 1)[0]
    with Traffic(lambda: deployed.ask_endpoint(photo), pause=0.08, clients=4) as traffic:
        eventually(lambda: instances() > 1, 60)
    assert traffic.failures == []
    eventually(lambda: instances() == 1, 120)
    activities = deployed.application_autoscaling.describe_scaling_activities(ServiceNamespace="sagemaker")
    assert len(activities["ScalingActivities"]) >= 2


def test_destroy_leaves_nothing_but_what_updates_retained(deployed: Deployment, second: Model) -> None:
    (live,) = deployed.sagemaker.describe_endpoint_config(
        EndpointConfigName=deployed.sagemaker.describe_endpoint(EndpointName=NAME)["EndpointConfigName"]
    )["ProductionVariants"]
    retained = models(deployed) - {live["ModelName"]}
    deployed.cdk("destroy", "--all", "--force", "--app", second.assembly)
    assert deployed.sagemaker.list_endpoints()["Endpoints"] == []
    assert models(deployed) == retained, "`make destroy` deletes these (test_operate.py)"
    assert getattr(deployed, "lambda").list_functions()["Functions"] == []
    eventually(lambda: model_servers(deployed) == [])
