"""The settings of dev and prod on an embedded AWS, from the first deployment to the last: in this order."""

import base64
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded import eventually
from tests.end_to_end.environment import NOUNS, Environment, copied_project
from tests.end_to_end.project import Deployment, Model, model_servers
from tests.end_to_end.roles import OTHER, ROLES, Caller, assumed, roles_of, set_trust, tries, trust_of


@dataclasses.dataclass(frozen=True)
class Change:
    """A kind of change.

    Attributes
    ----------
    make
        Changes the project.
    moves
        Which of the described properties become others; all the rest must stay.
    second_model
        Whether the second model is rolled out with it.
    """

    make: Callable[[Environment], None] = lambda environment: None
    moves: frozenset[str] = frozenset()
    second_model: bool = False


CHANGES = {
    "scaling target": Change(
        lambda environment: environment.add("endpoint.scaling", "invocations_per_instance", -300),
        frozenset({"tracking"}),
    ),
    "concurrency": Change(
        lambda environment: environment.add("api", "provisioned_concurrency", 1), frozenset({"provisioned"})
    ),
    "function code": Change(Environment.change_code, frozenset({"code", "function version"})),
    # The alarms that guard an update are those of its configuration.
    "model": Change(moves=frozenset({"config", "model", "artifact", "deployment"}), second_model=True),
    # From two instances on the traffic is shifted by a canary.
    "instance count": Change(
        lambda environment: environment.add("endpoint.scaling", "minimum_instances", 1),
        frozenset({"config", "variant", "bounds", "deployment"}),
    ),
}
"""`make accept` makes one at a time, in this order."""


@pytest.fixture(scope="module", params=["dev", "prod"])
def environment(
    request: pytest.FixtureRequest, bootstrapped: Deployment, first: Model, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    project = copied_project(tmp_path_factory.mktemp(request.param))
    environment = Environment(dataclasses.replace(bootstrapped, settings=request.param), project, first)
    if request.param == "dev":  # off in the settings of both; one with it, one without
        environment.change("training.notebook", "enabled", True)
    else:
        environment.change("endpoint", "capture_percentage", 100)  # a tenth would be left to chance
    environment.roll_out(first)
    yield environment
    for name in environment.remaining():  # where a test has failed
        environment.aws.cloudformation.update_termination_protection(StackName=name, EnableTerminationProtection=False)
        environment.aws.cloudformation.delete_stack(StackName=name)
    eventually(lambda: environment.remaining() == [], 60)


@pytest.fixture
def administrator(aws: Deployment) -> Iterator[Caller]:
    """A user whose policy allows everything."""
    name, everything = "administrator", {"Effect": "Allow", "Action": "*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [everything]}
    aws.iam.create_user(UserName=name)
    aws.iam.put_user_policy(UserName=name, PolicyName="Everything", PolicyDocument=json.dumps(policy))
    key = aws.iam.create_access_key(UserName=name)["AccessKey"]
    yield Caller(aws, key["AccessKeyId"], key["SecretAccessKey"])
    aws.iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    aws.iam.delete_user_policy(UserName=name, PolicyName="Everything")
    aws.iam.delete_user(UserName=name)


@pytest.fixture
def nothing_stays(environment: Environment) -> Iterator[None]:
    """Empty the bucket after a test."""
    yield
    s3, bucket = environment.aws.s3, f"{environment.aws.name}-123456789012-us-east-1"
    listed = s3.list_object_versions(Bucket=bucket)
    for item in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
        s3.delete_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])


