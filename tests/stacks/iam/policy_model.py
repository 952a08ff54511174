"""What a template grants to whom, as a language: policies are equal when their languages are.

A grant is one word: effect, principal, action, resource, and the value of every context key that a condition
names, with separators between. A statement is the product of its lists, a role the union of its statements, and
``glob_language`` decides inclusion of such unions exactly. Managed policies and the permissions boundary are words
of their own, so nothing of a role lies outside the comparison.

Where IAM is subtler than words, the comparison is stricter than IAM, never laxer: an operator that is not a plain
equality or pattern counts as an unknown predicate that only its very same form implies; a ``Deny`` must be equal
itself, not only in what it takes away; patterns of a resource reach over colons.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.stacks.iam.glob_language import ANY, SEPARATOR, Word, parse, shortest_outside

Template = dict[str, Any]
Statement = dict[str, Any]

LOGICAL_ID_HASH = re.compile(r"[0-9A-F]{8}$")
IDENTITY = re.compile(r"(Guardrails[A-Za-z]+)[0-9a-f]{8}[0-9A-F]{8}\b")
PRESENT, TRUE = "${present}", "${true}"
# Operators whose values are a language, by the family that compares in the same way.
LITERAL = {"StringEquals": "String", "Bool": "Bool"}
PATTERN = {"StringLike": "String", "ArnLike": "Arn", "ArnEquals": "Arn"}  # IAM takes both Arn operators alike
POLICY_TYPES = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy")
RESOURCE_POLICIES = {
    "AWS::S3::BucketPolicy": "PolicyDocument",
    "AWS::SNS::TopicPolicy": "PolicyDocument",
    "AWS::SQS::QueuePolicy": "PolicyDocument",
    "AWS::Logs::ResourcePolicy": "PolicyDocument",
    "AWS::KMS::Key": "KeyPolicy",
}


class PolicyError(Exception):
    """A statement in a form that Kennel does not allow itself."""


@dataclass
class Access:
    """What one role, or one resource's own policy, grants; ``name`` is stack and logical id without its hash."""

    name: str
    logical_id: str
    trust: list[Statement] = field(default_factory=list)
    permissions: list[Statement] = field(default_factory=list)
    managed_policies: list[str] = field(default_factory=list)
    permissions_boundary: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Request:
    """One thing that is granted: the counterexample of a comparison."""

    effect: str
    principal: str
    action: str
    resource: str
    context: dict[str, str]

    def __str__(self) -> str:
        context = "".join(f", {key} {value}" for key, value in self.context.items())
        who = f" to {self.principal}" if self.principal else ""
        return f"{self.effect} {self.action} on {self.resource!r}{who}{context}"


def render(value: Any) -> str:
    """Return the canonical text of a template's value; what only CloudFormation knows becomes ``${...}``."""
    if not isinstance(value, dict):
        return str(value)
    (kind, argument), *rest = value.items()
    if rest:
        raise PolicyError(f"not an intrinsic function: {json.dumps(value)}")
    return INTRINSIC.get(kind, lambda _: _opaque(value))(argument)


def _attribute(argument: Any) -> str:
    return f"${{{without_identity(argument if isinstance(argument, str) else '.'.join(argument))}}}"


def _joined(argument: Any) -> str:
    separator, parts = argument
    return str(separator).join(map(render, parts)) if isinstance(parts, list) else _opaque({"Fn::Join": argument})


def _substituted(argument: Any) -> str:
    text, variables = (argument, {}) if isinstance(argument, str) else argument
    return re.sub(
        r"\$\{([^}!][^}]*)\}",
        lambda match: render(variables[match[1]]) if match[1] in variables else match[0],
        text,
    ).replace("${!", "${")


def _mapped(argument: Any) -> str:
    name, first, second = (re.sub(r"[${}]", "", render(part)) for part in argument)
    return f"${{{name}[{first}].{second}}}"


def _opaque(value: Any) -> str:
    return "${" + re.sub(r"[${}]", "", json.dumps(value, sort_keys=True)) + "}"


