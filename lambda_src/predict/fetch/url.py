"""A caller's URL, taken apart into the little that may be fetched."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from string import punctuation
from typing import NamedTuple, Self
from urllib.parse import quote, urljoin, urlsplit

from ..common.problem import Problem, ProblemType

MAX_URL_LENGTH = 2048
PORTS = {"http": 80, "https": 443}
_FORBIDDEN = r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]"
# Checked here, because older versions of `urlsplit` repair an authority with brackets (CVE-2024-11168, CVE-2025-0938).
_AUTHORITY = r"(\[[0-9a-zA-Z:.%]*\]|[^\[\]:]*)(:[0-9]{0,5})?"
_HOST_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# RFC 6761, RFC 6762, RFC 7686, RFC 8375 and ICANN's .internal: never a public name, so never looked up.
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa", ".onion", ".invalid", ".test", ".example")


class Url(NamedTuple):
    """A URL that may be tried: http or https, port 80 or 443, no credentials, a name or a plain address.

    Attributes
    ----------
    scheme
        ``http`` or ``https``.
    host
        Lower-case DNS name without trailing dot, or an IP address without brackets.
    port
        80 or 443.
    target
        Path and query as sent in the request line, percent-encoded.
    """

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``text`` strictly: what two parsers could read differently is refused, never repaired.

        Raises
        ------
        Problem
            400 that names the part at fault; 403 for names that are private by definition.
        """
        if len(text) > MAX_URL_LENGTH:
            raise Problem(ProblemType.BAD_URL, f"The URL is longer than {MAX_URL_LENGTH} characters.")
        if re.search(_FORBIDDEN, text):
            raise Problem(ProblemType.BAD_URL, "The URL has a control character, a backslash or an unpaired surrogate.")
        try:
            parts = urlsplit(text.strip(" "))
            port = parts.port
        except ValueError:
            raise Problem(ProblemType.BAD_URL, "The URL is malformed.") from None
        if parts.scheme not in PORTS:
            raise Problem(ProblemType.BAD_URL, "The URL must start with http:// or https://.")
        _check_authority(parts.netloc)
        if port is None:
            port = PORTS[parts.scheme]
        if port not in PORTS.values():
            raise Problem(ProblemType.BAD_URL, "The URL's port must be 80 or 443.")
        host = _host(parts.hostname or "", bracketed=parts.netloc.startswith("["))
        path = quote(parts.path or "/", safe="/%:=&~+!$,;'@()*[]")
        query = quote(parts.query, safe="/%:=&~+!$,;'@()*[]?")
        return cls(parts.scheme, host, port, f"{path}?{query}" if query else path)

    def follow(self, location: str) -> Self:
        """Return where a redirect from here leads.

        Parameters
        ----------
        location
            The ``Location`` header as `http.client` decodes it: an absolute or a relative URL.

        Raises
        ------
        Problem
            422 where the target is not a URL that may be tried, or leaves https; 403 as `parse` does.
        """
        # http.client reads header bytes as ISO-8859-1; so encoded, they leave as the bytes that came.
        location = quote(location, safe=punctuation, encoding="iso-8859-1")
        try:
            target = self.parse(urljoin(str(self), location))
        except ValueError:
            raise Problem(ProblemType.NO_PHOTO_AT_URL, "The URL redirects to a malformed URL.") from None
        except Problem as problem:
            if problem.type is not ProblemType.BAD_URL:
                raise
            raise Problem(
                ProblemType.NO_PHOTO_AT_URL, f"The URL redirects to a URL that is refused: {problem.detail}"
            ) from None
        if self.scheme == "https" and target.scheme != "https":
            raise Problem(ProblemType.NO_PHOTO_AT_URL, "The URL redirects from https to http.")
        return target

    @property
    def authority(self) -> str:
        """Host and, where it is not the scheme's own, port, as the ``Host`` header wants them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address, which needs no resolving."""
        return ":" in self.host or self.host.replace(".", "").isdigit()

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def _check_authority(netloc: str) -> None:
    """Refuse an authority that is not a host, in brackets or not, with or without a port."""
    if not netloc.isascii():
        raise Problem(
            ProblemType.BAD_URL, "The URL's host must be ASCII; write an international name in its xn-- form."
        )
    if "@" in netloc:
        raise Problem(ProblemType.BAD_URL, "The URL must not have a user name or password.")
    if not re.fullmatch(_AUTHORITY, netloc):
        raise Problem(ProblemType.BAD_URL, "The URL is malformed.")


def _host(host: str, *, bracketed: bool) -> str:
    """Check a host and return its one spelling."""
    if bracketed:
        return _ipv6(host)
    name = host.removesuffix(".")
    labels = name.split(".")
    # What ends in a number is an IPv4 address to every resolver, also 127.1, 0x7f000001 and 017700000001
    # (WHATWG URL Standard, 3.5).
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        return _ipv4(name)
    if len(name) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        raise Problem(ProblemType.BAD_URL, "The URL's host is missing or malformed.")
    if len(labels) == 1 or f".{name}".endswith(_PRIVATE_SUFFIXES):
        raise Problem(ProblemType.ADDRESS_NOT_PUBLIC, "The URL's host is not on the public internet.")
    return name


def _ipv6(text: str) -> str:
    """Check an IPv6 address, which a URL has in brackets."""
    try:
        address = IPv6Address(text)
    except AddressValueError:
        raise Problem(ProblemType.BAD_URL, "The URL's IPv6 address is malformed.") from None
    if address.scope_id is not None:
        raise Problem(ProblemType.BAD_URL, "The URL's IPv6 address must not have a zone.")
    return str(address)


def _ipv4(text: str) -> str:
    """Check an IPv4 address, of which only the one form that everybody reads alike may pass."""
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        raise Problem(ProblemType.BAD_URL, "The URL's IPv4 address must be four decimal numbers.") from None
