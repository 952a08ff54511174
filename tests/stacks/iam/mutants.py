"""Wrong versions of a role, one edit each: wider, narrower, or pointing elsewhere, in every dimension of a statement.

No mutant is equal to its role in another form: an edit that could be (a ``*`` after a ``*``) is not made.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.stacks.iam.policy_model import Access, Statement

Mutant = tuple[str, Access]
Edit = tuple[str, list[Statement]]
Conditions = dict[str, dict[str, list[str]]]

OTHER_ACCOUNT, OTHER_REGION = "111122223333", "xx-elsewhere-9"
OTHER_ARN = f"arn:aws:s3:::other-{OTHER_ACCOUNT}/key"
ANYTHING: Statement = {"Sid": "New", "Effect": "Allow", "Action": ["*"], "Resource": ["*"]}
NEW_STATEMENTS = [
    ANYTHING,
    ANYTHING | {"Action": ["iam:PassRole"]},
    ANYTHING | {"Action": ["sts:AssumeRole"]},
    ANYTHING | {"Action": ["s3:ListAllMyBuckets"]},
    ANYTHING | {"Resource": [OTHER_ARN]},
    ANYTHING | {"Action": ["s3:GetObject"], "Resource": [OTHER_ARN]},
    ANYTHING | {"Action": ["*:List*"]},
    ANYTHING | {"Effect": "Deny", "Action": ["s3:GetObject"], "Resource": [OTHER_ARN]},
]
MANAGED = ["AdministratorAccess", "AmazonSageMakerFullAccess", "ReadOnlyAccess", "job-function/ViewOnlyAccess"]
STRANGERS = [
    "AWS:*",
    f"AWS:arn:aws:iam::{OTHER_ACCOUNT}:root",
    "AWS:arn:${AWS::Partition}:iam::${AWS::AccountId}:root",
    "Service:ec2.example.com",
    "Federated:cognito-identity.amazonaws.com",
]


def mutants(role: Access) -> Iterator[Mutant]:
    """Yield every mutant of a role, with a line that says what was done."""
    for section in ("trust", "permissions"):
        statements: list[Statement] = getattr(role, section)
        for index, statement in enumerate(statements):
            for edit in EDITS:
                for what, instead in edit(statement):
                    if _adds_nothing(statement, instead, statements):
                        continue
                    mutant = replace(role)
                    setattr(mutant, section, [*statements[:index], *instead, *statements[index + 1 :]])
                    yield f"{section} {statement['Sid'] or index}: {what}", mutant
    for new in NEW_STATEMENTS:
        yield (
            f"new statement: {new['Effect']} {new['Action']} on {new['Resource']}",
            replace(role, permissions=[*role.permissions, new]),
        )
    if role.trust:
        yield from _attachments(role)


def _adds_nothing(statement: Statement, instead: list[Statement], all_of_role: list[Statement]) -> bool:
    """Tell whether an edit only adds an action that another statement of the role has: it may be the same policy."""
    elsewhere = {action for other in all_of_role if other is not statement for action in other["Action"]}
    was = set(statement["Action"])
    return any(was < set(new.get("Action", [])) <= was | elsewhere for new in instead)


def _attachments(role: Access) -> Iterator[Mutant]:
    for stranger in STRANGERS:
        new = {"Sid": "New", "Effect": "Allow", "Action": ["sts:AssumeRole"], "Principal": [stranger]}
        yield f"new trust: {stranger}", replace(role, trust=[*role.trust, new])
    for managed in MANAGED:
        arn = f"arn:${{AWS::Partition}}:iam::aws:policy/{managed}"
        yield f"managed policy {managed}", replace(role, managed_policies=[*role.managed_policies, arn])
        yield f"boundary {managed}", replace(role, permissions_boundary=[arn])
    for arn in role.managed_policies:
        yield f"without {arn}", replace(role, managed_policies=[one for one in role.managed_policies if one != arn])
    if role.permissions_boundary:
        yield "without boundary", replace(role, permissions_boundary=[])


def _with(statement: Statement, key: str, values: list[str]) -> list[Statement]:
    return [{**statement, key: values}]


def _each(statement: Statement, key: str, wrong: Callable[[str], Iterator[tuple[str, str]]]) -> Iterator[Edit]:
    """Replace each value of a list by each wrong one, add each wrong one, and leave each value out."""
    values = statement.get(key, [])
    for value in values:
        others = [one for one in values if one != value]
        for what, instead in wrong(value):
            if instead not in values:
                yield f"{key} {value}: {what}, {instead}", _with(statement, key, [*others, instead])
                yield f"{key} {value}: and {what}, {instead}", _with(statement, key, [*values, instead])
        if others:
            yield f"{key} without {value}", _with(statement, key, others)


def _actions(statement: Statement) -> Iterator[Edit]:
    def wrong(action: str) -> Iterator[tuple[str, str]]:
        service, _, name = action.partition(":")
        words = re.findall(r"[A-Z][a-z]*|[a-z]+|\d+", name)
        if "*" not in action:
            yield "longer", f"{action}*"
            yield "last letter open", f"{action[:-1]}?"
            yield "another action that starts alike", f"{action}WithMore"
            for count in range(1, len(words)):
                yield "a suffix dropped", f"{service}:{''.join(words[:count])}*"
            for verb in ("Create", "Delete", "Update", "*"):
                if words and words[0] != verb:
                    yield "another verb", f"{service}:{verb}{''.join(words[1:])}"
            yield "the whole service", f"{service}:*"
            yield "another service", f"iam:{name}"
        if action != "*":
            yield "everything", "*"
        else:
            yield "one service only", "s3:*"

    return _each(statement, "Action", lambda action: _narrower_or(wrong, action, statement["Action"]))


def _narrower_or(
    wrong: Callable[[str], Iterator[tuple[str, str]]], value: str, values: list[str]
) -> Iterator[tuple[str, str]]:
    """Leave out what a wildcard among the values grants anyway."""
    patterns = [re.escape(one).replace(r"\*", ".*").replace(r"\?", ".") for one in values if "*" in one]
    for what, instead in wrong(value):
        if not any(re.fullmatch(pattern, instead) for pattern in patterns):
            yield what, instead


def _resources(statement: Statement) -> Iterator[Edit]:
    def wrong(resource: str) -> Iterator[tuple[str, str]]:
        if resource == "*":
            return
        yield "everything", "*"
        yield "another resource", OTHER_ARN
        if not resource.endswith("*"):
            yield "longer", f"{resource}*"
            yield "a sibling", f"{resource}-other"
            yield "last symbol open", re.sub(r"(\$\{[^}]*\}|.)$", "?", resource)
            yield "what lies below", f"{resource}/*"
        # A token such as ${AWS::Region} holds colons of its own.
        parts = re.findall(r"(?:\$\{[^}]*\}|[^:/])+|[:/]|(?<=:)(?=:)", resource)
        for index, part in enumerate(parts):
            if part in ("*", ":", "/"):
                continue
            for what, instead in (
                ("open", "*"),
                ("another account", OTHER_ACCOUNT),
                ("another region", OTHER_REGION),
                ("another name", "other"),
            ):
                place = index - len([one for one in parts[:index] if one == ""])
                yield f"part {place} {what}", "".join([*parts[:index], instead, *parts[index + 1 :]])
            if index >= 2 and "".join(parts[index + 1 :]) not in ("", ":*", "/*"):
                yield f"cut after part {index}", "".join(parts[: index + 1]) + "*"

    if statement.get("Resource") == ["*"]:
        yield "Resource narrower", _with(statement, "Resource", [OTHER_ARN])
    yield from _each(
        statement, "Resource", lambda resource: _narrower_or(wrong, resource, statement.get("Resource", []))
    )


def _principals(statement: Statement) -> Iterator[Edit]:
    for stranger in STRANGERS:
        if "Principal" in statement and "AWS:*" not in statement["Principal"]:
            yield f"Principal {stranger}", _with(statement, "Principal", [stranger])
            yield f"Principal and {stranger}", _with(statement, "Principal", [*statement["Principal"], stranger])
    if statement.get("Principal") == ["AWS:*"]:
        yield "Principal narrower", _with(statement, "Principal", STRANGERS[1:2])


def _conditions(statement: Statement) -> Iterator[Edit]:
    conditions: Conditions = statement.get("Condition", {})
    if conditions:
        yield "no condition", [{key: value for key, value in statement.items() if key != "Condition"}]
    for operator, key in (("Null", "aws:MultiFactorAuthAge"), ("StringLike", "aws:PrincipalTag/x")):
        yield f"and {operator} {key}", _when(statement, _clause(conditions, operator, key, ["*"]))
    for operator, clause in conditions.items():
        for key, values in clause.items():
            where = f"{operator} {key}"
            rest = _without(conditions, operator, key)
            yield f"{where} dropped", _when(statement, rest)
            yield f"{where} of another key", _when(statement, _clause(rest, operator, f"{key}X", values))
            for other in _operators(operator):
                yield f"{where}: {other}", _when(statement, _clause(rest, other, key, values))
            for wrong in _values(operator, values):
                yield f"{where}: {wrong}", _when(statement, _clause(rest, operator, key, wrong))
            if operator.startswith("StringEquals"):
                for loose in ["*"], [f"{values[0]}*"], ["*", *values]:
                    yield f"{where}: like {loose}", _when(statement, _clause(rest, "StringLike", key, loose))


def _when(statement: Statement, conditions: Conditions) -> list[Statement]:
    return [{**statement, "Condition": conditions}]


def _clause(conditions: Conditions, operator: str, key: str, values: list[str]) -> Conditions:
    return {**conditions, operator: {**conditions.get(operator, {}), key: values}}


def _without(conditions: Conditions, operator: str, key: str) -> Conditions:
    kept = {name: value for name, value in conditions[operator].items() if name != key}
    others = {name: clause for name, clause in conditions.items() if name != operator}
    return {**others, operator: kept} if kept else others


def _operators(operator: str) -> Iterator[str]:
    if operator.endswith("IfExists"):
        yield operator.removesuffix("IfExists")
    else:
        yield f"{operator}IfExists"
    yield f"ForAllValues:{operator}"
    yield {"StringEquals": "StringNotEquals", "ArnLike": "ArnNotLike", "Bool": "Null"}.get(operator, f"Not{operator}")


def _values(operator: str, values: list[str]) -> Iterator[list[str]]:
    yield ["other"]
    yield [*values, "other"]
    if operator.startswith("Arn") and values != ["*"]:
        yield ["*"]
        for part in range(6):
            pieces = re.findall(r"(?:\$\{[^}]*\}|[^:])+", values[0])
            if len(pieces) > part and pieces[part] != "*":
                yield [":".join([*pieces[:part], "*", *pieces[part + 1 :]])]
                yield [":".join([*pieces[:part], OTHER_ACCOUNT, *pieces[part + 1 :]])]


def _effects(statement: Statement) -> Iterator[Edit]:
    yield "the other effect", [{**statement, "Effect": "Deny" if statement["Effect"] == "Allow" else "Allow"}]
    yield "left out", []
    for key in ("Action", "Resource", "Principal"):
        if key in statement:
            yield f"Not{key}", [{f"Not{name}" if name == key else name: value for name, value in statement.items()}]


EDITS: list[Callable[[Statement], Iterator[Edit]]] = [_actions, _resources, _principals, _conditions, _effects]