INTRINSIC: dict[str, Callable[[Any], str]] = {
    "Ref": lambda name: f"${{{without_identity(name)}}}",
    "Fn::GetAtt": _attribute,
    "Fn::Join": _joined,
    "Fn::Sub": _substituted,
    "Fn::FindInMap": _mapped,
}


def without_identity(logical_id: str) -> str:
    """Return a logical id without what tells one endpoint configuration's alarms from another's."""
    return IDENTITY.sub(r"\g<1>00000000", logical_id)


def texts(value: Any) -> list[str]:
    """Return a list of texts, sorted, of what a policy may write as one value or a list."""
    return sorted(map(render, value if isinstance(value, list) else [value]))


def normalise(statement: Statement) -> Statement:
    """Return a statement with every value a sorted list of canonical texts."""
    normal: Statement = {"Sid": statement.get("Sid", ""), "Effect": statement["Effect"]}
    for key in ("Action", "NotAction", "Resource", "NotResource"):
        if key in statement:
            normal[key] = texts(statement[key])
    for key in ("Principal", "NotPrincipal"):
        if key in statement:
            named = statement[key]
            named = {"AWS": "*"} if named == "*" else named
            normal[key] = sorted(f"{kind}:{one}" for kind, value in named.items() for one in texts(value))
    if "Condition" in statement:
        normal["Condition"] = {
            operator: {key: texts(value) for key, value in sorted(clause.items())}
            for operator, clause in sorted(statement["Condition"].items())
        }
    return normal


def access(stack: str, template: Template) -> dict[str, Access]:
    """Return the roles and resource policies of a template by name, with everything attached to each role."""
    resources = template["Resources"]
    found = {}
    for logical_id, resource in resources.items():
        properties = resource.get("Properties", {})
        holder = Access(f"{stack}-{LOGICAL_ID_HASH.sub('', logical_id)}", logical_id)
        if resource["Type"] == "AWS::IAM::Role":
            holder.trust = _statements(properties["AssumeRolePolicyDocument"])
            documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
            documents += [item["PolicyDocument"] for item in _attached(resources, logical_id)]
            holder.permissions = [statement for document in documents for statement in _statements(document)]
            holder.managed_policies = texts(properties.get("ManagedPolicyArns", []))
            holder.permissions_boundary = texts(properties.get("PermissionsBoundary", []))
        elif resource["Type"] == "AWS::Lambda::Permission":
            holder.permissions = [_permission(properties)]
        elif resource["Type"] in RESOURCE_POLICIES:
            holder.permissions = _statements(properties[RESOURCE_POLICIES[resource["Type"]]])
        else:
            continue
        if holder.name in found:
            raise PolicyError(f"two resources are called {holder.name}: give one a telling construct id")
        found[holder.name] = holder
    return found


def _statements(document: Template) -> list[Statement]:
    statements = document["Statement"]
    return [normalise(item) for item in (statements if isinstance(statements, list) else [statements])]


def _permission(properties: Template) -> Statement:
    """Return what a permission adds to a function's own policy (Lambda API reference, AddPermission)."""
    conditions = {"aws:SourceArn": "SourceArn", "aws:SourceAccount": "SourceAccount"}
    like = {key: properties[name] for key, name in conditions.items() if name in properties}
    if "FunctionUrlAuthType" in properties:
        like["lambda:FunctionUrlAuthType"] = properties["FunctionUrlAuthType"]
    principal = render(properties["Principal"])
    statement = {
        "Effect": "Allow",
        "Principal": {"Service" if principal.endswith(".amazonaws.com") else "AWS": principal},
        "Action": properties["Action"],
        "Resource": properties["FunctionName"],
    }
    return normalise(statement | ({"Condition": {"StringLike": like}} if like else {}))


def _attached(resources: dict[str, Template], role: str) -> Iterator[Template]:
    for item in resources.values():
        if item["Type"] in POLICY_TYPES:
            properties = item["Properties"]
            roles = properties.get("Roles", [properties["RoleName"]] if "RoleName" in properties else [])
            if {"Ref": role} in roles:
                yield properties


