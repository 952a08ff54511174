import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from stacks.settings import Settings, load_settings
from stacks.settings.errors import ConfigurationError

ROOT = Path(__file__).parents[3]
SETTINGS = ROOT / "settings"


def changed(folder: Path, **fields: Any) -> Path:
    """Write the dev settings with some fields changed; None removes one, a new one joins the table api."""
    text = (SETTINGS / "dev.toml").read_text()
    for field, value in fields.items():
        line = "" if value is None else f"{field} = {json.dumps(value)}\n"
        text, count = re.subn(rf"^{field} = .*\n", line, text, flags=re.MULTILINE)
        text = text if count else text.replace("[api]\n", f"[api]\n{line}")
    (folder / "dev.toml").write_text(text)
    return folder


@pytest.mark.parametrize("file", sorted(SETTINGS.glob("*.toml")), ids=lambda file: file.stem)
def test_every_settings_file_of_the_project_is_valid(file: Path) -> None:
    settings = load_settings(file.stem, SETTINGS)
    assert settings.environment == file.stem
    assert settings.endpoint.scaling.maximum_instances == 4


def test_an_unchanged_copy_is_valid(tmp_path: Path) -> None:
    assert load_settings("dev", changed(tmp_path, memory_mb=512)) == load_settings("dev", SETTINGS)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("termination_protection", "no", "valid boolean"),
        ("minimum_accuracy", 1.2, "less than or equal to 1"),
        ("capture_days", 0, "greater than or equal to 1"),
        ("retain", "yes", "valid boolean"),
        ("container", "docker.io/library/nginx", "Amazon ECR image URI"),
        ("container", "123456789012.dkr.ecr.us-east-1.amazonaws.com/untagged", "tag or digest"),
        ("instance_type", "c7i.large", "ml.c7i.large"),
        ("instance_type", "ml.t3.medium", "cannot autoscale"),
        ("instance_type", "ml.g5.xlarge", "CPU instance"),
        ("instance_type", "ml.c7g.large", "x86-64 only"),
        ("download_timeout_seconds", 59, "greater than or equal to 60"),
        ("startup_timeout_seconds", 3601, "less than or equal to 3600"),
        ("minimum_instances", 5, "maximum_instances = 4"),
        ("maximum_instances", 0, "greater than or equal to 1"),
        ("invocations_per_instance", 0, "greater than or equal to 0.01"),
        ("scale_out_cooldown_seconds", 30, "greater than or equal to 60"),
        ("memory_mb", 64, "greater than or equal to 128"),
        ("timeout_seconds", 25, "set it to 27 or more"),
        ("invoke_timeout_seconds", 61, "less than or equal to 60"),
        ("maximum_image_bytes", 5_000_000, "less than or equal to 4500000"),
        ("log_retention_days", 15, "14, 30"),
        ("reserved_concurrency", 0, "greater than or equal to 1"),
        ("surprise", 1, "Extra inputs"),
        ("memory_mb", None, "Field required"),
    ],
)
def test_a_setting_out_of_bounds_is_refused_in_one_line_that_names_it(
    tmp_path: Path, field: str, value: Any, says: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings("dev", changed(tmp_path, **{field: value}))
    message = str(caught.value)
    assert "\n" not in message
    assert field in message
    assert says in message
    assert message.startswith(str(tmp_path / "dev.toml"))


def test_more_provisioned_than_reserved_concurrency_is_refused(tmp_path: Path) -> None:
    changed(tmp_path, reserved_concurrency=2, provisioned_concurrency=3)
    with pytest.raises(ConfigurationError, match=r"provisioned_concurrency = 3 is above reserved_concurrency = 2"):
        load_settings("dev", tmp_path)


def test_a_missing_file_is_answered_with_the_names_that_exist(tmp_path: Path) -> None:
    (tmp_path / "prod.toml").write_text("")
    with pytest.raises(ConfigurationError, match=r"there are: prod"):
        load_settings("staging", tmp_path)


ODD = ["", "d", "Dev", "../dev", "a/b", "/etc/passwd", "dev\n", "dev\0", "dev\x1b[31m", "-dev", "dev-", "x" * 5000]


@pytest.mark.parametrize("name", ODD, ids=range(len(ODD)))
def test_what_is_no_name_of_an_environment_is_refused_in_one_short_line(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(name, SETTINGS)
    line = str(caught.value)
    assert line.startswith("-c environment=")
    assert "not an environment's name" in line
    assert line.isprintable()
    assert len(line) < 500


def test_a_settings_file_that_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "dev.toml").mkdir()
    with pytest.raises(ConfigurationError, match=r"dev\.toml: cannot be read: Is a directory$"):
        load_settings("dev", tmp_path)


def own_constraints(annotations: tuple[Any, ...]) -> list[Any]:
    """Return the constraints of an ``Annotated``, also those in a `Field`."""
    return [item for one in annotations for item in (one.metadata if isinstance(one, FieldInfo) else [one])]


def names_of(constraints: list[Any]) -> set[str]:
    patterns = {"Pattern" for item in constraints if getattr(item, "pattern", None)}
    return patterns | {type(item).__name__ for item in constraints}


def numbers(kind: Any, constraints: list[Any], path: str) -> Iterator[tuple[str, str, set[str]]]:
    """Yield each number and each text below a type: its path, what it is, and the names of its constraints."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        yield from numbers(inner[0], constraints + own_constraints(inner[1:]), path)
    elif origin in (Union, UnionType):
        for one in inner:
            yield from numbers(one, constraints, path)
    elif origin is list:
        yield path, "list", names_of(constraints)
        yield from numbers(inner[0], [], f"{path}[]")
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            yield from numbers(field.annotation, field.metadata, f"{path}.{name}" if path else name)
    elif kind in (int, float, str, dict) or origin is dict:
        yield path, getattr(kind, "__name__", "dict"), names_of(constraints)


def test_every_number_has_two_bounds_and_every_text_and_list_an_end() -> None:
    found = list(numbers(Settings, [], ""))
    assert {kind for _, kind, _ in found} == {"int", "float", "str", "list", "dict"}
    for path, kind, names in found:
        if path.endswith("log_retention_days"):
            assert names == {"AfterValidator"}, "one of the periods that CloudWatch Logs accepts"
        elif kind in ("int", "float"):
            assert names & {"Ge", "Gt"}, f"{path} has no lower bound"
            assert names & {"Le", "Lt"}, f"{path} has no upper bound"
        else:
            # A pattern without + or * bounds the length as well.
            assert names & {"MaxLen", "Pattern"}, f"{path} has no longest {kind}"


@pytest.mark.parametrize(
    ("table", "field", "value"),
    [
        ("monitoring", "runbook_url", "docs\nrunbook.md"),
        ("monitoring", "emails", ["a\0b@example.com"]),
        ("training.instance", "type", "g4dn." + "x" * 100),
        ("endpoint", "container", "123456789012.dkr.ecr.us-east-1.amazonaws.com/" + "a" * 300 + ":1"),
        ("endpoint.scaling", "minimum_instances", 10**30),
        ("endpoint.scaling", "invocations_per_instance", 1e-300),
        ("monitoring", "function_errors", 10**18),
        ("monitoring", "monthly_budget_usd", 1e300),
        ("monitoring", "http_api_latency_p99_milliseconds", 30_000),
    ],
)
def test_an_absurd_number_or_text_is_refused_in_one_line(tmp_path: Path, table: str, field: str, value: Any) -> None:
    text = re.sub(
        rf"(\[{table}\].*?^){field} = [^\n]*\n", r"\1", (SETTINGS / "dev.toml").read_text(), flags=re.S | re.M
    )
    text = re.sub(rf"^(\[{table}\][^\n]*\n)", lambda m: f"{m[1]}{field} = {json.dumps(value)}\n", text, flags=re.M)
    (tmp_path / "dev.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings("dev", tmp_path)
    line = str(caught.value)
    assert f"{table}.{field}" in line
    assert line.isprintable()
    assert len(line) < len(str(tmp_path)) + 400


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dev.toml").write_text("[endpoint\n")
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        load_settings("dev", tmp_path)


@pytest.mark.parametrize(
    ("instance_type", "architecture"),
    [("ml.c7i.large", "x86_64"), ("ml.m5.xlarge", "x86_64"), ("ml.c7g.large", "arm64"), ("ml.m6gd.large", "arm64")],
)
def test_graviton_is_recognised_by_the_instance_type(tmp_path: Path, instance_type: str, architecture: str) -> None:
    changed(tmp_path, instance_type=instance_type, container="image")
    assert load_settings("dev", tmp_path).endpoint.architecture == architecture


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('id = "12345678901"', "account.id = '12345678901': use the 12 digits"),
        ("id = 123456789012", "account.id = 123456789012: "),
        ('region = "Frankfurt"', "account.region = 'Frankfurt': use the name of an AWS region"),
        ('region = "eu-central-1a"', "account.region = 'eu-central-1a': use the name of an AWS region"),
    ],
)
def test_an_environment_is_bound_to_an_account_and_a_region_of_aws(tmp_path: Path, line: str, says: str) -> None:
    text = (SETTINGS / "dev.toml").read_text()
    (tmp_path / "dev.toml").write_text(text.replace("[account]\n", f"[account]\n{line}\n"))
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        load_settings("dev", tmp_path)
