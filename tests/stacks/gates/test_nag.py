"""cdk-nag's AwsSolutions rules over every settings file: accepted.py accepts what they find, and no more.

An acknowledgement that meets no finding would pass in silence, and stay when the finding that it was for is gone.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import aws_cdk as cdk
import pytest
from cdk_nag import AwsSolutionsChecks

import app as kennel_app
from tests.stacks.environments import CONTEXT as CONTEXT_OF
from tests.stacks.environments import EVERY, working_directory
from tests.stacks.gates.accepted import ACCEPTED, Accepted, acknowledge
from tests.stacks.gates.checkers import CONTEXT

Findings = set[tuple[str, str]]


@pytest.fixture(scope="module")
def build(
    manifest: Path, folder_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], cdk.App]:
    def app_of(environment: str) -> cdk.App:
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
        return app

    return app_of


@pytest.fixture(scope="module")
def findings(build: Callable[[str], cdk.App]) -> dict[str, Findings]:
    """Return all that cdk-nag finds, by construct path and rule."""

    def of(app: cdk.App) -> Findings:
        report = AwsSolutionsChecks(app).validate_scope(app)
        return {
            (str(resource.construct_path), violation.rule_name)
            for violation in report.violations
            for resource in violation.violating_resources
        }

    return {environment: of(build(environment)) for environment in EVERY}


def uncovered(findings: dict[str, Findings], accepted: Iterable[Accepted]) -> set[tuple[str, str]]:
    return {
        finding
        for environment, found in findings.items()
        for finding in found
        if not any(item.covers(*finding, environment) for item in accepted)
    }


def synthesise(app: cdk.App, environment: str, accepted: Iterable[Accepted]) -> None:
    """Synthesise with cdk-nag attached: it raises where a finding is left."""
    acknowledge(app, environment, accepted)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    app.synth()


def test_every_finding_is_accepted(findings: dict[str, Findings]) -> None:
    assert uncovered(findings, ACCEPTED) == set()


@pytest.mark.parametrize("number", range(len(ACCEPTED)))
def test_no_acknowledgement_is_stale_or_repeats_another(findings: dict[str, Findings], number: int) -> None:
    others = ACCEPTED[:number] + ACCEPTED[number + 1 :]
    assert uncovered(findings, others), f"nothing is found without {ACCEPTED[number]}"


@pytest.mark.parametrize("environment", EVERY)
def test_synth_passes_with_the_acknowledgements(build: Callable[[str], cdk.App], environment: str) -> None:
    synthesise(build(environment), environment, ACCEPTED)


@pytest.mark.parametrize("number", [0, -1])
def test_synth_fails_when_one_is_taken_away(build: Callable[[str], cdk.App], number: int) -> None:
    accepted = [item for item in ACCEPTED if item != ACCEPTED[number]]
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        synthesise(build("dev"), "dev", accepted)


def test_a_reason_is_a_sentence() -> None:
    for accepted in ACCEPTED:
        assert accepted.reason.endswith(".")
        assert accepted.reason.count(" ") > 3
