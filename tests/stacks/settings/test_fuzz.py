"""Any settings file gives templates that cfn-lint accepts, or one line that says what is wrong; never a traceback.

Hypothesis starts from the real settings files and damages them: values, types, keys, tables, bytes. For what is
synthesised it first adds optional tables in any combination that fits, so that each example reaches cfn-lint. The same
examples on every run (``derandomize``), so that a red build is red again.
"""

import copy
import json
import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aws_cdk as cdk
import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import app as kennel_app
from stacks.settings import Settings, load_settings
from stacks.settings.errors import ConfigurationError
from tests.stacks.gates.checkers import CONTEXT, ROOT, Template, cfn_lint

REAL = {file.stem: file.read_text() for file in sorted((ROOT / "settings").glob("*.toml"))}
TABLES: dict[str, dict[str, Any]] = {name: tomllib.loads(text) for name, text in REAL.items()}

SYNTHS = 7
"""How many combinations are synthesised, a second each. Raise it for a longer search."""

Table = dict[str, Any]
Field = tuple[str, ...]

fuzz = settings(
    max_examples=300,
    deadline=None,  # a slow machine is no fault
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make the project's folder again with settings of its own, and work there."""
    folder = tmp_path_factory.mktemp("project")
    for item in ROOT.iterdir():
        if item.name != "settings":
            (folder / item.name).symlink_to(item)
    (folder / "settings").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def refusal(project: Path, environment: str, content: bytes) -> str | None:
    """Write a settings file and load it; return the line with which it is refused, or None."""
    (project / "settings" / f"{environment}.toml").write_bytes(content)
    try:
        load_settings(environment)
    except ConfigurationError as error:
        return str(error)
    return None


def assert_clear(line: str, environment: str) -> None:
    assert line.isprintable(), repr(line)
    assert line.startswith((f"settings/{environment}.toml: ", "build/model.json: ")), line


# ---- damage


def fields(table: Table, above: Field = ()) -> Iterator[Field]:
    """Yield the path of every key, of tables too."""
    for key, value in table.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from fields(value, (*above, key))


def holder(table: Table, field: Field) -> Table:
    """Return the table that holds a field."""
    for key in field[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            return {}
    return table


numbers = st.one_of(
    st.sampled_from([-1, 0, 1, 2, 59, 60, 61, 100, 3600, 3601, 10**6, 2**31, 2**53 + 1, 2**63, 10**30]),
    st.integers(),
    st.floats(),
)
values = st.recursive(
    st.one_of(numbers, st.booleans(), st.text(max_size=20), st.sampled_from(["", "*", "ray", "ml.c7g.large", "a\nb"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """Return the name of a real file and its content after one to three changes."""
    name = draw(st.sampled_from(sorted(TABLES)))
    table = copy.deepcopy(TABLES[name])
    for _ in range(draw(st.integers(1, 3))):
        damage(draw, table)
    return name, written(table).encode()


def damage(draw: st.DrawFn, table: Table) -> None:
    """Change one field of a table."""
    field = draw(st.sampled_from(sorted(fields(table)) or [("model",)]))
    inside, key = holder(table, field), field[-1]
    old = inside.get(key)
    match draw(st.sampled_from(["nudge", "nudge", "borrow", "borrow", "replace", "remove", "add"])):
        case "nudge" if isinstance(old, int | float) and not isinstance(old, bool):
            inside[key] = draw(st.sampled_from([old - 1, old + 1, old * 2, old // 2, old * 10, -old, float(old)]))
        case "nudge" if isinstance(old, bool):
            inside[key] = not old
        case "borrow":
            other = holder(copy.deepcopy(TABLES[draw(st.sampled_from(sorted(TABLES)))]), field)
            if key in other:
                inside[key] = other[key]
        case "replace":
            inside[key] = draw(values)
        case "remove":
            inside.pop(key, None)
        case "add":
            inside[draw(st.text(max_size=8))] = draw(values)


# ---- combinations of what is optional

MANIFEST = "own-model.json"
"""Stands for the manifest of a variant's own model."""
KEY = "arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012"
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/classifier:7"
SERVERLESS: Table = {"memory_mb": 4096, "maximum_concurrency": 10, "provisioned_concurrency": 2}
SHADOW: Table = {"name": "Candidate", "sampling_percentage": 50, "manifest": MANIFEST}
TWO: list[Table] = [
    {"name": "Large", "weight": 9, "instance_type": "ml.m6i.xlarge"},
    {"name": "Small", "weight": 1, "container": "image", "instance_type": "ml.c7g.large", "manifest": MANIFEST},
]
MORNINGS = {"name": "Mornings", "cron": "0 7 ? * MON-FRI *", "minimum_instances": 2, "maximum_instances": 4}
NETWORK = {"vpc_id": "vpc-01234567", "subnet_ids": ["subnet-01234567"], "security_group_ids": ["sg-01234567"]}
HTTP_API: Table = {"rate_per_second": 10, "burst": 20, "cors_origins": ["https://app.example.com"]}
JWT: Table = {"authorizer": "jwt", "jwt_issuer": "https://id.example.com/", "jwt_audience": ["kennel"]}

OPTIONS: dict[str, Table] = {
    "key": {"storage": {"kms_key_arn": KEY}, "api": {"log_kms_key_arn": KEY}, "monitoring": {"topic_kms_key_arn": KEY}},
    "access log": {"storage": {"access_log_days": 30}},
    "account": {"account": {"permissions_boundary": "Boundary", "tags": {"Owner": "vision", "cost-centre": "42"}}},
    "network": {"training": {"network": NETWORK}},
    "notebook": {"training": {"notebook": {"enabled": True}}},
    "no instance": {"training": {"instance": {"enabled": False}}},
    "concurrency": {"endpoint": {"scaling": {"metric": "concurrency", "concurrent_requests_per_instance": 2}}},
    "unscaled": {"endpoint": {"scaling": {"enabled": False}}},
    "HTTP API": {"api": {"http_api": {"authorizer": "iam", **HTTP_API}}},
    "JWT": {"api": {"http_api": {**JWT, **HTTP_API}}},
    "warm": {"api": {"provisioned_concurrency": 2, "reserved_concurrency": 10}},
    "told": {"monitoring": {"emails": ["a@example.com", "b@example.com"], "minutes_without_traffic": 60}},
    "silent": {"monitoring": {"alarms": False, "dashboard": False, "monthly_budget_usd": 0}},
}
"""What any file can have besides; of the ones that set the same fields, the last is taken."""

FLEETS: dict[str, Table] = {
    "one": {},
    "captured": {
        "capture_percentage": 20,
        "capture": "answers",
        "routing": "random",
        "scaling": {"schedule": [MORNINGS]},
    },
    "linear": {"deployment": {"traffic": "linear"}, "scaling": {"minimum_instances": 2}, "container": "image"},
    "own image": {"container": IMAGE, "instance_type": "ml.c7g.xlarge"},
    "variants": {"variants": TWO},
    "shadow": {"shadow": SHADOW},
    "serverless": {
        "serverless": SERVERLESS,
        "network_isolation": False,
        "capture_percentage": 0,
        "deployment": {"traffic": "auto"},
    },
}
"""Ways to serve that exclude each other."""


def merged(table: Table, changes: Table) -> Table:
    """Change some keys, those of inner tables too."""
    result = dict(table)
    for key, item in changes.items():
        inner = result.get(key)
        result[key] = merged(inner, item) if isinstance(inner, dict) and isinstance(item, dict) else item
    return result


def loads(name: str, table: Table) -> bool:
    try:
        Settings.model_validate({**table, "environment": name})
    except ValidationError:
        return False
    return True


@st.composite
def combined(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """Return a real file's name, what was added to it, and its content: damaged too, as far as it still loads."""
    name = draw(st.sampled_from(sorted(TABLES)))
    fleet = draw(st.sampled_from(sorted(FLEETS)))
    options = draw(st.sets(st.sampled_from(sorted(OPTIONS)), min_size=2, max_size=7))
    table = merged(TABLES[name], {"endpoint": FLEETS[fleet]})
    for option in sorted(options):
        table = merged(table, OPTIONS[option])
    for _ in range(draw(st.integers(0, 2))):
        worse = copy.deepcopy(table)
        damage(draw, worse)
        table = worse if loads(name, worse) else table
    return name, ", ".join([fleet, *sorted(options)]), written(table).encode()


def written(table: Table) -> str:
    """Write a table as TOML, each key in the root table's inline form."""
    return "".join(f"{json.dumps(key)} = {value(item)}\n" for key, item in table.items())


def value(item: Any) -> str:
    """Write a value as TOML."""
    match item:
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)} = {value(inner)}" for key, inner in item.items()) + "}"
        case list():
            return "[" + ", ".join(map(value, item)) + "]"
        case bool():
            return "true" if item else "false"
        case float() if not math.isfinite(item):
            return str(item)
        case float():
            text = repr(item)
            return text if "." in text or "e" not in text else text.replace("e", ".0e")
        case int():
            return str(item)
        case _:
            return json.dumps(str(item))


def changed(name: str, *field: str, to: Any) -> bytes:
    """Return the content of a real file with one field changed."""
    table = copy.deepcopy(TABLES[name])
    holder(table, field)[field[-1]] = to
    return written(table).encode()


# ---- the tests


@pytest.mark.parametrize("environment", sorted(TABLES))
def test_the_real_files_are_accepted_when_they_are_written_again(project: Path, environment: str) -> None:
    content = written(TABLES[environment])
    assert tomllib.loads(content) == TABLES[environment]
    assert refusal(project, environment, content.encode()) is None


@fuzz
@given(damaged())
@example(("dev", b"model = " + b"9" * 5000))
@example(("dev", b"model = 0x" + b"9" * 5000))
@example(("dev", b"model = " + b"[" * 20_000))
@example(("dev", REAL["dev"].encode() + b'\n"two\\nlines" = 1\n'))
@example(("prod", changed("prod", "endpoint", "scaling", "maximum_instances", to=10**30)))
@example(("prod", changed("prod", "endpoint", "scaling", "invocations_per_instance", to=math.inf)))
@example(("prod", changed("prod", "api", "reserved_concurrency", to=10**30)))
def test_a_damaged_settings_file_loads_or_is_refused_in_one_line(project: Path, file: tuple[str, bytes]) -> None:
    line = refusal(project, *file)
    event("refused" if line else "accepted")
    if line:
        assert_clear(line, file[0])


@fuzz
@given(
    st.sampled_from(sorted(REAL)),
    st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))),
    st.integers(0, 100),
)
def test_garbage_instead_of_toml_or_within_it_is_refused_in_one_line_if_at_all(
    project: Path, environment: str, garbage: bytes, percent: int
) -> None:
    real = REAL[environment].encode()
    cut = len(real) * percent // 100
    for content in (garbage, real[:cut] + garbage + real[cut:]):
        line = refusal(project, environment, content)
        event("refused" if line else "accepted")
        if line:
            assert_clear(line, environment)


@fuzz
@given(combined())
def test_what_is_optional_fits_together_in_any_combination(project: Path, file: tuple[str, str, bytes]) -> None:
    name, added, content = file
    assert refusal(project, name, content) is None, added


@settings(fuzz, max_examples=SYNTHS)
@given(combined())
def test_settings_that_load_give_templates_that_cfn_lint_accepts(
    project: Path, manifest: Path, file: tuple[str, str, bytes]
) -> None:
    name, added, content = file
    event(added)
    assert_lints(project, manifest, name, content, added)


# One for each way to serve, and for each option that excludes another: whatever the examples above leave out.
@pytest.mark.parametrize(
    ("fleet", "options"),
    [
        ("variants", ["JWT", "key", "network"]),
        ("shadow", ["HTTP API", "account", "concurrency", "notebook"]),
        ("serverless", ["key", "told", "warm"]),
    ],
)
def test_each_way_to_serve_gives_templates_that_cfn_lint_accepts(
    project: Path, manifest: Path, fleet: str, options: list[str]
) -> None:
    table = merged(TABLES["prod"], {"endpoint": FLEETS[fleet]})
    for option in options:
        table = merged(table, OPTIONS[option])
    assert_lints(project, manifest, "prod", written(table).encode(), fleet)


def assert_lints(project: Path, manifest: Path, name: str, content: bytes, added: str) -> None:
    # In full, because jsii looks for files where its Node process was started.
    content = content.replace(MANIFEST.encode(), str(manifest).encode())
    assert refusal(project, name, content) is None, added
    with TemporaryDirectory() as out:
        context = CONTEXT | {"environment": name, "manifest": str(manifest)}
        # cfn-lint is asked below; the CDK's own validation says the same, and costs as much again.
        app = cdk.App(outdir=out, context=context | {"@aws-cdk/core:validateAgainstDefaultRules": False})
        kennel_app.build(app)
        templates: list[Template] = [stack.template for stack in app.synth().stacks]
    assert [fault for template in templates for fault in cfn_lint(template)] == [], added
