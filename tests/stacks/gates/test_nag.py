"""cdk-nag's AwsSolutions rules over every settings file: accepted.py accepts what they find, and no more."""

from collections.abc import Callable
from pathlib import Path

import aws_cdk as cdk
import pytest
from cdk_nag import AwsSolutionsChecks

import app as kennel_app
from tests.stacks.environments import CONTEXT as CONTEXT_OF
from tests.stacks.environments import EVERY, working_directory
from tests.stacks.gates.accepted import ACCEPTED, WILDCARD, accepted_wildcards, role_at
from tests.stacks.gates.checkers import CONTEXT

Findings = set[tuple[str, str]]


@pytest.fixture(scope="module")
def findings(
    manifest: Path, folder_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Findings]:
    """Return all that cdk-nag finds in each environment, by construct path and rule."""

    def of(environment: str) -> Findings:
        context = CONTEXT | {
            "environment": environment,
            "manifest": str(manifest),
            # The templates themselves are the business of test_gates.py.
            "@aws-cdk/core:validateAgainstDefaultRules": False,
            **CONTEXT_OF.get(environment, {}),
        }
        app = cdk.App(outdir=str(tmp_path_factory.mktemp("cdk.out")), context=context)
        with working_directory(folder_of(environment)):
            kennel_app.build(app)
        return {
            (str(resource.construct_path), violation.rule_name)
            for violation in AwsSolutionsChecks(app).validate_scope(app).violations
            for resource in violation.violating_resources
        }

    return {environment: of(environment) for environment in EVERY}


def of_wildcards(findings: Findings) -> Findings:
    return {(role_at(path), rule) for path, rule in findings if rule.startswith(f"{WILDCARD}[")}


@pytest.mark.parametrize("environment", EVERY)
def test_the_wildcards_are_those_of_the_golden_policies(findings: dict[str, Findings], environment: str) -> None:
    assert of_wildcards(findings[environment]) == accepted_wildcards(environment).keys()


def test_every_other_finding_is_accepted_and_no_acceptance_is_stale(findings: dict[str, Findings]) -> None:
    accepted = {
        (path.format(environment=environment), rule): (path, rule) for environment in EVERY for path, rule in ACCEPTED
    }
    found = {(path, rule) for every in findings.values() for path, rule in every if not rule.startswith(f"{WILDCARD}[")}
    assert found - accepted.keys() == set()
    assert ACCEPTED.keys() - {accepted[finding] for finding in found} == set(), "nothing is found without these"


def test_a_reason_is_a_sentence() -> None:
    for reason in ACCEPTED.values():
        assert reason.endswith(".")
        assert reason.count(" ") > 3
