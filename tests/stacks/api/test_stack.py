"""The API stack: its alias and concurrency, who may reach it, and the statements of its role."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from stacks.api.stack import ApiStack
from stacks.settings import Settings, load_settings
from stacks.settings.api import ApiSettings

Template = dict[str, Any]
Made = Callable[[str], Template]
OfType = Callable[[Template, str], dict[str, Template]]
ROOT = Path(__file__).parents[3]
SETTINGS = ROOT / "settings"
CONTEXT = json.loads((ROOT / "cdk.json").read_text())["context"]

KEY = "arn:aws:kms:eu-central-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
LOG_KEY = "arn:aws:kms:eu-central-1:123456789012:key/mrk-0123456789abcdef0123456789abcdef"
JWT = {
    "authorizer": "jwt",
    "jwt_issuer": "https://id.example.com/",
    "jwt_audience": ["kennel"],
    "rate_per_second": 20,
    "burst": 40,
    "cors_origins": ["https://app.example.com"],
}
PERSONAL = ("ip", "userAgent", "identity", "authorizer", "caller", "user", "path", "query", "body", "header", "domain")


def synthesise(folder: Path, environment: str, key: str | None = None, **changes: Any) -> Template:
    """Return the template of an environment's API stack with some settings of it, or the storage's key, changed."""
    settings = load_settings(environment, SETTINGS)
    storage = settings.storage.model_copy(update={"kms_key_arn": key})
    api = ApiSettings.model_validate({**settings.api.model_dump(), **changes})
    app = cdk.App(outdir=str(folder), context=CONTEXT)
    ApiStack(app, "Api", settings=settings.model_copy(update={"api": api, "storage": storage}))
    template: Template = json.loads(Path(app.synth().stacks[0].template_full_path).read_text())
    return template


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    templates: dict[str, Template] = {}
    changes: dict[str, dict[str, Any]] = {"dev": {}, "local": {}, "prod": {}}
    changes["tokens"] = {"key": KEY, "http_api": JWT, "log_kms_key_arn": LOG_KEY, "function_url": False}

    def of(name: str) -> Template:
        if name not in templates:
            environment = name if name != "tokens" else "dev"
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(ROOT)
                templates[name] = synthesise(tmp_path_factory.mktemp("out"), environment, **changes[name])
        return templates[name]

    return of


def one(items: dict[str, Template]) -> Template:
    (item,) = items.values()
    properties: Template = item["Properties"]
    return properties


def logical_id(items: dict[str, Template]) -> str:
    (name,) = items
    return name


def text(value: Any) -> str:
    """Join a string of intrinsic functions, each shown by what it refers to."""
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        return "".join(map(text, value["Fn::Join"][1]))
    return f"<{value.get('Ref') or '.'.join(value['Fn::GetAtt'])}>"


def test_the_zip_holds_the_folder_of_the_function_alone(made: Made, resources: OfType, tmp_path: Path) -> None:
    (ROOT / "lambda_src" / "predict" / "__pycache__").mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        synthesise(tmp_path, "dev")
    (asset,) = tmp_path.glob("asset.*")
    zipped = {path.relative_to(asset) for path in asset.rglob("*") if path.is_file()}
    folder = ROOT / "lambda_src"
    assert zipped == {path.relative_to(folder) for path in (folder / "predict").rglob("*.py")}
    assert one(resources(made("dev"), "AWS::Lambda::Function"))["Handler"] == "predict.handler.handle"


@pytest.mark.parametrize("name", ["dev", "local", "prod", "tokens"])
def test_the_role_has_the_statements_that_the_settings_need(made: Made, resources: OfType, name: str) -> None:
    assert not resources(made(name), "AWS::IAM::Policy"), "a construct has added statements of its own"
    (policy,) = one(resources(made(name), "AWS::IAM::Role"))["Policies"]
    more = {"prod": ["SendTraces"], "tokens": ["UseQueueKey"]}.get(name, [])
    sids = [statement["Sid"] for statement in policy["PolicyDocument"]["Statement"]]
    assert sids == ["InvokeEndpoint", "WriteFunctionLogs", "SendFailures", *more]


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_traces_are_sent_where_the_setting_is_on(made: Made, resources: OfType, name: str) -> None:
    function = one(resources(made(name), "AWS::Lambda::Function"))
    assert (function.get("TracingConfig") == {"Mode": "Active"}) is (name == "prod")


def test_provisioned_concurrency_follows_its_use_on_the_alias(made: Made, resources: OfType) -> None:
    template = made("prod")
    alias = one(resources(template, "AWS::Lambda::Alias"))
    assert alias["Name"] == "live"
    assert alias["ProvisionedConcurrencyConfig"] == {"ProvisionedConcurrentExecutions": 2}
    target = one(resources(template, "AWS::ApplicationAutoScaling::ScalableTarget"))
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 8)
    assert target["ScalableDimension"] == "lambda:function:ProvisionedConcurrency"
    assert target["ResourceId"]["Fn::Join"][1][0] == "function:"
    assert target["ResourceId"]["Fn::Join"][1][-1] == ":live"
    assert "RoleARN" not in target, "Application Auto Scaling makes the role only if none is named"
    policy = one(resources(template, "AWS::ApplicationAutoScaling::ScalingPolicy"))
    tracking = policy["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == 0.7
    assert tracking["PredefinedMetricSpecification"] == {
        "PredefinedMetricType": "LambdaProvisionedConcurrencyUtilization"
    }


def test_without_scaling_the_bounds_hold_provisioned_concurrency_where_the_settings_want_it(
    tmp_path: Path, made: Made, resources: OfType, in_project: None
) -> None:
    kind = "AWS::ApplicationAutoScaling::ScalableTarget"
    before, after = resources(made("prod"), kind), resources(synthesise(tmp_path, "prod", scaling=None), kind)
    assert before.keys() == after.keys(), "a target that goes leaves what it scaled out"
    assert (one(after)["MinCapacity"], one(after)["MaxCapacity"]) == (2, 2)
    assert not resources(made("dev"), kind)


def test_a_change_of_concurrency_publishes_no_new_version(
    tmp_path: Path, made: Made, resources: OfType, in_project: None
) -> None:
    changed = synthesise(tmp_path, "prod", reserved_concurrency=20, provisioned_concurrency=3)
    versions = [resources(template, "AWS::Lambda::Version").keys() for template in (made("prod"), changed)]
    assert versions[0] == versions[1]


def test_what_asynchronous_invocations_fail_on_is_kept_in_a_private_queue(made: Made, resources: OfType) -> None:
    template = made("prod")
    queue = logical_id(resources(template, "AWS::SQS::Queue"))
    properties = one(resources(template, "AWS::SQS::Queue"))
    assert properties["QueueName"] == "kennel-prod-failures"
    assert properties["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert properties["SqsManagedSseEnabled"] is True
    assert one(resources(template, "AWS::SQS::QueuePolicy"))["Queues"] == [{"Ref": queue}]
    invoke = one(resources(template, "AWS::Lambda::EventInvokeConfig"))
    assert invoke["DestinationConfig"] == {"OnFailure": {"Destination": {"Fn::GetAtt": [queue, "Arn"]}}}
    assert (invoke["MaximumEventAgeInSeconds"], invoke["MaximumRetryAttempts"]) == (3600, 1)
    assert logical_id(resources(template, "AWS::Lambda::Alias")) in json.dumps(invoke["Qualifier"])


def test_with_a_key_of_ones_own_the_queue_is_under_it(made: Made, resources: OfType) -> None:
    assert one(resources(made("tokens"), "AWS::SQS::Queue"))["KmsMasterKeyId"] == KEY


def test_the_function_url_takes_signed_requests_only_and_goes_with_its_setting(made: Made, resources: OfType) -> None:
    url = one(resources(made("dev"), "AWS::Lambda::Url"))
    assert (url["AuthType"], url["Qualifier"]) == ("AWS_IAM", "live")
    assert not resources(made("tokens"), "AWS::Lambda::Url")
    assert "FunctionUrl" not in made("tokens")["Outputs"]


def test_without_its_table_there_is_no_http_api(made: Made, resources: OfType) -> None:
    kinds = {item["Type"] for item in made("dev")["Resources"].values()}
    assert not any(kind.startswith("AWS::ApiGateway") for kind in kinds)
    assert not resources(made("dev"), "AWS::Lambda::Permission")
    assert "HttpApiUrl" not in made("dev")["Outputs"]


def test_the_http_api_calls_the_alias_and_the_alias_lets_in_that_api_only(made: Made, resources: OfType) -> None:
    template = made("prod")
    api = logical_id(resources(template, "AWS::ApiGatewayV2::Api"))
    alias = {"Ref": logical_id(resources(template, "AWS::Lambda::Alias"))}
    integration = one(resources(template, "AWS::ApiGatewayV2::Integration"))
    assert integration["IntegrationUri"] == alias
    assert integration["PayloadFormatVersion"] == "2.0"
    permission = one(resources(template, "AWS::Lambda::Permission"))
    assert permission["FunctionName"] == alias
    assert permission["Principal"] == "apigateway.amazonaws.com"
    assert text(permission["SourceArn"]) == (
        f"arn:<AWS::Partition>:execute-api:<AWS::Region>:<AWS::AccountId>:<{api}>/*/*/predict"
    )
    assert text(template["Outputs"]["HttpApiUrl"]["Value"]) == f"<{api}.ApiEndpoint>/predict"


def test_every_route_of_the_http_api_asks_who_calls(made: Made, resources: OfType) -> None:
    route = one(resources(made("prod"), "AWS::ApiGatewayV2::Route"))
    assert (route["RouteKey"], route["AuthorizationType"]) == ("POST /predict", "AWS_IAM")
    route = one(resources(made("tokens"), "AWS::ApiGatewayV2::Route"))
    assert (route["RouteKey"], route["AuthorizationType"]) == ("POST /predict", "JWT")
    authorizer = resources(made("tokens"), "AWS::ApiGatewayV2::Authorizer")
    assert route["AuthorizerId"] == {"Ref": logical_id(authorizer)}
    assert one(authorizer)["JwtConfiguration"] == {"Audience": ["kennel"], "Issuer": "https://id.example.com/"}


def test_the_stage_throttles_as_the_settings_say(made: Made, resources: OfType) -> None:
    for name, rate, burst in (("prod", 50, 100), ("tokens", 20, 40)):
        stage = one(resources(made(name), "AWS::ApiGatewayV2::Stage"))
        assert (stage["StageName"], stage["AutoDeploy"]) == ("$default", True)
        limits = stage["DefaultRouteSettings"]
        # And nothing else: metrics by route would be charged for.
        assert limits == {"ThrottlingRateLimit": rate, "ThrottlingBurstLimit": burst}


def test_only_named_origins_may_call_from_a_page(made: Made, resources: OfType) -> None:
    assert "CorsConfiguration" not in one(resources(made("prod"), "AWS::ApiGatewayV2::Api"))
    cors = one(resources(made("tokens"), "AWS::ApiGatewayV2::Api"))["CorsConfiguration"]
    assert cors["AllowOrigins"] == ["https://app.example.com"]
    assert cors["AllowMethods"] == ["POST"]
    assert "*" not in json.dumps(cors)


def test_the_access_log_says_nothing_of_the_person_who_calls(made: Made, resources: OfType) -> None:
    stage = one(resources(made("prod"), "AWS::ApiGatewayV2::Stage"))
    log = json.loads(stage["AccessLogSettings"]["Format"])
    assert log["requestId"] == "$context.requestId"
    words = [word for value in log.values() for word in value.removeprefix("$context.").split(".")]
    assert not [word for word in words for personal in PERSONAL if personal.lower() in word.lower()]
    group = logical_id(
        {
            name: item
            for name, item in resources(made("prod"), "AWS::Logs::LogGroup").items()
            if item["Properties"]["LogGroupName"] == "/aws/vendedlogs/apis/kennel-prod"
        }
    )
    assert text(stage["AccessLogSettings"]["DestinationArn"]).endswith(f":log-group:<{group}>")


def test_every_log_group_has_a_retention_and_the_key_of_the_settings(made: Made, resources: OfType) -> None:
    for name, groups, key in (("dev", 1, None), ("prod", 2, None), ("tokens", 2, LOG_KEY)):
        found = resources(made(name), "AWS::Logs::LogGroup").values()
        assert len(found) == groups
        for group in found:
            assert group["Properties"]["RetentionInDays"] > 0
            assert group["Properties"].get("KmsKeyId") == key


def test_settings_are_those_of_the_function(dev: Settings, made: Made, resources: OfType) -> None:
    function = one(resources(made("dev"), "AWS::Lambda::Function"))
    assert function["MemorySize"] == dev.api.memory_mb
    assert function["Timeout"] == dev.api.timeout_seconds
    assert function["Environment"]["Variables"]["MAX_IMAGE_BYTES"] == str(dev.api.maximum_image_bytes)
