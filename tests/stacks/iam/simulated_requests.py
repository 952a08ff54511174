"""The requests that are tried on a policy: its resources and near misses, callers, contexts that meet or just miss."""

import itertools
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.stacks.iam.policy_model import Statement
from tests.stacks.iam.simulated_world import ACCOUNT, OTHER_ACCOUNT, OTHER_REGION

ANYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "NumericLessThan": operator.lt,
    "NumericLessThanEquals": operator.le,
    "NumericGreaterThan": operator.gt,
    "NumericGreaterThanEquals": operator.ge,
}

Context = dict[str, str]


class SimulationError(Exception):
    """The simulator did not run to its end, or a policy holds what the probes do not know how to try."""


def instances_of(statements: list[Statement]) -> list[str]:
    """Return a resource for each pattern of the statements."""
    patterns = [one for statement in statements for one in statement.get("Resource", []) if one != "*"]
    return [re.sub(r"(log-group:[^*]*:)\*$", r"\1log-stream:one", one).replace("*", "one") for one in patterns]


def near_misses_of(arn: str) -> Iterator[str]:
    """Yield resources that differ from one in a single thing: account, region, name, key or what it lies in."""
    head, owner, rest = arn.split(":")[:4], arn.split(":")[4], ":".join(arn.split(":")[5:])
    if owner:
        yield ":".join([*head, OTHER_ACCOUNT, rest])
    if head[3]:
        yield ":".join([*head[:3], OTHER_REGION, owner, rest])
    for name in (f"{rest}-x", re.sub(r"([^/:]+)$", r"x-\1", rest), re.sub(r"^([^/]+)/", r"\1-x/", rest)):
        yield ":".join([*head, owner, name])
    if "/" in rest:
        yield ":".join([*head, owner, f"{rest.split('/')[0]}/other/one"])


def callers_of(statements: list[Statement]) -> list[dict[str, Any]]:
    """Return who asks: the services that are named, services that are not, and roles that may do anything."""
    named = {one.removeprefix("Service:") for statement in statements for one in statement.get("Principal", [])}
    services = {one for one in named if one.endswith(".amazonaws.com")} | {"events.amazonaws.com"}
    roles = [f"arn:aws:iam::{account}:role/admin" for account in (ACCOUNT, OTHER_ACCOUNT)]
    return [{"principal": one, "identity": []} for one in sorted(services)] + [
        {"principal": one, "identity": [ANYTHING]} for one in roles
    ]


def contexts_of(statements: list[Statement]) -> list[Context]:
    """Return the context of requests: first one that meets all conditions, then ones that just miss one."""
    met: dict[str, list[Context]] = {"Allow": [{}], "Deny": [{}]}
    missed: list[Context] = []
    for statement in statements:
        for right, wrong in _contexts_of(statement):
            met[statement["Effect"]].append(right)
            missed += wrong
    everything = {key: value for one in met["Allow"] for key, value in one.items()}
    pairs = [one | other for one in met["Allow"] for other in met["Deny"]]
    found = [everything, *pairs, *missed]
    return [one for index, one in enumerate(found) if one not in found[:index]]


def _contexts_of(statement: Statement) -> Iterator[tuple[Context, list[Context]]]:
    """Yield each context that meets all conditions of a statement, with those that just miss one of them."""
    clauses = list(_clauses(statement))
    for values in itertools.product(*([_sample(op, one) for one in given] for op, _, given in clauses)):
        right = {key: value for (_, key, _), value in zip(clauses, values, strict=True)}
        wrong = []
        for op, key, given in clauses:
            wrong.append({name: value for name, value in right.items() if name != key})
            wrong.append({**right, key: _wrong(op, given[0])})
        yield right, wrong


def _clauses(statement: Statement) -> Iterator[tuple[str, str, list[str]]]:
    for op, clause in statement.get("Condition", {}).items():
        for key, values in clause.items():
            yield op.removesuffix("IfExists"), key, values


def _sample(op: str, value: str) -> str:
    if op in COMPARISONS:
        return f"{float(value) + (-0.1 if 'Less' in op else 0.1):.1f}"
    if not re.match(r"String(Equals|Like)$|Arn(Equals|Like)$|Bool$", op):
        raise SimulationError(f"{op}: say which values meet it and which do not")
    return value.replace("*", "one")


def _wrong(op: str, value: str) -> str:
    if op in COMPARISONS:
        return f"{float(value) + (0.1 if 'Less' in op else -0.1):.1f}"
    if op == "Bool":
        return "false" if value == "true" else "true"
    return (
        f"{_sample(op, value).replace(ACCOUNT, OTHER_ACCOUNT)}" if ACCOUNT in value else f"other-{_sample(op, value)}"
    )
