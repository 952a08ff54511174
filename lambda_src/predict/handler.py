"""The Lambda function of Kennel: a photo or its URL in, labels with probabilities out."""

from __future__ import annotations

import json
import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypedDict

from .classifier import Classifier, Record
from .common.deadline import Deadline
from .common.problem import Problem, ProblemType
from .endpoint import Endpoint, runtime_client
from .environment import Environment
from .fetch.fetch import fetch
from .log import log

if TYPE_CHECKING:
    from typing import Protocol

    class Context(Protocol):
        """What the function reads of Lambda's context object."""

        aws_request_id: str

        def get_remaining_time_in_millis(self) -> int:
            """Return the milliseconds until Lambda stops the invocation."""


RESERVE_SECONDS = 0.5
"""What a request leaves of Lambda's time, for the answer and the log."""


class Answer(TypedDict):
    """What Lambda returns; the function URL turns it into an HTTP response (payload format 2.0)."""

    statusCode: int
    headers: dict[str, str]
    body: str


def _classifier() -> Classifier:
    environment = Environment.read(os.environ)
    timeout, max_bytes = environment.invoke_timeout, environment.max_image_bytes

    def fetch_photo(url: str, deadline: Deadline) -> bytes:
        return fetch(url, deadline.within(environment.fetch_timeout), max_bytes=max_bytes)

    return Classifier(Endpoint(environment.endpoint_name, runtime_client(timeout), timeout), fetch_photo, max_bytes)


_CLASSIFIER = _classifier()  # while Lambda initialises, so that no request waits for it


def handle(event: object, context: Context) -> Answer:
    """Answer one event; this is what Lambda calls.

    Parameters
    ----------
    event
        A direct event or a function-URL event; `event` describes both.
    context
        Lambda's context object.
    """
    deadline = Deadline(context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS)
    return respond(event, context.aws_request_id, deadline, _CLASSIFIER)


def respond(event: object, request_id: str, deadline: Deadline, classifier: Classifier) -> Answer:
    """Answer an event, whatever happens, and log one line about it.

    Parameters
    ----------
    request_id
        The id that Lambda gave the request, for the log and for errors.
    deadline
        When the answer is due.
    """
    record = Record()
    problem: Problem | None = None
    bug: Exception | None = None
    try:
        result = _answer(classifier.classify(event, record, deadline, request_id))
    except Problem as refusal:
        problem = refusal
    except Exception as error:
        bug = error
        problem = Problem(
            ProblemType.INTERNAL_ERROR, f"The service failed; report it with the request id {request_id}."
        )
    if problem is not None:
        result = _problem_answer(problem)
    status = result["statusCode"]
    log(
        "INFO" if status < 400 else "WARN" if status < 500 else "ERROR",
        {
            "request_id": request_id,
            "inference_id": record.inference_id,
            "artifact_sha256": record.artifact_sha256,
            "status": status,
            "source": record.source,
            "bytes": record.size,
            "milliseconds": record.milliseconds,
            "detail": problem and problem.detail,
            "reason": problem and problem.reason,
        },
        bug,
    )
    return result


def _answer(content: dict[str, Any]) -> Answer:
    """Answer 200 with ``content`` as JSON."""
    return {
        "statusCode": HTTPStatus.OK,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(content),
    }


def _problem_answer(problem: Problem) -> Answer:
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
