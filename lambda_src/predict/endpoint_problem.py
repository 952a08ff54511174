"""What each failure of InvokeEndpoint means to the caller.

The code of a service error decides; without a known code, its HTTP status does. Sources: the errors of InvokeEndpoint
(https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html) and those that all
services have (https://docs.aws.amazon.com/sagemaker/latest/APIReference/CommonErrors.html).
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from botocore.exceptions import ClientError, ConnectTimeoutError, HTTPClientError, IncompleteReadError, ReadTimeoutError
from botocore.exceptions import ConnectionError as ConnectionFailure
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from .common.problem import Problem, ProblemType, retry_after

_MAX_DETAIL_CHARACTERS = 200
# ARNs, URIs, and paths: absolute ones, those of Windows, and those that end in a file's name.
_PRIVATE = r"(?i)\barn:|://|\\|(?<!\w)[/~]\w|/\S*[/.]\w"

_TIMEOUT = (ReadTimeoutError, ConnectTimeoutError)
_BROKEN_CONNECTION = (ConnectionFailure, HTTPClientError, IncompleteReadError, ResponseParserError, HTTPError)
"""Every exception of a connection that fails or breaks. Those of urllib3 come from reading a body."""


class EndpointProblem(Problem):
    """A failure of the endpoint.

    Attributes
    ----------
    transient
        Whether a second attempt may succeed: the service failed or throttled, or the connection broke. A failure of
        the model and a timeout are not.
    wait
        Seconds that the service asks to wait.
    """

    def __init__(
        self, failure: _Failure, error: Exception, *, transient: bool = False, retry_after_header: str | None = None
    ) -> None:
        headers = retry_after(retry_after_header, failure.retry_after)
        super().__init__(failure.type, failure.detail, headers=headers, reason=str(error) or repr(error))
        self.transient = transient
        self.wait = int(retry_after(retry_after_header, 0)["Retry-After"])


class _Failure(NamedTuple):
    """A row of the tables: the type, the detail for the caller, and the seconds of Retry-After."""

    type: ProblemType
    detail: str
    retry_after: int | None = None


_LATE = _Failure(ProblemType.MODEL_TIMEOUT, "The model did not answer in time.")
_LOADING = _Failure(ProblemType.MODEL_UNAVAILABLE, "The model is still loading.", 10)
_MISCONFIGURED = _Failure(ProblemType.INTERNAL_ERROR, "The service is not set up correctly.")
_MISSING = _Failure(ProblemType.MODEL_UNAVAILABLE, "The model is not deployed.", 30)
_MODEL_FAILED = _Failure(ProblemType.MODEL_FAILED, "The model failed on the photo.")
_OVERLOADED = _Failure(ProblemType.MODEL_UNAVAILABLE, "The model is overloaded.", 2)
_SERVICE_FAILED = _Failure(ProblemType.MODEL_FAILED, "The model's service failed; try again soon.")
_THROTTLED = _Failure(ProblemType.THROTTLED, "Too many requests; try again soon.", 1)
_TOO_LARGE = _Failure(ProblemType.PHOTO_TOO_LARGE, "The photo is larger than the endpoint accepts; send a smaller one.")
_UNREACHABLE = _Failure(ProblemType.MODEL_FAILED, "The model cannot be reached.")

_BY_CODE = {
    "ModelNotReadyException": _LOADING,
    "RequestAbortedException": _UNREACHABLE,
    "RequestLimitExceeded": _THROTTLED,
    "Throttling": _THROTTLED,
    "ThrottlingException": _THROTTLED,
    "TooManyRequestsException": _THROTTLED,
    "ValidationError": _MISSING,  # the code of an endpoint that does not exist
}
_BY_STATUS = {408: _LATE, 413: _TOO_LARGE, 429: _THROTTLED, 503: _OVERLOADED, 504: _LATE}

# SageMaker writes the status 0 if the container did not answer within its 60 s.
_BY_MODEL_STATUS = {0: _LATE, 408: _LATE, 429: _OVERLOADED, 503: _OVERLOADED, 504: _LATE}
_REFUSALS = {
    400: ProblemType.BAD_REQUEST,
    413: ProblemType.PHOTO_TOO_LARGE,
    415: ProblemType.UNSUPPORTED_FORMAT,
    422: ProblemType.DAMAGED_PHOTO,
}


def endpoint_problem(error: Exception) -> EndpointProblem | None:
    """Say what an exception of InvokeEndpoint means; None for one that is a fault of the function.

    The words of the service, with ARNs in them, go to the log alone.
    """
    if isinstance(error, ClientError):
        return _service_problem(error)
    if isinstance(error, (*_TIMEOUT, TimeoutError)):
        return EndpointProblem(_LATE, error)
    if isinstance(error, _BROKEN_CONNECTION):
        return EndpointProblem(_UNREACHABLE, error, transient=True)
    if isinstance(error, AttributeError | RecursionError | TypeError | ValueError):
        # botocore reads an error's body without a check of its types and of its depth.
        return EndpointProblem(_SERVICE_FAILED, error)
    return None


def _service_problem(error: ClientError) -> EndpointProblem:
    code, metadata = str(error.response["Error"]["Code"]), error.response["ResponseMetadata"]
    status, header = metadata["HTTPStatusCode"], metadata.get("HTTPHeaders", {}).get("retry-after")
    if code == "ModelError":
        return EndpointProblem(_model_failure(error), error, retry_after_header=header)
    failure = _BY_CODE.get(code) or _BY_STATUS.get(status) or (_SERVICE_FAILED if status >= 500 else _MISCONFIGURED)
    transient = status >= 500 or failure in (_THROTTLED, _UNREACHABLE)
    return EndpointProblem(failure, error, transient=transient, retry_after_header=header)


def _model_failure(error: ClientError) -> _Failure:
    """Pass the container's 4xx on in its own words; anything else is its fault and stays in the log."""
    original = error.response.get("OriginalStatusCode")
    status = original if isinstance(original, int) else 0
    if status in _REFUSALS:
        detail = _detail(str(error.response.get("OriginalMessage", "")))
        return _Failure(_REFUSALS[status], detail or "The model refused the photo.")
    return _BY_MODEL_STATUS.get(status, _MODEL_FAILED)


def _detail(message: str) -> str | None:
    """Return the detail of a problem (RFC 9457) that the container sent, if that is what it sent and it tells nothing.

    A container of someone else's may write a traceback, ARNs or paths there.
    """
    try:
        content = json.loads(message)
    except (ValueError, RecursionError):
        return None
    detail = content.get("detail") if isinstance(content, dict) else None
    if not isinstance(detail, str) or len(detail) > _MAX_DETAIL_CHARACTERS or not detail.isprintable():
        return None
    return None if re.search(_PRIVATE, detail) else detail
