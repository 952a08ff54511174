"""Filter patterns of FilterLogEvents, of which ministack takes JSON for "every event" and ``?`` for a letter.

Source: CloudWatch Logs guide, "Filter pattern syntax for metric filters, subscription filters, filter log events, and
Live Tail".
"""

import json
import re
from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import cloudwatch_logs

Matcher = Callable[[str], bool]

TERM = re.compile(r'(?P<sign>[?-]?)(?:"(?P<phrase>[^"]+)"|(?P<word>\w+))(?:\s+|$)')
"""A term; a sign makes it optional or excludes it. What is not alphanumeric must be quoted."""

COMPARISON = re.compile(r'\{\s*\$\.(?P<path>[\w-]+(?:\.[\w-]+)*)\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>[\w*.]+))\s*\}')
"""The one form of JSON patterns that is known here: a property is equal to a text, in which ``*`` may stand."""


def register() -> None:
    """Give ministack's FilterLogEvents the matcher of this file."""
    cloudwatch_logs._compile_filter_pattern = matcher
    cloudwatch_logs._filter_log_events = _refuse_before(cloudwatch_logs._filter_log_events)


def matcher(pattern: str) -> Matcher:
    """Return the function that says whether a message matches a pattern.

    Raises
    ------
    ValueError
        The pattern is invalid, or of a kind that is not known here.
    """
    pattern = pattern.strip()
    if pattern.startswith("{"):
        return _json(pattern)
    terms: dict[str, list[str]] = {"": [], "?": [], "-": []}
    position = 0
    while position < len(pattern):
        if not (term := TERM.match(pattern, position)):
            raise ValueError(f"Invalid filter pattern: {pattern[position:]}")
        terms[term["sign"]].append(term["phrase"] or term["word"])
        position = term.end()
    required, excluded = terms[""], terms["-"]
    # CloudWatch Logs ignores optional terms beside others.
    optional = [] if required or excluded else terms["?"]

    def matches(message: str) -> bool:
        return (
            all(term in message for term in required)
            and not any(term in message for term in excluded)
            and (not optional or any(term in message for term in optional))
        )

    return matches


def _json(pattern: str) -> Matcher:
    if not (found := COMPARISON.fullmatch(pattern)):
        raise ValueError(f"Invalid filter pattern, or one that the embedded AWS does not know: {pattern}")
    text = found["bare"] if found["quoted"] is None else found["quoted"]
    wanted = re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)

    def matches(message: str) -> bool:
        try:
            value: Any = json.loads(message)
            for name in found["path"].split("."):
                value = value[name]
        except (ValueError, KeyError, TypeError):
            return False
        return isinstance(value, str | int | float) and wanted.fullmatch(str(value)) is not None

    return matches


def _refuse_before(answer: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def answer_or_refuse(request: dict[str, Any]) -> Any:
        try:
            matcher(request.get("filterPattern", ""))
        except ValueError as error:
            return error_response_json("InvalidParameterException", str(error))
        return answer(request)

    return answer_or_refuse
