import json
import re
from pathlib import Path
from typing import Any

import pytest

from stacks.settings import load_settings
from stacks.settings.errors import ConfigurationError

SETTINGS = Path(__file__).parents[3] / "settings"

SCALING = {"maximum_provisioned_concurrency": 8, "target_utilization_percent": 70}
HTTP_API = {"authorizer": "iam", "rate_per_second": 50, "burst": 100}
JWT = {**HTTP_API, "authorizer": "jwt", "jwt_issuer": "https://id.example.com/", "jwt_audience": ["kennel"]}


def write(folder: Path, changes: dict[str, Any]) -> Path:
    """Write the dev settings with another [api]; a changed table joins it, and None removes a field."""
    text = (SETTINGS / "dev.toml").read_text()
    head, _, tail = text.partition("[api]\n")
    for field, value in changes.items():
        if isinstance(value, dict):
            tail = re.sub(rf"^\[api\.{field}\].*\n(?:[^\[].*\n|\n)*", "", tail, flags=re.MULTILINE)
            lines = [f"{name} = {json.dumps(item)}\n" for name, item in value.items()]
            tail += f"\n[api.{field}]\n{''.join(lines)}"
        else:
            tail = re.sub(rf"^{field} = .*\n", "", tail, flags=re.MULTILINE)
            tail = tail if value is None else f"{field} = {json.dumps(value)}\n{tail}"
    (folder / "dev.toml").write_text(f"{head}[api]\n{tail}")
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"function_url": False},
        # 1 s is more than the half second that the function keeps for its answer.
        {"fetch_timeout_seconds": 5, "invoke_timeout_seconds": 20, "timeout_seconds": 26},
        {"log_kms_key_arn": "arn:aws-cn:kms:cn-north-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"},
        {"provisioned_concurrency": 2, "reserved_concurrency": 8, "scaling": SCALING},
        {"provisioned_concurrency": 8, "scaling": SCALING},
        {"http_api": HTTP_API},
        # API Gateway takes a burst under the rate: its own account quotas are 10,000 a second and a burst of 5,000.
        {"http_api": {**HTTP_API, "rate_per_second": 10_000, "burst": 5_000}},
        {"http_api": {**JWT, "cors_origins": ["https://app.example.com", "https://localhost:8443"]}},
    ],
    ids=str,
)
def test_settings_that_lambda_and_api_gateway_take_are_valid(tmp_path: Path, changes: dict[str, Any]) -> None:
    api = load_settings("dev", write(tmp_path, changes)).api
    for field, value in changes.items():
        read = getattr(api, field)
        assert read == value if not isinstance(value, dict) else value.items() <= read.model_dump().items()


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"tracing": 1}, "api.tracing = 1", "valid boolean"),
        ({"function_url": None}, "api.function_url", "Field required"),
        ({"log_kms_key_arn": "alias/logs"}, "api.log_kms_key_arn = 'alias/logs'", "arn:aws"),
        ({"log_kms_key_arn": "arn:aws:kms:eu-central-1:123456789012:key/0a1b"}, "api.log_kms_key_arn", "pattern"),
        (
            {"provisioned_concurrency": 4, "reserved_concurrency": 3},
            "provisioned_concurrency = 4",
            "above reserved_concurrency = 3",
        ),
        (
            {"provisioned_concurrency": 2, "reserved_concurrency": 7, "scaling": SCALING},
            "scaling.maximum_provisioned_concurrency = 8",
            "above reserved_concurrency = 7",
        ),
        (
            {"provisioned_concurrency": 9, "scaling": SCALING},
            "scaling.maximum_provisioned_concurrency = 8",
            "below provisioned_concurrency = 9",
        ),
        ({"provisioned_concurrency": 0, "scaling": SCALING}, "provisioned_concurrency = 0", "set it to 1 or more"),
        (
            {"provisioned_concurrency": 1, "scaling": {**SCALING, "target_utilization_percent": 9}},
            "api.scaling.target_utilization_percent = 9",
            "greater than or equal to 10",
        ),
        (
            {"provisioned_concurrency": 1, "scaling": {**SCALING, "target_utilization_percent": 91}},
            "api.scaling.target_utilization_percent = 91",
            "less than or equal to 90",
        ),
        (
            {"asynchronous": {"maximum_event_age_seconds": 59, "retry_attempts": 1, "failure_retention_days": 14}},
            "api.asynchronous.maximum_event_age_seconds = 59",
            "greater than or equal to 60",
        ),
        (
            {"asynchronous": {"maximum_event_age_seconds": 60, "retry_attempts": 3, "failure_retention_days": 14}},
            "api.asynchronous.retry_attempts = 3",
            "less than or equal to 2",
        ),
        (
            {"asynchronous": {"maximum_event_age_seconds": 60, "retry_attempts": 1, "failure_retention_days": 15}},
            "api.asynchronous.failure_retention_days = 15",
            "less than or equal to 14",
        ),
        ({"http_api": {**HTTP_API, "authorizer": "none"}}, "api.http_api.authorizer = 'none'", "'iam' or 'jwt'"),
        ({"http_api": {**HTTP_API, "burst": 0}}, "api.http_api.burst = 0", "greater than or equal to 1"),
        (
            {"http_api": {**HTTP_API, "rate_per_second": 10_001}},
            "api.http_api.rate_per_second = 10001",
            "less than or equal to 10000",
        ),
        ({"http_api": {**JWT, "jwt_issuer": "http://id.example.com"}}, "jwt_issuer", "'http://id.example.com'"),
        ({"http_api": {**JWT, "jwt_audience": []}}, "jwt_audience", "it is empty"),
        ({"http_api": {**JWT, "jwt_audience": [""]}}, "api.http_api.jwt_audience.0 = ''", "at least 1 character"),
        ({"http_api": {**HTTP_API, "authorizer": "jwt"}}, "jwt_issuer", "it is None"),
        ({"http_api": {**JWT, "authorizer": "iam"}}, "jwt_audience", "reads no tokens"),
        ({"invoke_timeout_seconds": 24}, "timeout_seconds = 29", "set it to 31 or more"),
        ({"http_api": HTTP_API, "timeout_seconds": 31}, "timeout_seconds = 31", "above 29"),
    ],
)
def test_a_setting_of_the_api_out_of_bounds_is_refused_in_one_line_that_names_it(
    tmp_path: Path, changes: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings("dev", write(tmp_path, changes))
    message = str(caught.value)
    assert "\n" not in message
    assert field in message
    assert says in message


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "https://*",
        "https://*.example.com",
        "http://app.example.com",
        "app.example.com",
        "https://app.example.com/",
        "https://APP.example.com",
        "https://user@example.com",
        "null",
        "",
    ],
)
def test_an_origin_that_is_not_one_web_site_over_tls_is_refused(tmp_path: Path, origin: str) -> None:
    write(tmp_path, {"http_api": {**HTTP_API, "cors_origins": ["https://app.example.com", origin]}})
    with pytest.raises(ConfigurationError, match=r"^[^\n]*api\.http_api\.cors_origins = [^\n]*https://HOST[^\n]*$"):
        load_settings("dev", tmp_path)
