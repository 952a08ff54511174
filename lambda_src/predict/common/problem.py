"""The one exception that becomes an answer, and the table of problem types with their statuses.

Meanings of the statuses are those of RFC 9110, section 15. 403 and not 400 for an address: the syntax is right and the
server refuses (15.5.4). 422 and not 424 for a remote 4xx: 424 speaks of an earlier method in the same
WebDAV request (RFC 4918, 11.4), and SageMaker already uses it for a failed container. 504 and not 408 for a
slow remote: 408 is about a caller that is slow to send (15.5.9).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum


class ProblemType(Enum):
    """The types of problems (RFC 9457, 3.1.1), each with its status and title; docs/lambda_src.md explains them.

    A name is part of the interface: callers compare the URI, so it never changes once it is released.
    """

    BAD_REQUEST = ("bad-request", 400, "The request is malformed")
    BAD_URL = ("bad-url", 400, "The URL is malformed or not allowed")
    ADDRESS_NOT_PUBLIC = ("address-not-public", 403, "The URL's host is not on the public internet")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "The method is not POST")
    PHOTO_TOO_LARGE = ("photo-too-large", 413, "The photo is too large")
    UNSUPPORTED_FORMAT = ("unsupported-format", 415, "The photo is not a JPEG, PNG or WebP")
    NO_PHOTO_AT_URL = ("no-photo-at-url", 422, "The URL does not lead to a photo")
    DAMAGED_PHOTO = ("damaged-photo", 422, "The photo is damaged")
    THROTTLED = ("throttled", 429, "The endpoint throttles requests")
    INTERNAL_ERROR = ("internal-error", 500, "The function failed")
    REMOTE_HOST_FAILED = ("remote-host-failed", 502, "The URL's host failed")
    MODEL_FAILED = ("model-failed", 502, "The model failed")
    MODEL_UNAVAILABLE = ("model-unavailable", 503, "The model is missing, loading or overloaded")
    REMOTE_HOST_TIMEOUT = ("remote-host-timeout", 504, "The URL's host did not answer in time")
    MODEL_TIMEOUT = ("model-timeout", 504, "The model did not answer in time")

    def __init__(self, slug: str, status: int, title: str) -> None:
        # A URN, because no public host belongs to the project. RFC 9457 allows URIs that lead nowhere (3.1.1).
        self.uri = f"urn:kennel:problem:{slug}"
        self.status = status
        self.title = title


class Problem(Exception):  # noqa: N818 (the word of RFC 9457)
    """A request that cannot be fulfilled, with the type and the reason that the caller gets.

    Parameters
    ----------
    problem_type
        The row of the table, with the status.
    detail
        One sentence for the caller. It never holds a secret, a resolved address or a traceback.
    headers
        Headers that the status asks for, such as ``Retry-After`` or ``Allow``.
    reason
        For the log alone: what was found out and is not the caller's to know.
    """

    def __init__(
        self,
        problem_type: ProblemType,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.type = problem_type
        self.status = problem_type.status
        self.detail = detail
        self.headers = dict(headers or {})
        self.reason = reason


def retry_after(upstream: str | None, default: int | None = None) -> dict[str, str]:
    """Return the header ``Retry-After`` for the caller, or no header.

    Parameters
    ----------
    upstream
        The header as an upstream sent it. Seconds count; a date, or anything else, does not.
    default
        Seconds if the upstream names none.
    """
    if upstream is not None and re.fullmatch("[0-9]{1,5}", upstream.strip()):
        return {"Retry-After": upstream.strip()}
    return {} if default is None else {"Retry-After": str(default)}
