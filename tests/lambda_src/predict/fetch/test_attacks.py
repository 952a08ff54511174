"""Attacks on the fetch from advisories and talks: addresses, URLs and servers that `test_fetch` does not have."""

from __future__ import annotations

import gzip
import itertools
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from lambda_src.predict.common.deadline import Deadline
from lambda_src.predict.common.problem import Problem
from lambda_src.predict.fetch.fetch import fetch

if TYPE_CHECKING:
    from tests.lambda_src.predict.conftest import Internet, Server

    Serve = Callable[..., Server]
    Reply = Callable[..., bytes]
    Drip = Callable[[socket.socket, bytes], None]
    Script = Callable[[socket.socket, bytes], None]

PUBLIC = "93.184.215.14"
URL = "http://photos.example.org/dog.jpg?sig=SECRET"
DEADLINE = 0.4
LATE = 3.0  # what a loaded machine may add; the servers take 10 s and more


# Addresses, each as a literal, by a name, among public addresses, and behind a redirect

ADDRESSES = [
    *("127.0.0.1", "127.255.255.254", "169.254.169.254", "169.254.170.2", "169.254.100.1", "169.254.79.129"),
    *("10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0", "0.1.2.3", "198.18.0.1", "192.0.0.8"),
    *("192.0.2.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.88.99.1"),
    *("::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "ff0e::1", "fd12:3456:789a::1", "4000::1", "e000::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "0:0:0:0:0:ffff:a9fe:a9fe", "::127.0.0.1", "::a9fe:a9fe"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b:1::a9fe:a9fe", "64:ff9b:1:a9:fea9:fe00::"),  # NAT64
    *("::ffff:0:127.0.0.1", "::ffff:0:a9fe:a9fe"),  # IPv4-translated (RFC 2765)
    *("2002:a9fe:a9fe::", "2002:7f00:1::", "2002:c0a8:101::"),  # 6to4
    *("2001:0:a9fe:a9fe::", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),  # Teredo
    *("2001:db8::1", "2001:2::1", "2001:4:112::1", "2001:20::1", "2001:30::1", "2620:4f:8000::1"),
    *("100::1", "100:0:0:1::1", "3fff::1", "5f00::1"),
    # Metadata and platform services: Alibaba, AWS, Azure, Google, IBM, Oracle, Tencent
    *("100.100.100.200", "fd00:ec2::254", "fd00:ec2::23", "168.63.129.16", "fd20:ce::254", "199.36.153.8"),
    *("161.26.0.10", "166.9.0.1", "192.0.0.192", "169.254.0.23"),
]


def authority(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_inside_is_refused_in_every_form(
    internet: Internet, serve: Serve, reply: Reply, address: str
) -> None:
    internet.names |= {"one.example.org": [address], "some.example.org": [PUBLIC, PUBLIC, address]}
    for host in (authority(address), "one.example.org", "some.example.org"):
        with pytest.raises(Problem) as caught:
            internet.fetch(f"http://{host}/dog.jpg")
        assert caught.value.status == 403
        assert address not in caught.value.detail
    assert internet.connected == []
    for host in (authority(address), "one.example.org", "some.example.org"):
        internet.server = serve(reply(b"", "307 T", Location=f"http://{host}/latest/meta-data/"))
        with pytest.raises(Problem) as caught:
            internet.fetch()
        assert caught.value.status == 403
    assert internet.connected == [(PUBLIC, 80)] * 3


# URLs

URLS = {
    "CVE-2023-24329: leading blanks": [
        *(" file:///etc/passwd", "\x0bhttp://127.0.0.1/", "\u00a0http://127.0.0.1/", "\u3000http://127.0.0.1/"),
        "   http://169.254.169.254/",
    ],
    "CVE-2022-0391: line breaks and tabs": [
        *("ht\ntp://127.0.0.1/", "http://127.0.\n0.1/", "http:\t//127.0.0.1/", "http://exa\rmple.org/"),
        *("http://photos.example.org/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",),
        *("http://photos.example.org\r\n@127.0.0.1/", "http://127.0.0.1\tfoo.google.com/"),
    ],
    "CVE-2024-11168, CVE-2025-0938: brackets": [
        *("http://[127.0.0.1]/", "http://[not-an-ip]/", "http://[::1]evil.org/", "http://evil.org[::1]/"),
        *("http://prefix.[::1].org/", "http://[v1.127.0.0.1]/", "http://[::1].evil.org/", "http://[::1]@evil.org/"),
        *("http://[::1]:80:443/", "http://[2606:4700::1111%00.evil.org]/", "http://[2606:4700::1111]evil.org/"),
        *("http://evil.org[2606:4700::1111]/", "http://[2606:4700::1111]]/", "http://[[2606:4700::1111]/"),
        *("http://[2606:4700::1111]x:80/", "http://[2606:4700::1111]80/", f"http://[{':' * 1000}]/"),
    ],
    "CVE-2021-29921, CVE-2024-29415: forms of an IPv4 address": [
        *("http://010.8.8.8/", "http://0127.0.0.1/", "http://127.0.0.01/", "http://00000000177.0.0.1/"),
        *("http://8.8.8.08/", "http://01200034567/", "http://012.1.2.3/", "http://000:0:0000::01/"),
        *("http://[000:0:0000:0:0:0:0:01]/", "http://[::fFFf:127.0.0.1]/", "http://0177.0.0.1/", "http://0x7f.1/"),
        *("http://2852039166/", "http://0xA9FEA9FE/", "http://0251.0376.0251.0376/", "http://0xa9.0xfe.0xa9.0xfe/"),
        *("http://0251.254.169.254/", "http://425.510.425.510/", "http://7147006462/", "http://0/"),
        *("http://o177.0.0.1/", "http://0o177.0.0.1/", "http://q177.0.0.1/", "http://0000::1:80/"),
        *("http://[0:0:0:0:0:ffff:127.0.0.1]/", "http://[::ffff:0:a9fe:a9fe]/", "http://127.127.127.127/"),
        *(f"http://{'1' * 2000}/", f"http://0x{'f' * 1900}/"),
    ],
    "Orange Tsai, A New Era of SSRF (Black Hat 2017)": [
        *("http://127.1.1.1:80\\@127.2.2.2:80/", "http://127.1.1.1:80\\@@127.2.2.2:80/"),
        *("http://127.1.1.1:80:\\@@127.2.2.2:80/", "http://127.1.1.1:80#\\@127.2.2.2:80/"),
        *("http://1.1.1.1 &@2.2.2.2# @3.3.3.3/", "http://foo@127.0.0.1:80@google.com/", "http://google.com#@127.0.0.1/"),
        *("http://x\\@127.0.0.1/", "http://169.254.169.254:80@example.com/", "http://%31%32%37.0.0.1/"),
    ],
    "other schemes": [
        *("dict://127.0.0.1:11211/stat", "sftp://x/", "tftp://x/", "ldap://localhost/%0astats", "netdoc:///etc/passwd"),
        *("gopher://127.0.0.1:25/_x", "0://evil.com:80;http://google.com:80/", "file://\\/\\/etc/passwd", "s3://b/k"),
        *("php://filter", "blob:http://127.0.0.1/", "view-source:http://127.0.0.1/", "feed:http://127.0.0.1/"),
        *("HtTpS+unix://x/", "url:http://127.0.0.1/", "//127.0.0.1/", "http:127.0.0.1/", "http:/127.0.0.1/"),
        *("jar:http://x!/", "data:image/png;base64,AAAA", "//x", "http:///x"),
    ],
    "IDNA (HostSplit, Black Hat 2019): characters that normalise to / ? # @ . and letters": [
        *("http://evil.c\u2100.example.org/", "http://127.0.0.1\uff0f.example.org/", "http://a\uff20127.0.0.1/"),
        *("http://localhost\uff03.example.org/", "http://127\uff0e0\uff0e0\uff0e1/", "http://127\uff610\uff610\uff611/"),
        *("http://xn--127001-.org\u00ad/", "http://loc\u00adalhost/", "http://l\u200bocalhost/", "http://lo\u017fcalho\u017ft/"),
        *("http://\U0001d5c5\U0001d5c8calhost/", "http://\u0e51\u0e52\u0e57.0.0.1/", "http://127\u30020\u30020\u30021/"),
        *("http://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3/", "http://\u2460\u2461\u2466.0.0.1/"),
        "http://\uff10\uff11\uff12\uff17.0.0.1/",
    ],
    "names that are private by definition": [
        *("http://localhost./", "http://LOCALHOST../", "http://127.0.0.1./", "http://127.0.0.1../"),
        *("http://169.254.169.254./", "http://metadata.google.internal./", "http://Metadata.Google.Internal/"),
        *("http://instance-data/", "http://instance-data.ec2.internal/", "http://host.docker.internal/"),
        *("http://kubernetes.default.svc.cluster.local/", "http://ip6-localhost/", "http://169.254.169.254.xip.test/"),
        *("http://localhost.localdomain/", "http://sandbox.localdomain/"),  # no address: unknown to the resolver
    ],
    "ports and lengths": [
        *("http://photos.example.org:22/", "http://photos.example.org:6379/", "http://photos.example.org:80 /"),
        *("http://photos.example.org:8O/", "http://photos.example.org:080443/", "http://x:99999/"),
        *("http://127.0.0.1:9001/2018-06-01/runtime/invocation/next", "http://169.254.100.1:9001/"),
        *(f"http://photos.example.org/{'a' * 2049}", f"http://{'a' * 3000}.org/", f"http://{'a' * 6_000_000}.org/"),
        *(f"http://photos.example.org:{'8' * 1500}/", "http://photos.example.org:8_0/"),
        "http://photos.example.org: 80/",
    ],
}  # fmt: skip


@pytest.mark.parametrize("python", ["this", "older"])
@pytest.mark.parametrize("family", URLS)
def test_a_hostile_url_is_refused_before_any_connection(
    internet: Internet, monkeypatch: pytest.MonkeyPatch, family: str, python: str
) -> None:
    if python == "older":  # the checks that urlsplit got in 3.11.4 and later
        for check in ("_check_bracketed_host", "_check_bracketed_netloc"):
            monkeypatch.setattr(f"urllib.parse.{check}", lambda text: None, raising=False)
    for url in URLS[family]:
        with pytest.raises(Problem) as caught:
            internet.fetch(url)
        assert caught.value.status in (400, 403, 422), url
        assert caught.value.status != 422 or internet.resolved.pop() in url
        assert internet.connected == []
        assert internet.resolved == []


# Servers

JPEG = b"\xff\xd8\xff" + b"x" * 1000
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def dripped(connection: socket.socket, data: bytes) -> None:
    for position in range(len(data)):
        connection.sendall(data[position : position + 1])
        time.sleep(0.05)


def hang(connection: socket.socket) -> None:
    connection.settimeout(20)
    while connection.recv(1024):
        pass


def head(*lines: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode()


def then(start: bytes, piece: bytes = b"") -> Script:
    """Send a start, and then one piece for ever; no piece hangs."""

    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(start)
        while piece:
            connection.sendall(piece)
        hang(connection)

    return script


def slowly(start: bytes, rest: bytes) -> Script:
    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(start)
        dripped(connection, rest)

    return script


def hints_slowly(connection: socket.socket, _: bytes) -> None:
    for _number in range(100):
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        time.sleep(0.05)


def redirects_and_hangs(connection: socket.socket, request: bytes) -> None:
    if request.startswith(b"GET /dog.jpg"):
        connection.sendall(b"HTTP/1.1 302 F\r\nLocation: /2\r\nContent-Length: 0\r\n\r\n")
    else:
        hang(connection)


LATE_SERVERS: dict[str, Script] = {
    "drips a status line": slowly(b"", head("X: " + "a" * 200)),
    "drips a header": slowly(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 200),
    "drips the size of a chunk": slowly(CHUNKED, b"0" * 200),
    "drips interim responses": hints_slowly,
    "stops within the body": then(head("Content-Length: 90000") + b"x" * 50_000),
    "hangs behind a redirect": redirects_and_hangs,
}


@pytest.mark.parametrize("server", LATE_SERVERS.values(), ids=LATE_SERVERS)
def test_a_slow_server_does_not_outlast_the_deadline(internet: Internet, serve: Serve, server: Script) -> None:
    internet.server = serve(server)
    started = time.monotonic()
    with pytest.raises(Problem) as caught:
        internet.fetch(URL, timeout=DEADLINE)
    assert caught.value.status == 504
    assert time.monotonic() - started < DEADLINE + LATE


def redirect(location: str, status: str = "302 F") -> bytes:
    return f"HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def body(content: bytes, *lines: str) -> bytes:
    return head(f"Content-Length: {len(content)}", *lines) + content


BOMB = gzip.compress(b"\0" * 10**7)

REFUSED_SERVERS: dict[str, tuple[Script | bytes, set[int]]] = {
    "endless headers": (then(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 60_000 + b"\r\n"), {502}),
    "a header line without end": (then(b"HTTP/1.1 200 OK\r\nX: ", b"a" * 65_536), {502}),
    "98 headers of 60 KB": (
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %b\r\n" % (i, b"a" * 60_000) for i in range(98)) + b"\r\n",
        {502},
    ),
    "endless chunk extensions": (then(CHUNKED + b"1;", b"a" * 65_536), {502}),
    "endless trailers": (then(CHUNKED + b"3\r\nabc\r\n0\r\n", b"X: " + b"a" * 60_000 + b"\r\n"), {502}),
    "a chunk size of 60,000 digits": (CHUNKED + b"f" * 60_000 + b"\r\nxxxxx\r\n0\r\n\r\n", {502, 413}),
    "a redirect to file:": (redirect("file:///proc/self/environ"), {422}),
    "a redirect to gopher:": (redirect("gopher://127.0.0.1:25/_x"), {422}),
    "a redirect to Lambda's runtime": (redirect("http://photos.example.org:9001/2018-06-01/runtime/"), {422}),
    "a redirect that is folded": (redirect("http://127.0.0.1/\r\n X-Injected: 1"), {422, 403}),
    "a redirect with a user": (redirect("http://photos.example.org@169.254.169.254/"), {422}),
    "a redirect of 1 MB": (redirect("/" + "a" * 1_000_000), {422, 502}),
    "a redirect of 2 KB": (redirect("/" + "a" * 2_048), {422}),
    "two redirects": (redirect("/ok\r\nLocation: http://127.0.0.1/"), {422, 403, 502}),
    "300 to a private address": (redirect("http://127.0.0.1/", "300 M"), {502, 422}),
    "a bomb": (body(BOMB, "Content-Encoding: gzip"), {502}),
    "a bomb as a transfer coding": (head("Transfer-Encoding: gzip, chunked") + BOMB, {502}),
    "10^12 bytes": (head("Content-Length: 1000000000000"), {413}),
    "a length of 5,000 digits": (head("Content-Length: " + "9" * 5_000), {502, 413}),
    "the preface of HTTP/2": (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\0" * 18, {502}),
    "HTTP/9.9": (b"HTTP/9.9 200 OK\r\n\r\n" + JPEG, {502}),
    "a status line of 60 KB": (b"XXXX/1.1 " + b"secret" * 10_000 + b"\r\n\r\n", {502}),
    "a 404 with a photo": (body(JPEG).replace(b"200 OK", b"404 N"), {422}),
    "a 206 with a photo": (body(JPEG).replace(b"200 OK", b"206 P"), {502}),
    "one byte too many": (body(b"\xff\xd8\xff" + b"x" * 99_998), {413}),
    "a switch of protocols": (b"HTTP/1.1 101 S\r\n\r\n" + body(JPEG), {502}),
}


@pytest.mark.parametrize(("server", "statuses"), REFUSED_SERVERS.values(), ids=REFUSED_SERVERS)
def test_a_hostile_server_gets_a_problem(
    internet: Internet, serve: Serve, server: Script | bytes, statuses: set[int]
) -> None:
    internet.server = serve(server)
    with pytest.raises(Problem) as caught:
        internet.fetch(URL)
    assert caught.value.status in statuses
    assert {address for address, _ in internet.connected} == {PUBLIC}
    assert not any(secret in caught.value.detail for secret in ("SECRET", "secret", "127.0.0.1", PUBLIC))
    assert "SECRET" not in str(caught.value.reason)


# What a server may do without harm: the photo is what one reader of HTTP would take it for.
HARMLESS = {
    "HTTP/1.0 without a length": b"HTTP/1.0 200 OK\r\n\r\n" + JPEG,
    "chunks and a length": head("Content-Length: 5", "Transfer-Encoding: chunked")
    + b"3eb\r\n" + JPEG + b"\r\n0\r\n\r\n",
    "a header with a NUL": head("\0\0\0: a", f"Content-Length: {len(JPEG)}") + JPEG,
    "hints, then the photo": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + body(JPEG),
    "a Refresh header": body(JPEG, "Refresh: 0; url=http://127.0.0.1/"),
}  # fmt: skip


@pytest.mark.parametrize("answer", HARMLESS.values(), ids=HARMLESS)
def test_an_odd_server_gives_its_photo_and_leads_nowhere_else(internet: Internet, serve: Serve, answer: bytes) -> None:
    internet.server = serve(answer)
    assert internet.fetch() == JPEG
    assert internet.connected == [(PUBLIC, 80)]


def test_a_bomb_behind_a_second_coding_is_not_inflated(internet: Internet, serve: Serve) -> None:
    internet.server = serve(body(BOMB, "Content-Encoding: identity", "Content-Encoding: gzip"))
    assert internet.fetch() == BOMB


# TLS and DNS


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_that_is_odd_is_an_upstream_fault(
    internet: Internet, serve: Serve, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    def context(ca: trustme.CA, name: str, **options: Any) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(name, **options).configure_cert(made)
        return made

    expired = {"not_before": datetime(2019, 1, 1, tzinfo=UTC), "not_after": datetime(2020, 1, 1, tzinfo=UTC)}
    old = context(authority, "photos.example.org")
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    internet.tls = trusting
    for server in (
        serve(body(JPEG), context(authority, "*.photos.example.org")),
        serve(body(JPEG), context(trustme.CA(), "photos.example.org")),
        serve(body(JPEG), context(authority, "photos.example.org", **expired)),
        serve(body(JPEG), old),
        serve(b"\x15\x03\x03\x00\x02\x02\x28", reads=False),  # an alert
        serve(b"", reads=False),
    ):
        internet.server = server
        with pytest.raises(Problem) as caught:
            internet.fetch("https://photos.example.org/dog.jpg")
        assert caught.value.status == 502
        assert not any(server.requests)


def test_a_resolver_that_fails_oddly_is_an_upstream_fault() -> None:
    def resolve(host: str) -> list[str]:
        raise UnicodeError("label empty or too long")

    with pytest.raises(Problem) as caught:
        fetch(URL, Deadline(20), max_bytes=10, resolve=resolve)
    assert caught.value.status == 502


def test_the_last_of_4000_addresses_counts(internet: Internet) -> None:
    internet.names["photos.example.org"] = [
        *(f"93.{a}.{b}.1" for a, b in itertools.product(range(16), range(250))),
        "10.0.0.1",
    ]
    with pytest.raises(Problem) as caught:
        internet.fetch()
    assert caught.value.status == 403
    assert internet.connected == []
