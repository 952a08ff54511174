"""The one exception that becomes an answer, and the table of what answers with which status.

======  ==========================================================================================
Status  When
======  ==========================================================================================
400     the request cannot be understood: not JSON, not base64, no image, a bad URL, a bad ``top_k``
403     the URL leads to an address that is not public: understood, and refused whatever is repeated
405     a function-URL request whose method is not POST
413     the photo is larger than this service takes, in the request or behind the URL
415     the bytes are not JPEG, PNG or WebP
422     the URL is well formed and leads to no photo: unknown host, the remote answers 4xx, or it
        redirects too often, or to something that is not an http(s) URL, or from https to http;
        also a damaged photo (the container's word)
429     the endpoint throttles (``Retry-After``)
500     our own fault: a bug, or a permission that is missing; the reason is in the log alone
502     an upstream broke: the remote host (5xx, refused, TLS, truncated or malformed answer) or the
        model
503     the endpoint is missing, overloaded or not ready yet (``Retry-After``)
504     the remote host or the model did not answer in time
======  ==========================================================================================

Meanings are those of RFC 9110, section 15. 403 and not 400 for an address: the syntax is right and the
server refuses (15.5.4). 422 and not 424 for a remote 4xx: 424 speaks of an earlier method in the same
WebDAV request (RFC 4918, 11.4), and SageMaker already uses it for a failed container. 504 and not 408 for a
slow remote: 408 is about a caller that is slow to send (15.5.9).
"""

from __future__ import annotations

from collections.abc import Mapping


class Problem(Exception):  # noqa: N818 (the word of RFC 9457)
    """A request that cannot be fulfilled, with the status and the reason that the caller gets.

    Parameters
    ----------
    status
        HTTP status code, from the table of this module.
    detail
        One sentence for the caller. It never holds a secret, a resolved address or a traceback.
    headers
        Headers that the status asks for, such as ``Retry-After`` or ``Allow``.
    reason
        For the log alone: what was found out and is not the caller's to know.
    """

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, reason: str | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.reason = reason
