"""Five checkers of one template, each a function that returns what it found: by rule and logical id.

cfn-lint, cdk-nag and the CDK's own validation are asked as libraries, so that hundreds of templates take seconds.
"""

import json
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aws_cdk as cdk
from aws_cdk import cloudformation_include
from cdk_nag import AwsSolutionsChecks
from cfnlint.api import lint
from cfnlint.core import get_rules
from cfnlint.rules import RulesCollection

from tests.stacks.gates import invariants
from tests.stacks.iam import golden_policies
from tests.stacks.iam.policy_model import access

Template = dict[str, Any]

ROOT = Path(__file__).parents[3]
CONTEXT = json.loads((ROOT / "cdk.json").read_text())["context"]

REGIONS = ("us-east-1", "eu-central-1")
"""The region with every type of resource and instance, and an ordinary one."""

OTHER_PARTITIONS = ("cn-north-1", "cn-northwest-1", "us-gov-west-1")
"""Regions of China and of GovCloud, where some types of resource do not exist."""

IGNORED = {
    "W3005": "the CDK makes what uses a role depend on the role's policies, and so on the role, which it also refers to"
}
"""Rules of cfn-lint that are switched off, with the reason."""


@cache
def _rules() -> RulesCollection:
    return get_rules([], list(IGNORED), [])


def cfn_lint(template: Template, regions: tuple[str, ...] = REGIONS) -> set[str]:
    """Return cfn-lint's errors and warnings."""
    return set(_linted(json.dumps(template), regions))


@lru_cache(maxsize=64)
def _linted(template: str, regions: tuple[str, ...]) -> frozenset[str]:
    matches = lint(template, rules=_rules(), regions=list(regions))
    return frozenset(f"cfn-lint {match.rule.id}: {match.message}" for match in matches)


def cdk_nag(template: Template) -> set[str]:
    """Return what cdk-nag's AwsSolutions pack finds; what Kennel accepts counts too."""
    with TemporaryDirectory() as folder:
        try:
            app = _include(template, Path(folder))
            report = AwsSolutionsChecks(app).validate_scope(app)
        except RuntimeError:  # The CDK cannot read the template: its own gate says so.
            return set()
        return {
            f"cdk-nag {violation.rule_name} {str(resource.construct_path).rpartition('/')[2]}"
            for violation in report.violations
            for resource in violation.violating_resources
        }


def cdk_validation(template: Template) -> set[str]:
    """Return what the CDK itself says at synth, warnings too, or why it cannot read the template."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "out" / "validation-report.json"
        try:
            _include(template, Path(folder)).synth()
        except RuntimeError as error:
            if not report.exists():
                return {f"cdk {str(error).strip().splitlines()[0]}"}
        if not report.exists():
            return set()
        return {
            f"cdk {violation['ruleName']}: {violation['description']}"
            for plugin in json.loads(report.read_text())["pluginReports"]
            for violation in plugin["violations"]
        }


def own_invariants(template: Template, environment: str) -> set[str]:
    """Return what the template breaks of the project's own rules."""
    rules = invariants.EVERYWHERE + (invariants.PRODUCTION if environment == "prod" else ())
    return {
        f"invariant {rule.__name__}: {fault}"
        for rule in rules
        for fault in rule(invariants.Stack(template, environment))
    }


def golden(template: Template, stack: str, environment: str) -> set[str]:
    """Return what the template grants otherwise than the golden policies of its stack say."""
    accepted = {k: v for k, v in golden_policies.read(environment).items() if k.startswith(f"{stack}-")}
    return {f"golden {wrong}" for wrong in golden_policies.departures(access(stack, template), accepted)}


def _include(template: Template, folder: Path) -> cdk.App:
    """Read a finished template into an app."""
    file = folder / "template.json"
    file.write_text(json.dumps(template))
    app = cdk.App(outdir=str(folder / "out"), context=CONTEXT)
    # The default synthesizer would add the parameter BootstrapVersion, which the template has already.
    stack = cdk.Stack(app, "Stack", synthesizer=cdk.LegacyStackSynthesizer())
    cloudformation_include.CfnInclude(stack, "Template", template_file=str(file))
    return app
