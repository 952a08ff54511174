"""One HTTP request over a connection to checked addresses, every wait of which counts against one deadline.

`http.client` parses the answer; the socket below it is ours. A socket's own timeout starts afresh with every
byte that arrives, so a server that drips holds its reader for as long as it likes; here each read is given
what is left of the deadline instead.
"""

from __future__ import annotations

import functools
import io
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, TypeAlias, cast

from ..common.deadline import Deadline
from .url import Url

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Connect: TypeAlias = Callable[[str, int, float], socket.socket]


def connect_tcp(address: str, port: int, timeout: float) -> socket.socket:
    """Open a TCP connection to an IP address within ``timeout`` seconds; nothing is looked up."""
    return socket.create_connection((address, port), timeout=timeout)


@functools.cache
def system_tls() -> ssl.SSLContext:
    """Return the context that verifies certificates and names against the system's authorities."""
    return ssl.create_default_context()


@contextmanager
def request(
    url: Url,
    addresses: Sequence[str],
    deadline: Deadline,
    *,
    max_bytes: int,
    connect: Connect = connect_tcp,
    tls: ssl.SSLContext | None = None,
) -> Iterator[HTTPResponse]:
    """Send ``GET url`` to one of ``addresses`` and give the response, its headers read, its body not.

    The name in the URL serves the ``Host`` header, SNI and the certificate check; the connection itself goes
    to an address that the caller has checked, so a second look-up cannot lead elsewhere. Proxies that the
    environment names are not used.

    Parameters
    ----------
    max_bytes
        What the whole answer may take on the wire, headers and chunk framing included.
    connect, tls
        How to open a connection to an address, and with which authorities.

    Raises
    ------
    TimeoutError
        When the deadline passes.
    OSError, HTTPException
        When the connection, TLS or HTTP itself fails.
    """
    with closing(_open(url, addresses, deadline, connect, tls)) as connection:
        connection.settimeout(deadline.remaining())
        connection.sendall(
            f"GET {url.target} HTTP/1.1\r\n"
            f"Host: {url.authority}\r\n"
            "User-Agent: kennel\r\n"
            "Accept: image/jpeg, image/png, image/webp\r\n"
            "Accept-Encoding: identity\r\n"
            "Connection: close\r\n"
            "\r\n".encode("ascii")
        )
        source = cast(socket.socket, _Source(connection, deadline, max_bytes))
        with _final_response(source) as response:
            yield response


def _final_response(source: socket.socket) -> HTTPResponse:
    """Read the headers of the response, after those of interim responses (RFC 9110, 15.2), such as 103 Early Hints.

    `http.client` itself skips 100 alone. 101 is final here: nothing was upgraded.
    """
    while True:
        response = HTTPResponse(source, method="GET")
        response.begin()
        if response.status == 101 or response.status >= 200:
            return response


def _open(
    url: Url, addresses: Sequence[str], deadline: Deadline, connect: Connect, tls: ssl.SSLContext | None
) -> socket.socket:
    """Connect to the first address that answers, each tried for its share of the time that is left."""
    failure: OSError = OSError("no address")
    for position, address in enumerate(addresses):
        try:
            connection = connect(address, url.port, deadline.remaining() / (len(addresses) - position))
            break
        except OSError as error:
            failure = error
    else:
        raise failure
    if url.scheme == "http":
        return connection
    try:
        connection.settimeout(deadline.remaining())  # covers the handshake as a whole, not each of its reads
        context = tls or system_tls()
        # A stream that is cut is an error, not the end of a body without a length (RFC 9112, 9.8). Older Pythons, such
        # as 3.11.2, tell OpenSSL 3 to take it for the end (https://github.com/python/cpython/pull/95495).
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        return context.wrap_socket(connection, server_hostname=url.host, suppress_ragged_eofs=False)
    except BaseException:
        connection.close()
        raise


class _Source:
    """The little of a socket that `HTTPResponse` asks for."""

    def __init__(self, connection: socket.socket, deadline: Deadline, max_bytes: int) -> None:
        self._stream = _Stream(_Reader(connection, deadline, max_bytes), buffer_size=65536)

    def makefile(self, mode: str) -> io.BufferedReader:
        return self._stream


class _Stream(io.BufferedReader):
    """Stays open when an interim response closes, because the next response follows in it."""

    def close(self) -> None:
        pass


class _Reader(io.RawIOBase):
    """Reads a socket up to a deadline and a number of bytes."""

    def __init__(self, connection: socket.socket, deadline: Deadline, max_bytes: int) -> None:
        self._connection = connection
        self._deadline = deadline
        self._bytes_left = max_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._connection.settimeout(self._deadline.remaining())
        count = self._connection.recv_into(buffer)
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise HTTPException("the response is much larger than the limit of a photo")
        return count