def differences(actual: Access, golden: Access) -> dict[str, Request]:
    """Compare both ways; return a counterexample for each way that fails, by what is wrong."""
    keys = sorted({key for side in (actual, golden) for key in _context_keys(side)})
    mine, theirs = (set(_words(side, keys)) for side in (actual, golden))
    found = {
        "granted beyond the golden policy": shortest_outside(mine, theirs),
        "in the golden policy and not granted": shortest_outside(theirs, mine),
    }
    return {wrong: _request(word, keys) for wrong, word in found.items() if word is not None}


def covers(golden: Access, request: Access) -> bool:
    """Tell whether golden grants all that a request, written as a policy of its own, asks for."""
    keys = sorted({key for side in (golden, request) for key in _context_keys(side)})
    return shortest_outside(_words(request, keys), set(_words(golden, keys))) is None


def _context_keys(side: Access) -> Iterator[str]:
    for statement in side.trust + side.permissions:
        for operator, clause in statement.get("Condition", {}).items():
            for key, values in clause.items():
                yield _component(operator, key, values)[0]


def _component(operator: str, key: str, values: list[str]) -> tuple[str, list[Word]]:
    """Return the name of the component that a condition bears on, and the words that meet the condition."""
    plain = operator.removesuffix("IfExists")
    if plain not in LITERAL and plain not in PATTERN:
        return f"{operator} {key.lower()} {', '.join(values)}", [(TRUE,)]
    family = LITERAL.get(plain) or PATTERN[plain]
    words = [(PRESENT, *parse(value, wildcards=plain in PATTERN, fold=family == "Bool")) for value in values]
    if operator != plain:
        words.append(())
    return f"{family} {key.lower()}", words


def _words(side: Access, keys: list[str]) -> Iterator[Word]:
    for statement in side.trust + side.permissions:
        yield from _statement_words(statement, keys)
    free: list[Word] = [(ANY,) for _ in keys]
    for kind, arns in (("Managed policy", side.managed_policies), ("Boundary", side.permissions_boundary)):
        for arn in arns:
            yield _join((parse(kind), (), (), parse(arn, wildcards=False), *free))


def _statement_words(statement: Statement, keys: list[str]) -> Iterator[Word]:
    if banned := [key for key in ("NotAction", "NotResource", "NotPrincipal") if key in statement]:
        raise PolicyError(f"{statement['Sid'] or 'a statement'} uses {banned[0]}: say what is meant, not what is not")
    conditions = _condition_words(statement)
    for parts in itertools.product(
        [parse(statement["Effect"])],
        [parse(one, wildcards=one.endswith(":*")) for one in statement.get("Principal", [""])],
        [parse(one, fold=True) for one in statement["Action"]],
        [parse(one) for one in statement.get("Resource", [""])],
        *(conditions.get(key, [(ANY,)]) for key in keys),
    ):
        yield _join(parts)


def _condition_words(statement: Statement) -> dict[str, list[Word]]:
    found: dict[str, list[Word]] = {}
    for operator, clause in statement.get("Condition", {}).items():
        for key, values in clause.items():
            name, words = _component(operator, key, values)
            if name in found:
                raise PolicyError(f"{statement['Sid']}: two conditions on {name}: write one")
            found[name] = words
    return found


def _join(parts: tuple[Word, ...]) -> Word:
    return tuple(itertools.chain(*((SEPARATOR, *part) for part in parts)))[1:]


def _request(word: Word, keys: list[str]) -> Request:
    parts: list[list[str]] = [[]]
    for symbol in word:
        if symbol == SEPARATOR:
            parts.append([])
        else:
            parts[-1].append(symbol)
    effect, principal, action, resource = ("".join(part) for part in parts[:4])
    return Request(effect, principal, action, resource, {k: _value(v) for k, v in zip(keys, parts[4:], strict=True)})


def _value(part: list[str]) -> str:
    if part[:1] == [PRESENT]:
        return f"= {''.join(part[1:])}"
    return "holds" if part == [TRUE] else "is absent or fails"
