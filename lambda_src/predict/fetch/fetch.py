"""Fetching the photo behind a caller's URL, on the assumption that both are hostile."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Sequence
from http.client import HTTPException, HTTPResponse
from typing import TypeAlias

from ..common.deadline import Deadline
from ..common.image import check_size
from ..common.problem import Problem, ProblemType, retry_after
from .address import is_public
from .connection import Connect, connect_tcp, request
from .url import Url

MAX_REDIRECTS = 3
_MAX_ADDRESSES = 4
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADER_BYTES = 65536
_UNKNOWN_HOST = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))

Resolve: TypeAlias = Callable[[str], Sequence[str]]


def resolve_host(host: str) -> list[str]:
    """Look a host up once and return its addresses, the preferred first (RFC 6724)."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def fetch(
    text: str,
    deadline: Deadline,
    *,
    max_bytes: int,
    resolve: Resolve = resolve_host,
    connect: Connect = connect_tcp,
    tls: ssl.SSLContext | None = None,
) -> bytes:
    """Return the bytes behind a URL.

    The rules: http and https, ports 80 and 443, no credentials; each name is resolved once, all of its
    addresses must be public, and the connection goes to one of those very addresses; redirects are followed
    a few times, under the same rules and never from https to http; one deadline covers look-up, connection,
    TLS, headers and body of all requests together; reading stops at ``max_bytes``.

    Parameters
    ----------
    text
        The caller's URL.
    deadline
        For everything.
    max_bytes
        Most bytes that the photo may have.
    resolve, connect, tls
        How to look a name up, open a connection and verify a certificate. Every address that `resolve` returns
        is checked.

    Raises
    ------
    Problem
        As `ProblemType` says.
    """
    url = Url.parse(text)
    try:
        for _ in range(MAX_REDIRECTS + 1):
            addresses = _addresses(url, deadline, resolve)
            with request(
                url,
                addresses,
                deadline,
                max_bytes=_HEADER_BYTES + 2 * max_bytes,  # chunk framing may double a body, hardly more
                connect=connect,
                tls=tls,
            ) as response:
                location = _location(response)
                if location is None:
                    return _body(response, max_bytes)
            url = url.follow(location)
    except TimeoutError as error:
        raise Problem(
            ProblemType.REMOTE_HOST_TIMEOUT, "The URL's host did not send the photo in time.", reason=str(error)
        ) from None
    except ssl.SSLCertVerificationError as error:
        raise Problem(
            ProblemType.REMOTE_HOST_FAILED, "The URL's host has no valid certificate.", reason=str(error)
        ) from None
    except (OSError, HTTPException, ValueError) as error:  # http.client: ValueError for a negative chunk size
        raise Problem(
            ProblemType.REMOTE_HOST_FAILED,
            "The URL's host cannot be reached or does not speak HTTP properly.",
            reason=repr(error),
        ) from None
    raise Problem(ProblemType.NO_PHOTO_AT_URL, f"The URL redirects more than {MAX_REDIRECTS} times.")


def _addresses(url: Url, deadline: Deadline, resolve: Resolve) -> Sequence[str]:
    """Return the host's addresses, all of them public."""
    addresses = [url.host] if url.is_address else _resolve_within(deadline, resolve, url.host)
    if not addresses:
        raise Problem(ProblemType.NO_PHOTO_AT_URL, "The URL's host is unknown.")
    # One private address among public ones is how a name is rebound between check and use.
    if not all(is_public(address) for address in addresses):
        raise Problem(
            ProblemType.ADDRESS_NOT_PUBLIC,
            "The URL's host is not on the public internet.",
            reason=f"resolved to {', '.join(addresses)}",
        )
    return addresses[:_MAX_ADDRESSES]


def _resolve_within(deadline: Deadline, resolve: Resolve, host: str) -> Sequence[str]:
    """Look ``host`` up."""
    try:
        return deadline.run(lambda: resolve(host))
    except socket.gaierror as error:
        if error.errno in _UNKNOWN_HOST:
            raise Problem(ProblemType.NO_PHOTO_AT_URL, "The URL's host is unknown.") from None
        raise


def _location(response: HTTPResponse) -> str | None:
    """Return where a response redirects to, or None when it brings the body."""
    if response.status == 200:
        return None
    location = response.headers["Location"]
    if response.status in _REDIRECTS and location is not None:
        return str(location)
    raise Problem(
        _status_type(response.status),
        f"The URL's host answers with status {response.status} instead of a photo.",
        headers=retry_after(response.headers["Retry-After"]),
    )


def _status_type(status: int) -> ProblemType:
    if status in (408, 504):
        return ProblemType.REMOTE_HOST_TIMEOUT
    return ProblemType.NO_PHOTO_AT_URL if 400 <= status < 500 else ProblemType.REMOTE_HOST_FAILED


def _body(response: HTTPResponse, max_bytes: int) -> bytes:
    """Read the body up to its end, which must come where the headers say."""
    length = _content_length(response)
    check_size(length or 0, max_bytes)
    body = bytearray()
    while chunk := response.read(min(65536, max_bytes + 1 - len(body))):
        body += chunk
        check_size(len(body), max_bytes)
    if length is not None and len(body) != length:
        raise HTTPException(f"the body ended after {len(body)} of {length} bytes")
    return bytes(body)


def _content_length(response: HTTPResponse) -> int | None:
    """Return the body's length, or None where chunks or the connection's end delimit it (RFC 9112, 6.3)."""
    codings = response.headers.get_all("Transfer-Encoding", [])
    lengths = list(dict.fromkeys(response.headers.get_all("Content-Length", [])))
    content_coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if content_coding != "identity":
        raise HTTPException("the body is compressed although only identity was accepted")
    if codings:
        if len(codings) != 1 or not response.chunked:
            raise HTTPException("the transfer coding is unknown")
        return None
    if not lengths:
        return None
    length = lengths[0].strip()
    if len(lengths) > 1 or not re.fullmatch("[0-9]{1,18}", length):
        raise HTTPException("Content-Length is malformed")
    return int(length)