def test_every_stack_is_created_tagged_and_protected_as_set(environment: Environment) -> None:
    aws = environment.aws
    for noun in NOUNS:
        (stack,) = aws.cloudformation.describe_stacks(StackName=aws.stack(noun))["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        assert stack["EnableTerminationProtection"] == environment.settings["account"]["termination_protection"]
        assert {"Key": "Deployment", "Value": aws.name} in stack["Tags"]
    for noun in NOUNS:
        listed = aws.cloudformation.list_stack_resources(StackName=aws.stack(noun))["StackResourceSummaries"]
        for role in [r["PhysicalResourceId"] for r in listed if r["ResourceType"] == "AWS::IAM::Role"]:
            assert {"Key": "Deployment", "Value": aws.name} in aws.iam.list_role_tags(RoleName=role)["Tags"]


def test_the_bucket_is_as_set(environment: Environment) -> None:
    s3, settings = environment.aws.s3, environment.settings["storage"]
    bucket = f"{environment.aws.name}-123456789012-us-east-1"
    rules = {rule["ID"]: rule for rule in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
    assert rules["ExpireCapture"]["Expiration"]["Days"] == settings["capture_days"]
    assert rules["ExpireCapture"]["Filter"] == {"Prefix": "capture/"}
    assert rules["KeepDataVersions"]["NoncurrentVersionExpiration"]["NoncurrentDays"] == settings["data_version_days"]
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    assert ("LoggingEnabled" in s3.get_bucket_logging(Bucket=bucket)) == ("access_log_days" in settings)
    tags = {tag["Key"]: tag["Value"] for tag in s3.get_bucket_tagging(Bucket=bucket)["TagSet"]}
    assert tags["Deployment"] == environment.aws.name


def test_the_launch_template_lets_nobody_in(environment: Environment) -> None:
    aws, settings = environment.aws, environment.settings["training"]["instance"]
    template = aws.resource("Training", "AWS::EC2::LaunchTemplate")
    versions = aws.ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"]
    data = versions[0]["LaunchTemplateData"]
    assert data["InstanceType"] == settings["type"]
    assert data["ImageId"] == f"resolve:ssm:{settings['image_parameter']}"
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    assert data["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == settings["disk_gb"]
    (group,) = aws.ec2.describe_security_groups(GroupIds=data["SecurityGroupIds"])["SecurityGroups"]
    assert group["IpPermissions"] == []


def check_endpoint(environment: Environment) -> None:
    """Compare the endpoint with the settings."""
    aws, settings = environment.aws, environment.settings["endpoint"]
    scaling = settings["scaling"]
    found = environment.endpoint()
    assert found["status"] == "InService"
    assert found["artifact"] == environment.model.sha256
    assert found["isolated"] == settings["network_isolation"]
    assert found["variant"]["InstanceType"] == settings["instance_type"]
    assert found["variant"]["InitialInstanceCount"] == scaling["minimum_instances"]
    assert found["variant"]["ModelDataDownloadTimeoutInSeconds"] == settings["download_timeout_seconds"]
    assert found["bounds"] == (scaling["minimum_instances"], scaling["maximum_instances"])
    assert found["tracking"]["TargetValue"] == scaling["invocations_per_instance"]
    assert found["tracking"]["ScaleOutCooldown"] == scaling["scale_out_cooldown_seconds"]
    captured = found["capture"]["InitialSamplingPercentage"] if found["capture"] else 0
    assert captured == settings["capture_percentage"]
    deployment = found["deployment"]
    shifting = deployment["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    if scaling["minimum_instances"] == 1:
        assert shifting["Type"] == "ALL_AT_ONCE"
    else:
        assert shifting["Type"] == "CANARY"
        assert shifting["CanarySize"]["Value"] == settings["deployment"]["step_percentage"]
        assert shifting["WaitIntervalInSeconds"] == settings["deployment"]["bake_seconds"]
    names = [alarm["AlarmName"] for alarm in deployment["AutoRollbackConfiguration"]["Alarms"]]
    alarms = aws.cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
    assert {alarm["MetricName"] for alarm in alarms} == {
        "Invocation5XXErrors",
        "InvocationModelErrors",
        "ModelLatency",
    }
    for alarm in alarms:
        assert {"Name": "EndpointConfigName", "Value": found["config"]} in alarm["Dimensions"]
        assert (alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (3, 2)


def test_the_endpoint_is_as_set(environment: Environment) -> None:
    check_endpoint(environment)


def test_every_answer_is_captured_with_its_id_and_without_its_photo(environment: Environment, photos: Path) -> None:
    aws, settings = environment.aws, environment.settings["endpoint"]
    place = {"Bucket": f"{aws.name}-123456789012-us-east-1", "Prefix": f"capture/{aws.name}/AllTraffic/"}
    images = [base64.b64encode(photo.read_bytes()).decode() for photo in sorted((photos / "test").glob("*/*.png"))[:3]]
    ids = {aws.predict({"image": image})["body"]["inference_id"] for image in images}

    def files() -> list[str]:
        keys = [item["Key"] for item in aws.s3.list_objects_v2(**place).get("Contents", [])]
        return [aws.s3.get_object(Bucket=place["Bucket"], Key=key)["Body"].read().decode() for key in keys]

    def found() -> list[dict[str, Any]]:
        lines = [json.loads(line) for file in files() for line in file.splitlines()]
        return [line for line in lines if line["eventMetadata"]["inferenceId"] in ids]

    if not settings["capture_percentage"]:
        assert files() == []
        return
    assert settings["capture"] == "answers"
    assert len(eventually(lambda: len(found()) == 3 and found())) == len(ids)
    for line in found():
        assert line["captureData"].keys() == {"endpointOutput"}
        assert json.loads(line["captureData"]["endpointOutput"]["data"])["predictions"]
    assert not any(image[:100] in file for image in images for file in files())


def check_api(environment: Environment) -> None:
    """Compare the function, and what is in front of and behind it, with the settings."""
    aws, settings = environment.aws, environment.settings["api"]
    functions, live = aws.make("lambda"), {"FunctionName": aws.name, "Qualifier": "live"}
    function = functions.get_function_configuration(**live)
    assert (function["MemorySize"], function["Timeout"]) == (settings["memory_mb"], settings["timeout_seconds"])
    assert function["TracingConfig"]["Mode"] == ("Active" if settings["tracing"] else "PassThrough")
    reserved = functions.get_function_concurrency(FunctionName=aws.name).get("ReservedConcurrentExecutions")
    assert reserved == settings.get("reserved_concurrency")
    if settings["provisioned_concurrency"]:
        provisioned = functions.get_provisioned_concurrency_config(**live)
        assert provisioned["RequestedProvisionedConcurrentExecutions"] == settings["provisioned_concurrency"]
        assert provisioned["Status"] == "READY"
    asynchronous = functions.get_function_event_invoke_config(**live)
    assert asynchronous["MaximumRetryAttempts"] == settings["asynchronous"]["retry_attempts"]
    assert asynchronous["MaximumEventAgeInSeconds"] == settings["asynchronous"]["maximum_event_age_seconds"]
    queue = aws.sqs.get_queue_url(QueueName=f"{aws.name}-failures")["QueueUrl"]
    attributes = aws.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert asynchronous["DestinationConfig"]["OnFailure"]["Destination"] == attributes["QueueArn"]
    days = settings["asynchronous"]["failure_retention_days"]
    assert (attributes["MessageRetentionPeriod"], attributes["SqsManagedSseEnabled"]) == (str(days * 86400), "true")
    assert "aws:SecureTransport" in attributes["Policy"]
    assert functions.get_function_url_config(**live)["AuthType"] == "AWS_IAM"
    (group,) = aws.logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{aws.name}")["logGroups"]
    assert group["retentionInDays"] == settings["log_retention_days"]
    targets = aws.application_autoscaling.describe_scalable_targets(ServiceNamespace="lambda")["ScalableTargets"]
    bounds = [(target["MinCapacity"], target["MaxCapacity"]) for target in targets]
    scaling = settings.get("scaling", {})
    provisioned = settings["provisioned_concurrency"]
    maximum = scaling.get("maximum_provisioned_concurrency", provisioned)
    assert bounds == ([(provisioned, maximum)] if provisioned else [])
    apis = aws.apigatewayv2.get_apis()["Items"]
    assert len(apis) == ("http_api" in settings)
    for api in apis:
        (stage,) = aws.apigatewayv2.get_stages(ApiId=api["ApiId"])["Items"]
        assert stage["DefaultRouteSettings"]["ThrottlingRateLimit"] == settings["http_api"]["rate_per_second"]
        assert stage["DefaultRouteSettings"]["ThrottlingBurstLimit"] == settings["http_api"]["burst"]
        (route,) = aws.apigatewayv2.get_routes(ApiId=api["ApiId"])["Items"]
        assert (route["RouteKey"], route["AuthorizationType"]) == ("POST /predict", "AWS_IAM")


def test_the_api_is_as_set(environment: Environment) -> None:
    check_api(environment)


def test_the_monitoring_is_as_set(environment: Environment) -> None:
    aws, settings = environment.aws, environment.settings["monitoring"]
    topic = f"arn:aws:sns:us-east-1:123456789012:{aws.name}-alarms"
    assert "cloudwatch.amazonaws.com" in aws.sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
    alarms = {
        alarm["AlarmName"].removeprefix(f"{aws.name}-"): alarm
        for alarm in aws.cloudwatch.describe_alarms(AlarmNamePrefix=f"{aws.name}-")["MetricAlarms"]
    }
    for alarm in alarms.values():
        assert alarm["AlarmActions"] == [topic]
        assert settings["runbook_url"] in alarm["AlarmDescription"]
    assert alarms["endpoint-errors"]["Threshold"] == settings["endpoint_error_percentage"] / 100
    assert alarms["endpoint-latency"]["ExtendedStatistic"] == "p99"
    assert ("no-traffic" in alarms) == (settings["minutes_without_traffic"] > 0)
    queries = alarms["endpoint-at-maximum"]["Metrics"]
    assert {query["Id"]: query for query in queries if query.get("ReturnData")}
    (dashboard,) = aws.cloudwatch.list_dashboards()["DashboardEntries"]
    body = json.loads(aws.cloudwatch.get_dashboard(DashboardName=dashboard["DashboardName"])["DashboardBody"])
    assert body["widgets"]
    (budget,) = aws.budgets.describe_budgets(AccountId="123456789012")["Budgets"]
    assert float(budget["BudgetLimit"]["Amount"]) == settings["monthly_budget_usd"]
    assert budget["CostFilters"] == {"TagKeyValue": [f"user:Deployment${aws.name}"]}


def test_an_alarm_rings_for_its_own_environment(environment: Environment) -> None:
    cloudwatch, name = environment.aws.cloudwatch, f"{environment.aws.name}-function-errors"

    def report(function: str) -> str:
        datum = {"MetricName": "Errors", "Dimensions": [{"Name": "FunctionName", "Value": function}], "Value": 100.0}
        cloudwatch.put_metric_data(Namespace="AWS/Lambda", MetricData=[datum])
        return str(cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"])

    assert report("somebody-else") != "ALARM"
    assert report(environment.aws.name) == "ALARM"


def test_diff_after_deploy_shows_nothing(environment: Environment) -> None:
    printed = environment.aws.cdk("diff", "--app", environment.model.assembly, "--fail")
    assert "Number of stacks with differences: 0" in printed


def test_nobody_but_its_service_assumes_a_role(environment: Environment, administrator: Caller) -> None:
    """A user who may do everything may not.

    What the embedded AWS cannot decide: it lets the account's root assume a role that a service may assume without
    a condition, and its Lambda and EC2 take any role.
    """
    roles, expected = roles_of(environment), set(ROLES)
    if not environment.section("training.notebook")["enabled"]:
        expected.remove("notebook")
    assert set(roles) == expected
    for role in roles.values():
        arn = environment.aws.iam.get_role(RoleName=role)["Role"]["Arn"]
        with pytest.raises(ClientError, match=r"AccessDenied.*sts:AssumeRole"):
            administrator.client("sts").assume_role(RoleArn=arn, RoleSessionName="tried")


def test_sagemaker_assumes_only_its_own_roles_and_for_this_account(environment: Environment) -> None:
    """SageMaker assumes a model's role when the model is created.

    The embedded AWS has one account, so the account that a role's trust expects is changed, not the one that asks.
    """
    aws, roles = environment.aws, roles_of(environment)
    container = aws.sagemaker.describe_model(ModelName=environment.endpoint()["model"])["PrimaryContainer"]

    def is_assumed(role: str) -> bool:
        arn = aws.iam.get_role(RoleName=role)["Role"]["Arn"]
        try:
            aws.sagemaker.create_model(ModelName=OTHER, PrimaryContainer=container, ExecutionRoleArn=arn)
        except ClientError as error:
            if "Could not assume role" not in str(error):
                raise
            return False
        aws.sagemaker.delete_model(ModelName=OTHER)
        return True

    sagemakers = {kind for kind, role in roles.items() if is_assumed(role)}
    assert sagemakers == set(roles) - {"function", "instances", "log retention"}
    for kind in sagemakers:
        (statement,) = trust_of(aws, roles[kind])["Statement"]
        asked = {key: operator for operator, keys in statement["Condition"].items() for key in keys}
        assert set(asked) == {"aws:SourceAccount", "aws:SourceArn"}
        for key, operator in asked.items():
            stranger = statement["Condition"][operator][key].replace("123456789012", "999999999999")
            changed = {**statement["Condition"], operator: {key: stranger}}
            set_trust(aws, roles[kind], {"Version": "2012-10-17", "Statement": [{**statement, "Condition": changed}]})
            assert not is_assumed(roles[kind]), (kind, changed)
        set_trust(aws, roles[kind], {"Version": "2012-10-17", "Statement": [statement]})
        assert is_assumed(roles[kind])


@pytest.mark.usefixtures("nothing_stays")
def test_each_role_is_let_in_where_its_policy_allows_it_and_refused_elsewhere(
    environment: Environment, administrator: Caller
) -> None:
    every, wrong = tries(environment), []
    for kind, role in roles_of(environment).items():
        caller = assumed(environment, role, administrator)
        wrong += [f"{kind} may not: {attempt}" for attempt in every[kind].may if not caller.is_let_in(attempt)]
        wrong += [f"{kind} may: {attempt}" for attempt in every[kind].may_not if caller.is_let_in(attempt)]
        refused = [attempt for attempt in every[kind].may_not if not administrator.is_let_in(attempt)]
        assert refused == [], "nobody may do it, so that a role may not says nothing"
    assert wrong == []


@pytest.mark.accept
@pytest.mark.timeout(900)  # a handful of deployments
def test_each_kind_of_change_moves_what_it_should_and_nothing_else(
    environment: Environment, photos: Path, second: Model, subtests: pytest.Subtests
) -> None:
    for kind in CHANGES:
        with subtests.test(kind):
            check_change(environment, [kind], photos, second)


@pytest.mark.timeout(600)
def test_a_new_model_in_dev_and_all_changes_at_once_in_prod_move_what_they_should(
    environment: Environment, photos: Path, second: Model
) -> None:
    kinds = ["model"] if environment.aws.settings == "dev" else list(CHANGES)
    check_change(environment, kinds, photos, second)


def instances(environment: Environment) -> int:
    name = environment.aws.name
    (variant,) = environment.aws.sagemaker.describe_endpoint(EndpointName=name)["ProductionVariants"]
    return int(variant["CurrentInstanceCount"])


def bound(environment: Environment, least: int, most: int) -> None:
    environment.aws.application_autoscaling.register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId=f"endpoint/{environment.aws.name}/variant/AllTraffic",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=least,
        MaxCapacity=most,
    )


def resize(environment: Environment, count: int) -> None:
    """Bring the fleet to a size as the autoscaler does."""
    environment.aws.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=environment.aws.name,
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": count}],
    )
    eventually(lambda: instances(environment) == count and environment.endpoint()["status"] == "InService")


def check_change(environment: Environment, kinds: list[str], photos: Path, second: Model) -> None:
    """Make changes and compare what has moved; an instance more than the least stays through an update.

    From one instance to two, the update needs it (docs/runbook.md, "Raising the minimum to two instances").
    """
    aws, changes = environment.aws, [CHANGES[kind] for kind in kinds]
    before = environment.endpoint() | environment.function()
    least, most = before["bounds"]
    grows = kinds in (["model"], ["instance count"])
    if grows:
        bound(environment, least + 1, most)  # so that the autoscaler does not take the instance back
        resize(environment, least + 1)
    for change in changes:
        change.make(environment)
    environment.roll_out(second if any(change.second_model for change in changes) else environment.model)
    if grows:
        assert instances(environment) == least + 1
    if kinds == ["model"]:
        resize(environment, least)
        bound(environment, least, most)
    after = environment.endpoint() | environment.function()
    moved = {name for name in after if after[name] != before[name]}
    expected = frozenset().union(*(change.moves for change in changes))
    assert moved == expected
    check_endpoint(environment)
    check_api(environment)
    photo = sorted((photos / "test").glob("*/*.png"))[0]
    answer = aws.predict({"image": base64.b64encode(photo.read_bytes()).decode()})
    assert answer["statusCode"] == 200
    assert answer["body"]["artifact_sha256"] == environment.model.sha256


def test_a_failed_update_is_rolled_back_to_every_property(environment: Environment, photos: Path) -> None:
    aws, before = environment.aws, environment.endpoint()
    stack = aws.stack("Endpoint")
    template = json.loads((environment.model.assembly / f"{stack}.template.json").read_text())
    (model,) = [item for item in template["Resources"].values() if item["Type"] == "AWS::SageMaker::Model"]
    model["Properties"]["PrimaryContainer"]["ModelDataUrl"] = "s3://kennel-nobody/model.tar.gz"
    aws.cloudformation.update_stack(StackName=stack, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])
    assert aws.settled(stack) == "UPDATE_ROLLBACK_COMPLETE"
    assert "kennel-nobody" in aws.reasons(stack)
    assert environment.endpoint() == before
    photo = sorted((photos / "test").glob("*/*.png"))[0]
    assert aws.ask_endpoint(photo)["artifact_sha256"] == environment.model.sha256


def test_destroy_needs_the_protection_lifted_and_leaves_what_is_retained(environment: Environment) -> None:
    aws, settings = environment.aws, environment.settings
    if settings["account"]["termination_protection"]:
        for noun in NOUNS:
            with pytest.raises(ClientError, match="TerminationProtection is enabled"):
                aws.cloudformation.delete_stack(StackName=aws.stack(noun))
            aws.cloudformation.update_termination_protection(
                StackName=aws.stack(noun), EnableTerminationProtection=False
            )
    aws.cdk("destroy", "--all", "--force", "--app", environment.model.assembly)
    assert environment.remaining() == []
    assert aws.sagemaker.list_endpoints(NameContains=aws.name)["Endpoints"] == []
    assert aws.cloudwatch.describe_alarms(AlarmNamePrefix=aws.name)["MetricAlarms"] == []
    eventually(lambda: model_servers(aws) == [])
    buckets = [bucket["Name"] for bucket in aws.s3.list_buckets()["Buckets"]]
    assert any(name.startswith(aws.name) for name in buckets) == settings["storage"]["retain"]
