"""What each failure of InvokeEndpoint means to the caller.

The code of a service error decides; without a known code, its HTTP status does. Sources: the errors of InvokeEndpoint
(https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html) and those that all
services have (https://docs.aws.amazon.com/sagemaker/latest/APIReference/CommonErrors.html).
"""

from __future__ import annotations

import json
from typing import NamedTuple

from botocore.exceptions import ClientError, ConnectTimeoutError, HTTPClientError, IncompleteReadError, ReadTimeoutError
from botocore.exceptions import ConnectionError as ConnectionFailure
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from .common.problem import Problem, ProblemType, retry_after

BROKEN_CONNECTION = (ConnectionFailure, HTTPClientError, IncompleteReadError, ResponseParserError, HTTPError)
"""Every exception of a connection that fails or breaks, timeouts included. urllib3's own come from reading a body."""

_TIMEOUT = (ReadTimeoutError, ConnectTimeoutError)


class _Failure(NamedTuple):
    """A row of the tables: the type, what the caller is told, and after how many seconds to ask again."""

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


def service_problem(error: ClientError) -> Problem:
    """Say what a service error means; its own words, with ARNs in them, go to the log alone."""
    code, metadata = error.response["Error"]["Code"], error.response["ResponseMetadata"]
    status = metadata["HTTPStatusCode"]
    if code == "ModelError":
        failure = _model_failure(error)
    else:
        failure = _BY_CODE.get(code) or _BY_STATUS.get(status) or (_SERVICE_FAILED if status >= 500 else _MISCONFIGURED)
    headers = retry_after(metadata.get("HTTPHeaders", {}).get("retry-after"), failure.retry_after)
    return Problem(failure.type, failure.detail, headers=headers, reason=str(error))


def connection_problem(error: Exception) -> Problem:
    """Say what one of `BROKEN_CONNECTION` means."""
    failure = _LATE if isinstance(error, _TIMEOUT) else _UNREACHABLE
    return Problem(failure.type, failure.detail, reason=str(error))


def _model_failure(error: ClientError) -> _Failure:
    """Pass the container's 4xx on in its own words; anything else is its fault and stays in the log."""
    original = error.response.get("OriginalStatusCode")
    status = original if isinstance(original, int) else 0
    if status in _REFUSALS:
        detail = _detail(str(error.response.get("OriginalMessage", "")))
        return _Failure(_REFUSALS[status], detail or "The model refused the photo.")
    return _BY_MODEL_STATUS.get(status, _MODEL_FAILED)


def _detail(message: str) -> str | None:
    """Return the detail of a problem (RFC 9457) that the container sent, if that is what it sent."""
    try:
        content = json.loads(message)
    except ValueError:
        return None
    detail = content.get("detail") if isinstance(content, dict) else None
    return detail if isinstance(detail, str) else None
