"""Answers in the form that a function URL and a direct caller both understand."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, TypedDict

from .common.problem import Problem


class Answer(TypedDict):
    """What Lambda returns; the function URL turns it into an HTTP response (payload format 2.0)."""

    statusCode: int
    headers: dict[str, str]
    body: str


def answer(content: dict[str, Any]) -> Answer:
    """Answer 200 with ``content`` as JSON."""
    return {
        "statusCode": HTTPStatus.OK,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(content),
    }


def problem_answer(problem: Problem) -> Answer:
    """Answer with problem details (RFC 9457)."""
    content = {
        "type": problem.type.uri,
        "title": problem.type.title,
        "status": problem.status,
        "detail": problem.detail,
    }
    return {
        "statusCode": problem.status,
        "headers": {"Content-Type": "application/problem+json", **problem.headers},
        "body": json.dumps(content),
    }
