"""The comparison with the golden policies kills every wrong version of every role, and says truly why.

Each kill is a counterexample: one request that the mutant grants and the golden policy does not, or the other way
round. A second, simpler implementation (regular expressions, one request at a time) must agree, so that no kill is
an artefact of the comparison and no mutant is the same policy in another form.
"""

import re
from collections.abc import Callable

from tests.stacks.iam.golden_policies import Granted, general
from tests.stacks.iam.mutants import mutants
from tests.stacks.iam.policy_model import Access, PolicyError, Request, Statement, differences

LEAST_MUTANTS = 500


def grants(role: Access, request: Request) -> bool:
    """Tell whether a role grants a request; the request's context says which conditions' values it meets."""
    if request.effect == "Managed policy":
        return request.resource in role.managed_policies
    if request.effect == "Boundary":
        return request.resource in role.permissions_boundary
    return any(_matches(statement, request) for statement in role.trust + role.permissions)


def _matches(statement: Statement, request: Request) -> bool:
    return (
        statement["Effect"] == request.effect
        and any(_like(one, request.action, re.IGNORECASE) for one in statement["Action"])
        and any(_like(one, request.resource) for one in statement.get("Resource", [""]))
        and any(
            one == request.principal or (one == "AWS:*" and request.principal.startswith("AWS:"))
            for one in statement.get("Principal", [""])
        )
        and all(
            _met(operator, key, values, request)
            for operator, clause in statement.get("Condition", {}).items()
            for key, values in clause.items()
        )
    )


def _met(operator: str, key: str, values: list[str], request: Request) -> bool:
    plain = operator.removesuffix("IfExists")
    predicate = f"{operator} {key.lower()} {', '.join(values)}"
    if predicate in request.context:
        return request.context[predicate] == "holds"
    family = re.match(r"String|Arn|Bool", plain)
    assert family, f"the request does not speak of {predicate}"
    value = request.context[f"{family[0]} {key.lower()}"]
    if not value.startswith("= "):
        return plain != operator
    given = value.removeprefix("= ")
    if plain.startswith("Arn") or plain.endswith("Like"):
        return any(_like(one, given) for one in values)
    return given in values or (plain == "Bool" and given.lower() in [one.lower() for one in values])


def _like(pattern: str, text: str, flags: int = 0) -> bool:
    parts = re.findall(r"\$\{[^}]*\}|.", pattern)
    return bool(re.fullmatch("".join({"*": ".*", "?": "."}.get(one, re.escape(one)) for one in parts), text, flags))


def kill(mutant: Access, golden: Access) -> bool:
    """Tell whether the comparison sees the mutant, each time for a reason that the second opinion shares."""
    try:
        found = differences(mutant, golden)
    except PolicyError:
        return True
    for request in found.values():
        assert grants(mutant, request) != grants(golden, request), f"no counterexample: {request}"
    return bool(found)


def test_every_mutant_of_every_role_is_killed_by_a_true_counterexample(
    granted: Callable[[str], Granted], golden: Callable[[str], Granted], environments: list[str]
) -> None:
    alive, tried = [], set()
    for environment in environments:
        accepted = golden(environment)
        for name, role in granted(environment).items():
            for what, mutant in mutants(role):
                mark = f"{name}: {general(what, environment)}"
                if mark in tried:  # the same edit of the same statement in another environment
                    continue
                tried.add(mark)
                if not kill(mutant, accepted[name]):
                    alive.append(f"{environment} {name}: {what}")
    assert not alive, "\n".join(["mutants that live:", *alive])
    print(f"{len(tried)} different mutants, all killed")
    assert len(tried) >= LEAST_MUTANTS
