"""The generated part of docs/security.md: each role and resource policy, each statement, and why.

What is granted comes from the templates of all settings files, the reasons from ``reasons.py``. The rest of the page is
written by hand.
"""

import re
from pathlib import Path
from typing import Any

from tests.stacks.environments import EVERY, REAL
from tests.stacks.iam.options import only_where
from tests.stacks.iam.reasons import UnexplainedError, reason_of

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "security.md"
BEGIN, END = "<!-- generated: begin -->\n", "<!-- generated: end -->\n"

WORDS = [
    (r"\$\{AWS::URLSuffix\}", lambda _: "URL_SUFFIX"),
    (r"arn:[\w-]+:kms:[\w-]+:\d+:key/[\w-]+", lambda _: "YOUR_KEY"),
    (r"(?<=:)[\w-]+:\d{12}:repository/[\w/-]+", lambda _: "YOUR_REPOSITORY"),
    (r"kennel-\{environment\}-\d{12}-[\w-]+/\S+\.tar\.gz", lambda _: "YOUR_MODEL"),
    (r"(subnet|sg)-[0-9a-f]{17}", lambda match: {"subnet": "SUBNET_ID", "sg": "SECURITY_GROUP_ID"}[match[1]]),
    (r"\$\{AWS::(\w+)\}", lambda match: re.sub(r"(?<=[a-z])(?=[A-Z])", "_", match[1]).upper()),
    (r"\$\{DlcRepositoryAccountMap[^}]*\}", lambda _: "CONTAINER_ACCOUNT"),
    (r"\$\{(\w+?)[0-9A-F]{8}(?:\.Arn)?\}", lambda match: match[1]),
    (r"[0-9a-f]{64}", lambda _: "SHA256"),
    (r"\{environment\}", lambda _: "ENVIRONMENT"),
]

Sections = dict[str, list[dict[str, Any]]]


def render(merged: dict[str, Sections]) -> str:
    """Return the generated part of the page.

    Raises
    ------
    UnexplainedError
        A statement, or a wildcard of it, has no reason, or none of ``options.OPTIONS`` switches it on.
    """
    lines = [
        f"Settings files: {', '.join(REAL)}. A statement that some of them lack names the others. A statement that all",
        "of them lack names the setting that adds it.",
        "",
    ]
    for title, chosen in (
        ("Roles", {name: sections for name, sections in merged.items() if sections.get("trust")}),
        ("Policies of resources", {name: sections for name, sections in merged.items() if not sections.get("trust")}),
    ):
        lines += [f"### {title}", ""]
        for name, sections in sorted(chosen.items()):
            every = _environments([sections])
            lines += [f"#### {name}{_only(name, every, EVERY)}", ""]
            for entry in sections.get("trust", []):
                trust = entry["grants"]
                reason = reason_of(trust)
                lines += [f"Assumed by {_listed(trust['Principal'])}{_when(trust)}. {reason}".rstrip(), ""]
            for section in ("managed_policies", "permissions_boundary"):
                for entry in sections.get(section, []):
                    only = _only(section, entry["environments"], every)
                    lines += [f"{section.replace('_', ' ').capitalize()}{only}: `{_plain(entry['grants'])}`.", ""]
            for entry in sections.get("permissions", []):
                only = _only(entry["grants"]["Sid"], entry["environments"], every)
                lines += [*_statement(entry["grants"], only), ""]
    return "\n".join(lines)


def _statement(statement: dict[str, Any], only: str) -> list[str]:
    who = f" to {_listed(statement['Principal'])}" if "Principal" in statement else ""
    return [
        f"- **{statement['Sid'] or 'no Sid'}**{only}: {reason_of(statement)}",
        f"  - {statement['Effect']} {_listed(statement['Action'])}{who}",
        *(f"  - on `{_plain(resource)}`" for resource in statement.get("Resource", [])),
        *([f"  -{_when(statement)}"] if statement.get("Condition") else []),
    ]


def _when(statement: dict[str, Any]) -> str:
    clauses = [
        f"`{key}` {operator} {_listed(values)}"
        for operator, clause in statement.get("Condition", {}).items()
        for key, values in clause.items()
    ]
    return f" when {' and '.join(clauses)}" if clauses else ""


def _environments(all_sections: list[Sections]) -> list[str]:
    return sorted(
        {
            environment
            for sections in all_sections
            for entries in sections.values()
            for entry in entries
            for environment in entry["environments"]
        }
    )


def _only(what: str, environments: list[str], every: list[str]) -> str:
    """Say where something holds, of what could have it: in which settings files, or by which setting."""
    if set(environments) == set(every):
        return ""
    if real := [environment for environment in environments if environment in REAL]:
        return "" if set(real) == {*every} & {*REAL} else f" ({', '.join(real)} only)"
    words = only_where(what, environments, every)
    if words is None:
        raise UnexplainedError(f"say in options.py which setting switches on {what}, which is in {environments}")
    return f" (only where {words})"


def _listed(values: list[str]) -> str:
    return ", ".join(f"`{_plain(value)}`" for value in values)


def _plain(text: str) -> str:
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text)
    return text.removeprefix("Service:").replace("AWS:*", "*")


def generated_part() -> str:
    """Return what the page now holds between the marks."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


def write(merged: dict[str, Sections]) -> None:
    """Put the generated part between the marks of the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}{render(merged)}{END}{after}", encoding="utf-8")
