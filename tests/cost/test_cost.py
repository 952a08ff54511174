"""The cost of synthesised stacks: small templates whose sums are done by hand, and the templates that we ship."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cost.__main__ import main
from cost.assembly import Assembly, parse_stack
from cost.estimate import Estimate, changes, estimate
from cost.prices import US_EAST_1, Price, Prices, load_prices
from cost.usage import Assumptions

Template = dict[str, Any]

# Round prices, so that each expected sum below can be done in one's head.
PRICES = Prices(
    "nowhere-1",
    "2026-01-01",
    {},
    {
        key: Price(usd, "unit", "test")
        for key, usd in {
            "ml.c7i.large": 0.1,
            "ml.t3.medium": 0.05,
            "serverless_gb_second": 0.00002,
            "ml_storage_gb_month": 0.1,
            "lambda_request": 2e-7,
            "lambda_arm64_gb_second": 1e-5,
            "lambda_arm64_provisioned_gb_second": 5e-6,
            "lambda_arm64_provisioned_idle_gb_second": 1e-6,
            "alarm_standard": 0.1,
            "alarm_high_resolution": 0.3,
            "log_ingest_gb": 0.5,
            "log_storage_gb_month": 0.03,
            "s3_gb_month": 0.02,
            "s3_put": 5e-6,
            "trace": 5e-6,
            "http_api_request": 1e-6,
            "dashboard": 3.0,
            "sns_email": 2e-5,
            "sqs_request": 4e-7,
        }.items()
    },
)
ASSUMPTIONS = Assumptions(requests_typical=1_000_000, requests_peak=10_000_000, function_ms=100, model_ms=500)


def template(**resources: tuple[str, Template]) -> Template:
    return {"Resources": {name: {"Type": kind, "Properties": body} for name, (kind, body) in resources.items()}}


def priced(content: Template, assumptions: Assumptions = ASSUMPTIONS, prices: Prices = PRICES) -> Estimate:
    return estimate(Assembly((parse_stack("KennelTest-dev", content),)), prices, assumptions)


def costs(result: Estimate) -> dict[str, tuple[float | None, ...]]:
    return {
        line.usage.item: tuple(cost if cost is None else round(cost, 6) for cost in line.costs) for line in result.lines
    }


def write_assembly(folder: Path, content: Template, name: str = "KennelTest-dev") -> Path:
    folder.mkdir()
    (folder / "stack.template.json").write_text(json.dumps(content))
    artifact = {"type": "aws:cloudformation:stack", "properties": {"templateFile": "stack.template.json"}}
    (folder / "manifest.json").write_text(json.dumps({"artifacts": {name: artifact}}))
    return folder


def endpoint(instance_type: str = "ml.c7i.large", least: int = 1, most: int = 4, **config: Any) -> Template:
    variant = {"VariantName": "AllTraffic", "InstanceType": instance_type, "InitialInstanceCount": least}
    return template(
        Config=("AWS::SageMaker::EndpointConfig", {"ProductionVariants": [variant], **config}),
        Target=(
            "AWS::ApplicationAutoScaling::ScalableTarget",
            {
                "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
                "ResourceId": {"Fn::Join": ["", ["endpoint/", {"Ref": "Endpoint"}, "/variant/AllTraffic"]]},
                "MinCapacity": least,
                "MaxCapacity": most,
            },
        ),
        Policy=(
            "AWS::ApplicationAutoScaling::ScalingPolicy",
            {
                "ScalingTargetId": {"Ref": "Target"},
                "TargetTrackingScalingPolicyConfiguration": {
                    "TargetValue": 10,
                    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
                },
            },
        ),
    )


def test_an_endpoint_stands_at_its_minimum_and_peaks_at_its_maximum() -> None:
    # A million requests are 22.8 a minute: three instances that take 10 a minute each.
    result = costs(priced(endpoint(least=1, most=4)))
    assert result["Instances of variant AllTraffic"] == (73.0, 219.0, 292.0)
    assert result["Alarms of target tracking"] == (0.2, 0.2, 0.2)


def test_typical_traffic_leaves_the_fleet_within_its_bounds() -> None:
    quiet = replace(ASSUMPTIONS, requests_typical=1)
    assert costs(priced(endpoint(least=2), quiet))["Instances of variant AllTraffic"][1] == 146.0
    busy = replace(ASSUMPTIONS, requests_typical=1e9)
    assert costs(priced(endpoint(most=3), busy))["Instances of variant AllTraffic"][1] == 219.0


def test_an_endpoint_that_does_not_scale_costs_the_same_at_any_traffic() -> None:
    content = endpoint(least=2)
    del content["Resources"]["Target"], content["Resources"]["Policy"]
    assert costs(priced(content))["Instances of variant AllTraffic"] == (146.0, 146.0, 146.0)


@pytest.mark.parametrize(
    "resource_id",
    [
        "endpoint/kennel-dev/variant/AllTraffic",
        {"Fn::Join": ["", ["endpoint/", {"Fn::GetAtt": ["Endpoint", "EndpointName"]}, "/variant/", "AllTraffic"]]},
    ],
)
def test_a_variant_finds_its_scalable_target_however_its_name_is_written(resource_id: object) -> None:
    content = endpoint(most=4)
    content["Resources"]["Target"]["Properties"]["ResourceId"] = resource_id
    assert costs(priced(content))["Instances of variant AllTraffic"][2] == 292.0


def test_a_target_of_another_variant_scales_nothing_here() -> None:
    content = endpoint(least=1, most=4)
    content["Resources"]["Target"]["Properties"]["ResourceId"] = "endpoint/kennel-dev/variant/NotAllTraffic"
    assert costs(priced(content))["Instances of variant AllTraffic"][2] == 73.0


def test_a_fleet_that_follows_another_metric_is_typically_at_its_minimum() -> None:
    content = endpoint(least=1, most=4)
    tracking = content["Resources"]["Policy"]["Properties"]["TargetTrackingScalingPolicyConfiguration"]
    tracking["PredefinedMetricSpecification"]["PredefinedMetricType"] = (
        "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    )
    result = costs(priced(content))
    assert result["Instances of variant AllTraffic"] == (73.0, 73.0, 292.0)
    assert result["Alarms of target tracking"] == (0.6, 0.6, 0.6)


def test_a_shadow_variant_has_instances_of_its_own() -> None:
    shadow = {"VariantName": "Shadow", "InstanceType": "ml.c7i.large", "InitialInstanceCount": 1, "VolumeSizeInGB": 20}
    result = costs(priced(endpoint(ShadowProductionVariants=[shadow])))
    assert result["Instances of variant Shadow"] == (73.0, 73.0, 73.0)
    assert result["Disks of variant Shadow"] == (2.0, 2.0, 2.0)


def test_a_serverless_variant_costs_only_its_seconds() -> None:
    variant = {"VariantName": "AllTraffic", "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
    result = costs(priced(template(C=("AWS::SageMaker::EndpointConfig", {"ProductionVariants": [variant]}))))
    assert result["Serverless variant AllTraffic"] == (0.0, 20.0, 200.0)  # 1e6 x 0.5 s x 2 GB x 0.00002


def test_variants_share_the_requests_by_their_weights() -> None:
    variants = [
        {"VariantName": name, "InitialVariantWeight": weight, "ServerlessConfig": {"MemorySizeInMB": 2048}}
        for name, weight in (("Old", 3), ("New", 1))
    ]
    result = costs(priced(template(C=("AWS::SageMaker::EndpointConfig", {"ProductionVariants": variants}))))
    assert result["Serverless variant Old"][1] == 15.0
    assert result["Serverless variant New"][1] == 5.0


def test_captured_requests_cost_by_their_sampling_and_the_days_they_are_kept() -> None:
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 10,
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    content = endpoint(DataCaptureConfig=capture)
    rule = {"Prefix": "capture/", "ExpirationInDays": 730 / 12}
    content["Resources"]["Bucket"] = {
        "Type": "AWS::S3::Bucket",
        "Properties": {"LifecycleConfiguration": {"Rules": [rule]}},
    }
    result = costs(priced(content, replace(ASSUMPTIONS, photo_kb=150)))
    assert result["Captured requests, written"] == (0.0, 0.5, 5.0)  # 1e5 x 5e-6
    assert result["Captured requests, kept"] == (0.0, 0.8, 8.0)  # 1e5 x 200 kB x 2 months = 40 GB-months
    assert result["Buckets, stored objects"] == (0.02, 0.02, 0.02)


FUNCTION = ("AWS::Lambda::Function", {"MemorySize": 512, "Architectures": ["arm64"]})


def test_a_function_costs_requests_and_gigabyte_seconds() -> None:
    result = costs(priced(template(Function=FUNCTION)))
    assert result["Function, requests"] == (0.0, 0.2, 2.0)
    assert result["Function, run time"] == (0.0, 0.5, 5.0)  # 1e6 x 0.1 s x 0.5 GB x 1e-5


def test_provisioned_concurrency_stands_and_makes_the_run_time_cheaper() -> None:
    alias = ("AWS::Lambda::Alias", {"ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 2}})
    result = costs(priced(template(Function=FUNCTION, Alias=alias)))
    assert result["Provisioned concurrency"] == (2.628, 2.628, 2.628)  # 2 x 0.5 GB x 2,628,000 s x 1e-6
    assert result["Function, run time"] == (0.0, 0.25, 2.5)


def test_provisioned_concurrency_that_scales_has_a_minimum_and_a_maximum() -> None:
    alias = ("AWS::Lambda::Alias", {"ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 1}})
    target = (
        "AWS::ApplicationAutoScaling::ScalableTarget",
        {"ScalableDimension": "lambda:function:ProvisionedConcurrency", "MinCapacity": 1, "MaxCapacity": 3},
    )
    result = costs(priced(template(Function=FUNCTION, Alias=alias, Target=target)))
    assert result["Provisioned concurrency"] == (1.314, 1.314, 3.942)


def test_lambda_traces_one_request_a_second_and_a_twentieth_of_the_rest() -> None:
    kind, body = FUNCTION
    result = costs(priced(template(Function=(kind, {**body, "TracingConfig": {"Mode": "Active"}}))))
    assert result["Traces"] == (0.0, 5.0, 14.983)  # at peak 2,628,000 + 5 % of 7,372,000


def test_alarms_cost_by_metric_and_by_resolution() -> None:
    def stat(period: int) -> Template:
        return {"MetricStat": {"Period": period}}

    result = priced(
        template(
            One=("AWS::CloudWatch::Alarm", {"Period": 60}),
            Math=("AWS::CloudWatch::Alarm", {"Metrics": [stat(60), stat(60), {"Expression": "a / b"}]}),
            Fast=("AWS::CloudWatch::Alarm", {"Metrics": [stat(10)]}),
            Band=("AWS::CloudWatch::Alarm", {"ThresholdMetricId": "band", "Metrics": [stat(60)]}),
            Board=("AWS::CloudWatch::Dashboard", {}),
        )
    )
    assert costs(result) == {
        "Alarms, standard": (0.6, 0.6, 0.6),
        "Alarms, high resolution": (0.3, 0.3, 0.3),
        "Dashboards": (3.0, 3.0, 3.0),
    }


def test_a_photo_beyond_512_kilobytes_is_two_requests_of_an_http_api() -> None:
    content = template(Api=("AWS::ApiGatewayV2::Api", {"ProtocolType": "HTTP"}))
    assert costs(priced(content, replace(ASSUMPTIONS, photo_kb=512)))["HTTP API"][1] == 1.0
    assert costs(priced(content, replace(ASSUMPTIONS, photo_kb=513)))["HTTP API"][1] == 2.0


def test_a_notebook_costs_its_disk_when_it_sleeps() -> None:
    notebook = ("AWS::SageMaker::NotebookInstance", {"InstanceType": "ml.t3.medium", "VolumeSizeInGB": 10})
    result = priced(template(Notebook=notebook))
    assert [round(total.usd, 6) for total in result.totals] == [1.0, 3.0, 37.5]


def test_alarm_e_mails_and_dead_letters_come_only_with_traffic() -> None:
    content = template(Topic=("AWS::SNS::Topic", {}), Queue=("AWS::SQS::Queue", {}))
    result = costs(priced(content, replace(ASSUMPTIONS, notices=1000)))
    assert result["Alarm e-mails"] == (0.0, 0.02, 0.02)
    assert result["Dead letters"] == (0.0, 0.0012, 0.0012)  # each is sent, received and deleted


def test_an_unknown_price_of_nothing_is_nothing() -> None:
    queue = ("AWS::SQS::Queue", {"FifoQueue": True})
    result = priced(template(Queue=queue))
    assert costs(result)["Dead letters"] == (0.0, None, None)
    assert [total.complete for total in result.totals] == [True, False, False]


def test_no_traffic_costs_only_what_stands() -> None:
    result = priced(template(Function=FUNCTION, Logs=("AWS::Logs::LogGroup", {"RetentionInDays": 14})))
    assert result.totals[0].usd == 0
    assert result.totals[1].usd > 0


def test_a_million_requests_are_priced_without_what_stands() -> None:
    content = template(Function=FUNCTION, Board=("AWS::CloudWatch::Dashboard", {}))
    added = priced(content).per_million_requests
    assert added is not None
    assert added.usd == pytest.approx(0.7)
    assert priced(content, replace(ASSUMPTIONS, requests_peak=0)).per_million_requests is None


def test_an_instance_type_without_a_price_is_unknown_and_the_total_is_at_least(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = priced(endpoint("ml.new.large"))
    assert costs(result)["Instances of variant AllTraffic"] == (None, None, None)
    assert not result.totals[0].complete
    assert main([str(write_assembly(tmp_path / "out", endpoint("ml.new.large")))]) == 0
    printed = capsys.readouterr().out
    assert "price unknown" in printed
    assert "at least" in printed
    assert "The price file has no price for ml.new.large: look it up" in printed


def test_a_resource_type_that_nobody_priced_is_unknown_not_free() -> None:
    result = priced(template(Nat=("AWS::EC2::NatGateway", {})))
    assert costs(result) == {"AWS::EC2::NatGateway": (None, None, None)}
    assert not result.totals[2].complete


def test_a_diff_compares_two_environments_row_by_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dev = write_assembly(tmp_path / "dev", endpoint(least=1), "KennelEndpoint-dev")
    prod = write_assembly(tmp_path / "prod", endpoint(least=2), "KennelEndpoint-prod")
    assert main(["--diff", str(dev), str(prod)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    usd = load_prices().prices["ml.c7i.large"].usd * 730
    expected = [f"{usd:.2f}", f"{2 * usd:.2f}", f"+{usd:.2f}"]
    assert ["KennelEndpoint:", "Instances", "of", "variant", "AllTraffic", *expected] in rows
    assert not any("Alarms" in row for row in rows)  # the same in both
    assert [row[-1] for row in rows if row[:1] == ["Total,"]] == [f"+{usd:.2f}", f"+{usd:.2f}", "+0.00"]


def test_a_diff_shows_what_is_gone_and_what_is_unknown() -> None:
    before = priced(template(Board=("AWS::CloudWatch::Dashboard", {})))
    after = priced(template(Nat=("AWS::EC2::NatGateway", {})))
    rows = {change.item: (change.before, change.after) for change in changes(before, after)}
    assert rows == {"Dashboards": (3.0, 0.0), "AWS::EC2::NatGateway": (0.0, None)}


def test_the_output_begins_with_what_its_columns_mean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_assembly(tmp_path / "cdk.out", endpoint())
    assert main([str(folder), "--requests-typical", "2000", "--requests-peak", "50000"]) == 0
    above, _, _ = capsys.readouterr().out.partition("US dollars a month")
    assert "with 2,000 requests (typical)" in above
    assert "with 50,000 requests while every fleet is at its maximum (peak)" in above


def test_the_output_says_what_was_assumed_and_where_the_prices_come_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(write_assembly(tmp_path / "out", endpoint())), "--requests-peak", "5000000"]) == 0
    printed = capsys.readouterr().out
    for expected in ("5,000,000", "us-east-1", "second-hand", "https://aws.amazon.com/", "Not counted", "free tiers"):
        assert expected in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no synthesised stacks; run `make synth`"),
        (["--diff", "nowhere", "nowhere"], "nowhere: no synthesised stacks"),
        (["--requests-typical", "-1"], "--requests-typical -1.0: use a number of 0 or more"),
        (["--photo-kb", "inf"], "--photo-kb inf: use a number of 0 or more"),
        (["--prices", "nowhere.toml"], "nowhere.toml: cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", '{"artifacts": {}}', '{"artifacts": {"A": {"type": "aws:cloudformation:stack"}}}'],
)
def test_a_damaged_assembly_is_one_line(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.json").write_text(content)
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("resource", "name", "value"),
    [("Target", "MaxCapacity", {"Ref": "Maximum"}), ("Config", "ProductionVariants", {"Fn::If": ["A", [], []]})],
)
def test_a_value_that_only_cloudformation_knows_is_one_line(
    resource: str, name: str, value: Template, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = endpoint()
    content["Resources"][resource]["Properties"][name] = value
    assert main([str(write_assembly(tmp_path / "out", content))]) == 2
    error = capsys.readouterr().err
    assert "KennelTest-dev: Config (AWS::SageMaker::EndpointConfig) cannot be priced" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('region = "us-east-1"', "", "'region' is missing"),
        ('region = "us-east-1"', "region = ", "not valid TOML"),
        (
            'source = "kms" }',
            'source = "hearsay" }',
            "kms_key has the source 'hearsay', which the table [source] lacks",
        ),
        ("usd = 3.00", "usd = -3.00", "dashboard has the price -3.0"),
        ('provenance = "aws"', 'origin = "aws"', "prices-us-east-1.toml shows the format"),
    ],
)
def test_a_price_file_with_a_fault_is_refused(
    old: str, new: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = US_EAST_1.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "prices.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    assert main(["--prices", str(tmp_path / "prices.toml")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
