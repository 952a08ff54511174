"""Why each statement is there, and why nothing narrower than its wildcards exists.

The docstring of the function in ``stacks/policies/`` that makes a statement says both, the second after ``Wildcard:``.
docs/security.md (``security_doc.py``) and the acceptance of cdk-nag's findings (``tests/stacks/gates/accepted.py``) are
generated from it.
"""

import ast
from functools import cache
from pathlib import Path

from tests.stacks.iam.policy_model import Statement

POLICIES = Path(__file__).parents[3] / "stacks" / "policies"
MARK = "Wildcard: "

NOT_OURS = {
    "aws:SecureTransport": "Refuses every request without TLS (CDK, `enforce_ssl`).",
    "s3:TlsVersion": "Refuses TLS older than 1.2 (CDK, `minimum_tls_version`).",
    "logging.s3.amazonaws.com": "Amazon S3 delivers the bucket's access log here (CDK, `server_access_logs_bucket`). "
    "Wildcard: Amazon S3 names the log's objects.",
    "apigateway.amazonaws.com": "The HTTP API's one route invokes the alias (CDK, `HttpLambdaIntegration`). "
    "Wildcard: the CDK names the route in every stage and for every method.",
    "lambda.amazonaws.com": "Lambda runs the function with this role.",
    "ec2.amazonaws.com": "An instance has this role by its instance profile.",
}
"""Why a statement that the CDK writes is there, by what is telling in it."""


class UnexplainedError(Exception):
    """A statement or a wildcard without a reason, or a reason without a wildcard."""


@cache
def docstrings() -> dict[str, str]:
    """Return the docstring of each function of the policies by the strings in it, such as the Sid or a service."""
    found: dict[str, str] = {}
    for file in sorted(POLICIES.glob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                text = " ".join((ast.get_docstring(node) or "").split()).replace("``", "`")
                for part in ast.walk(node):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        found.setdefault(part.value, text)
    return found


def wildcards(statement: Statement) -> list[str]:
    """Return the values of a statement that stand for several; those of a Deny widen nothing."""
    if statement["Effect"] == "Deny":
        return []
    values = [*statement["Action"], *statement.get("Resource", []), *statement.get("Principal", [])]
    for operator, clause in statement.get("Condition", {}).items():
        if "Like" in operator or "Arn" in operator:
            values += [value for listed in clause.values() for value in listed]
    return [value for value in values if "*" in value or "?" in value]


def reason_of(statement: Statement) -> str:
    """Return why a statement is there and, if it has wildcards, why nothing narrower exists.

    Raises
    ------
    UnexplainedError
        The statement has no reason, a wildcard without a reason, or a reason without a wildcard.
    """
    name, reason = statement["Sid"] or str(statement), _told(statement)
    found, explained = wildcards(statement), MARK in reason
    if not reason:
        raise UnexplainedError(f"{name}: give it a function in stacks/policies/")
    if found and not explained:
        raise UnexplainedError(f"{name}: narrow {found}, or say after '{MARK}' in its docstring why not")
    if explained and not found:
        raise UnexplainedError(f"{name}: it has no wildcard, so remove '{MARK}' from its docstring")
    return reason


def _told(statement: Statement) -> str:
    services = [one.removeprefix("Service:") for one in statement.get("Principal", [])]
    for key in [statement["Sid"]] if statement["Sid"] else services:
        if key in docstrings():
            return docstrings()[key]
    return next((text for telling, text in NOT_OURS.items() if telling in str(statement)), "")
