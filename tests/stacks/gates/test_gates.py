"""Every template of every settings file passes cfn-lint, the CDK's own validation and the project's invariants."""

import json
from collections.abc import Callable
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_lambda as lambda_

from tests.stacks.environments import EVERY
from tests.stacks.gates.checkers import (
    CONTEXT,
    IGNORED,
    OTHER_PARTITIONS,
    Template,
    cdk_validation,
    cfn_lint,
    own_invariants,
)


@pytest.mark.parametrize("environment", EVERY)
def test_cfn_lint_has_nothing_to_say(templates: Callable[[str], dict[str, Template]], environment: str) -> None:
    found = {stack: cfn_lint(template) for stack, template in templates(environment).items()}
    assert {stack: faults for stack, faults in found.items() if faults} == {}


def test_settings_make_templates_for_the_partitions_of_china_and_govcloud(
    templates: Callable[[str], dict[str, Template]],
) -> None:
    found = {stack: cfn_lint(template, OTHER_PARTITIONS) for stack, template in templates("shadow").items()}
    assert {stack: faults for stack, faults in found.items() if faults} == {}


def test_what_those_partitions_lack_is_found(templates: Callable[[str], dict[str, Template]]) -> None:
    found = [fault for stack in templates("prod").values() for fault in cfn_lint(stack, OTHER_PARTITIONS)]
    for kind in ("AWS::Lambda::Url", "AWS::Budgets::Budget"):
        assert [fault for fault in found if kind in fault and "does not exist" in fault]


@pytest.mark.parametrize("environment", EVERY)
def test_the_cdk_has_nothing_to_say(templates: Callable[[str], dict[str, Template]], environment: str) -> None:
    found = {stack: cdk_validation(template) for stack, template in templates(environment).items()}
    assert {stack: faults for stack, faults in found.items() if faults} == {}


@pytest.mark.parametrize("environment", EVERY)
def test_the_invariants_hold(templates: Callable[[str], dict[str, Template]], environment: str) -> None:
    found = {stack: own_invariants(template, environment) for stack, template in templates(environment).items()}
    assert {stack: faults for stack, faults in found.items() if faults} == {}


def test_a_rule_of_cfn_lint_is_switched_off_with_a_reason() -> None:
    assert all(reason.count(" ") > 5 for reason in IGNORED.values())


def test_synth_fails_where_the_cdks_validation_finds_an_error(tmp_path: Path) -> None:
    app = cdk.App(outdir=str(tmp_path), context=CONTEXT)
    lambda_.CfnFunction(
        cdk.Stack(app, "Stack"),
        "Function",
        code=lambda_.CfnFunction.CodeProperty(zip_file="def handle(): ..."),
        role="arn:aws:iam::123456789012:role/any",
        handler="index.handle",
        runtime="python3.7",
    )
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()
    (report,) = json.loads((tmp_path / "validation-report.json").read_text())["pluginReports"]
    assert [violation["ruleName"] for violation in report["violations"]] == ["E2531"]
