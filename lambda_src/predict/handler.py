"""The Lambda function of Kennel: a photo or its URL in, labels with probabilities out."""

from __future__ import annotations

import functools
import os

from .answer import Answer, answer, problem_answer
from .classifier import Classifier, Record
from .common.problem import Problem, ProblemType
from .endpoint import Endpoint, runtime_client
from .environment import Environment
from .fetch.fetch import fetch
from .log import log


def _classifier() -> Classifier:
    environment = Environment.read(os.environ)
    return Classifier(
        Endpoint(environment.endpoint_name, runtime_client(environment.invoke_timeout)),
        functools.partial(fetch, timeout=environment.fetch_timeout, max_bytes=environment.max_image_bytes),
        environment.max_image_bytes,
    )


_CLASSIFIER = _classifier()  # while Lambda initialises, so that no request waits for it


def handle(event: object, context: object) -> Answer:
    """Answer one event; this is what Lambda calls.

    Parameters
    ----------
    event
        A direct event or a function-URL event; `event` describes both.
    context
        Lambda's context object.
    """
    return respond(event, str(getattr(context, "aws_request_id", "")), _CLASSIFIER)


def respond(event: object, request_id: str, classifier: Classifier) -> Answer:
    """Answer an event, whatever happens, and log one line about it.

    Parameters
    ----------
    request_id
        The id that Lambda gave the request, for the log and for errors.
    """
    record = Record()
    problem: Problem | None = None
    bug: Exception | None = None
    try:
        result = answer(classifier.classify(event, record, request_id))
    except Problem as refusal:
        problem = refusal
    except Exception as error:
        bug = error
        problem = Problem(
            ProblemType.INTERNAL_ERROR, f"The service failed; report it with the request id {request_id}."
        )
    if problem is not None:
        result = problem_answer(problem)
    status = result["statusCode"]
    log(
        "INFO" if status < 400 else "WARN" if status < 500 else "ERROR",
        {
            "request_id": request_id,
            "inference_id": record.inference_id,
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
