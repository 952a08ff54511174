"""The settings of dev and prod on an embedded AWS, from the first deployment to the last: in this order."""

import base64
import dataclasses
import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded import ROOT, eventually
from tests.end_to_end.project import Deployment, Model, model_servers, synthesised

NOUNS = ("Storage", "Training", "Endpoint", "Api", "Monitoring")
CHANGES = {
    ("endpoint.scaling", "minimum_instances"): 1,
    ("endpoint.scaling", "invocations_per_instance"): -300,
    ("api", "provisioned_concurrency"): 1,
    ("api", "memory_mb"): 128,
}
"""What an update adds to a number of the settings."""


@dataclasses.dataclass
class Environment:
    """One environment, deployed from a copy of the project whose settings and code a test may change."""

    aws: Deployment
    project: Path
    model: Model

    @property
    def settings(self) -> dict[str, Any]:
        return tomllib.loads(self._file.read_text())

    @property
    def _file(self) -> Path:
        return self.project / "settings" / f"{self.aws.settings}.toml"

    def change(self, table: str, key: str, by: int) -> None:
        """Add to a number in a table of the settings file."""
        before, header, after = self._file.read_text().partition(f"[{table}]\n")
        lines = after.splitlines(keepends=True)
        (index,) = [i for i, line in enumerate(lines) if line.startswith(f"{key} = ")][:1]
        old = self.settings
        for part in table.split("."):
            old = old[part]
        lines[index] = f"{key} = {old[key] + by}\n"
        self._file.write_text(before + header + "".join(lines))

    def roll_out(self, model: Model) -> None:
        self.model = synthesised(
            model.folder,
            self.project / f"cdk.out.{model.sha256[:8]}",
            environment=self.aws.settings,
            project=self.project,
        )
        self.aws.roll_out(self.model)


@pytest.fixture(scope="module", params=["dev", "prod"])
def environment(
    request: pytest.FixtureRequest, bootstrapped: Deployment, first: Model, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    project = tmp_path_factory.mktemp(request.param)
    for path in ROOT.iterdir():
        if path.name in ("settings", "lambda_src"):
            shutil.copytree(path, project / path.name)
        elif not path.name.startswith(("cdk.out", ".git")):
            (project / path.name).symlink_to(path)
    environment = Environment(dataclasses.replace(bootstrapped, settings=request.param), project, first)
    environment.roll_out(first)
    yield environment
    for name in remaining(environment.aws):  # where a test has failed
        environment.aws.cloudformation.update_termination_protection(StackName=name, EnableTerminationProtection=False)
        environment.aws.cloudformation.delete_stack(StackName=name)
    eventually(lambda: remaining(environment.aws) == [], 60)


def remaining(aws: Deployment) -> list[str]:
    """Return the environment's stacks that are there."""
    names = [str(stack["StackName"]) for stack in aws.cloudformation.describe_stacks()["Stacks"]]
    return [name for name in names if name.endswith(f"-{aws.settings}")]


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
    assert data["ImageId"].startswith("ami-")
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    assert data["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == settings["disk_gb"]
    (group,) = aws.ec2.describe_security_groups(GroupIds=data["SecurityGroupIds"])["SecurityGroups"]
    assert group["IpPermissions"] == []


def endpoint_properties(environment: Environment) -> dict[str, Any]:
    """Describe the endpoint and what scales it."""
    aws = environment.aws
    endpoint = aws.sagemaker.describe_endpoint(EndpointName=aws.name)
    config = aws.sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    (variant,) = config["ProductionVariants"]
    model = aws.sagemaker.describe_model(ModelName=variant["ModelName"])
    resource = {"ServiceNamespace": "sagemaker"}
    scaling = aws.application_autoscaling
    (target,) = scaling.describe_scalable_targets(**resource)["ScalableTargets"]
    (policy,) = scaling.describe_scaling_policies(**resource)["ScalingPolicies"]
    return {
        "config": config["EndpointConfigName"],
        "status": endpoint["EndpointStatus"],
        "deployment": endpoint.get("LastDeploymentConfig"),
        "capture": config.get("DataCaptureConfig"),
        "variant": variant,
        "isolated": model["EnableNetworkIsolation"],
        "artifact": model["PrimaryContainer"]["Environment"]["MODEL_ARTIFACT_SHA256"],
        "bounds": (target["MinCapacity"], target["MaxCapacity"]),
        "tracking": policy["TargetTrackingScalingPolicyConfiguration"],
    }


def check_endpoint(environment: Environment) -> None:
    """Compare the endpoint with the settings."""
    aws, settings = environment.aws, environment.settings["endpoint"]
    scaling = settings["scaling"]
    found = endpoint_properties(environment)
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
    maximum = scaling.get("maximum_provisioned_concurrency")
    assert bounds == ([(settings["provisioned_concurrency"], maximum)] if maximum else [])
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


def test_changed_model_counts_target_code_and_concurrency_are_updated_in_place(
    environment: Environment, photos: Path, second: Model
) -> None:
    aws, before = environment.aws, endpoint_properties(environment)
    functions = aws.make("lambda")
    code = functions.get_function_configuration(FunctionName=aws.name, Qualifier="live")["CodeSha256"]
    arn = aws.sagemaker.describe_endpoint(EndpointName=aws.name)["EndpointArn"]
    for (table, key), by in CHANGES.items():
        environment.change(table, key, by)
    with (environment.project / "lambda_src" / "handler.py").open("a") as handler:
        handler.write('\nCHANGED = "by a test"\n')
    environment.roll_out(second)
    check_endpoint(environment)
    check_api(environment)
    assert endpoint_properties(environment)["config"] != before["config"]
    assert aws.sagemaker.describe_endpoint(EndpointName=aws.name)["EndpointArn"] == arn
    assert functions.get_function_configuration(FunctionName=aws.name, Qualifier="live")["CodeSha256"] != code
    photo = sorted((photos / "test").glob("*/*.png"))[0]
    answer = aws.predict({"image": base64.b64encode(photo.read_bytes()).decode()})
    assert answer["statusCode"] == 200
    assert answer["body"]["artifact_sha256"] == second.sha256


def test_a_failed_update_is_rolled_back_to_every_property(environment: Environment, photos: Path) -> None:
    aws, before = environment.aws, endpoint_properties(environment)
    stack = aws.stack("Endpoint")
    template = json.loads((environment.model.assembly / f"{stack}.template.json").read_text())
    (model,) = [item for item in template["Resources"].values() if item["Type"] == "AWS::SageMaker::Model"]
    model["Properties"]["PrimaryContainer"]["ModelDataUrl"] = "s3://kennel-nobody/model.tar.gz"
    aws.cloudformation.update_stack(StackName=stack, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])
    assert aws.settled(stack) == "UPDATE_ROLLBACK_COMPLETE"
    assert "kennel-nobody" in aws.reasons(stack)
    assert endpoint_properties(environment) == before
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
    assert remaining(aws) == []
    assert aws.sagemaker.list_endpoints(NameContains=aws.name)["Endpoints"] == []
    assert aws.cloudwatch.describe_alarms(AlarmNamePrefix=aws.name)["MetricAlarms"] == []
    eventually(lambda: model_servers(aws) == [])
    buckets = [bucket["Name"] for bucket in aws.s3.list_buckets()["Buckets"]]
    assert any(name.startswith(aws.name) for name in buckets) == settings["storage"]["retain"]
