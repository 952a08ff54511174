"""``[monitoring]`` and ``[account]``: what is refused, in one line that names the field."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stacks.settings import load_settings
from stacks.settings.errors import ConfigurationError

SETTINGS = Path(__file__).parents[3] / "settings"
ARN = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def changed(folder: Path, table: str, field: str, value: Any) -> Path:
    """Write the dev settings with one field of a table set; None removes it."""
    text = re.sub(rf"^{field} = .*\n", "", (SETTINGS / "dev.toml").read_text(), flags=re.MULTILINE)
    if value is not None:
        text = text.replace(f"[{table}]\n", f"[{table}]\n{field} = {written(value)}\n", 1)
    (folder / "dev.toml").write_text(text)
    return folder


def written(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {json.dumps(text)}" for key, text in value.items()) + "}"
    return json.dumps(value)


@pytest.mark.parametrize(
    ("table", "field", "value", "says"),
    [
        ("monitoring", "dashboard", 1, "valid boolean"),
        ("monitoring", "alarms", None, "Field required"),
        ("monitoring", "emails", ["somebody"], "not an e-mail address"),
        ("monitoring", "emails", ["a@example.com", "a@example.com"], "twice"),
        ("monitoring", "runbook_url", "", "at least 1 character"),
        ("monitoring", "topic_kms_key_arn", "alias/aws/sns", "customer-managed key"),
        ("monitoring", "endpoint_error_percentage", 0, "greater than 0"),
        ("monitoring", "endpoint_error_percentage", 100, "less than 100"),
        ("monitoring", "endpoint_latency_p99_milliseconds", 60_000, "less than 60000"),
        ("monitoring", "function_errors", 0, "greater than or equal to 1"),
        ("monitoring", "function_throttles", 0, "greater than or equal to 1"),
        ("monitoring", "function_spillovers", 0, "greater than or equal to 1"),
        ("monitoring", "url_errors", 0, "greater than or equal to 1"),
        ("monitoring", "function_duration_percentage", 100, "less than 100"),
        ("monitoring", "minutes_at_maximum", 12, "multiple of 5"),
        ("monitoring", "minutes_without_traffic", 1445, "less than or equal to 1440"),
        ("monitoring", "monthly_budget_usd", -1, "greater than or equal to 0"),
        ("monitoring", "budget_percentages", [], "at least 1 item"),
        ("monitoring", "budget_percentages", [20, 40, 60, 80, 100], "at most 4 items"),
        ("monitoring", "budget_percentages", [50, 50], "lists 50 twice: remove one"),
        ("monitoring", "surprise", 1, "Extra inputs"),
        ("account", "termination_protection", "yes", "valid boolean"),
        ("account", "permissions_boundary", "arn:aws:iam::1:policy/x", "the ARN of a managed policy"),
        ("account", "permissions_boundary", "arn:aws:iam::123456789012:role/x", "the ARN of a managed policy"),
        ("account", "tags", {"Project": "mine"}, "Kennel sets the tag Project itself"),
        ("account", "tags", {"aws:owner": "me"}, "no key that begins with aws:"),
        ("account", "tags", {"Owner": "a" * 257}, "256 in a value"),
        ("account", "tags", {"Owner": "me & you"}, "AWS refuses the tag Owner"),
        ("account", "tags", {f"Tag{number}": "x" for number in range(48)}, "at most 47 items"),
    ],
)
def test_a_setting_out_of_bounds_is_refused_in_one_line_that_names_it(
    tmp_path: Path, table: str, field: str, value: Any, says: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings("dev", changed(tmp_path, table, field, value))
    message = str(caught.value)
    assert "\n" not in message
    assert table in message
    assert field in message
    assert says in message


@pytest.mark.parametrize(
    ("table", "field", "value"),
    [
        ("monitoring", "emails", ["on-call@example.com"]),
        ("monitoring", "topic_kms_key_arn", ARN),
        ("monitoring", "minutes_without_traffic", 1440),
        ("account", "permissions_boundary", "Boundary"),
        ("account", "permissions_boundary", "arn:aws-cn:iam::123456789012:policy/team/Boundary"),
        ("account", "tags", {"Owner": "vision@example.com", "cost-centre": "42"}),
    ],
)
def test_what_aws_accepts_is_accepted(tmp_path: Path, table: str, field: str, value: Any) -> None:
    settings = load_settings("dev", changed(tmp_path, table, field, value))
    assert getattr(getattr(settings, table), field) == value
