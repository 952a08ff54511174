"""The fetch against real servers on 127.0.0.1. A refused fetch raises; a deadline that did not hold would return."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from typing import TYPE_CHECKING

import pytest

from lambda_src.predict.common.deadline import Deadline
from lambda_src.predict.common.problem import Problem
from lambda_src.predict.fetch.connection import connect_tcp
from lambda_src.predict.fetch.fetch import MAX_REDIRECTS, fetch, resolve_host

if TYPE_CHECKING:
    from tests.lambda_src.predict.conftest import Internet, Server

    Serve = Callable[..., Server]
    Reply = Callable[..., bytes]
    Drip = Callable[[socket.socket, bytes], None]
    Certify = Callable[[str], ssl.SSLContext]

PUBLIC = "93.184.215.14"
DEADLINE = 0.4


def refused(internet: Internet, url: str = "http://photos.example.org/dog.jpg", **options: float) -> Problem:
    with pytest.raises(Problem) as caught:
        internet.fetch(url, **options)  # type: ignore[arg-type]
    return caught.value


# What a well-behaved host gets


def test_a_photo_comes_back_byte_for_byte(internet: Internet, serve: Serve, reply: Reply, jpeg: bytes) -> None:
    internet.server = serve(reply())
    assert internet.fetch() == jpeg


def test_the_request_says_what_it_wants_and_to_whom(internet: Internet, serve: Serve, reply: Reply) -> None:
    internet.server = serve(reply())
    internet.fetch("http://Photos.Example.org:443/a b.jpg?key=1#part")
    lines = internet.server.requests[0].decode().split("\r\n")
    assert lines[0] == "GET /a%20b.jpg?key=1 HTTP/1.1"
    assert {"Host: photos.example.org:443", "Accept-Encoding: identity", "Connection: close"} <= set(lines)
    assert not [line for line in lines if line.lower().startswith(("authorization", "cookie", "referer"))]


def test_the_connection_goes_to_the_checked_address_and_the_name_is_resolved_once(
    internet: Internet, serve: Serve, reply: Reply
) -> None:
    internet.server = serve(reply())
    internet.fetch()
    assert internet.connected == [(PUBLIC, 80)]
    assert internet.resolved == ["photos.example.org"]


def test_an_address_in_the_url_is_not_resolved(internet: Internet, serve: Serve, reply: Reply) -> None:
    internet.server = serve(reply())
    internet.fetch("http://[2606:4700::1111]/dog.jpg")
    assert internet.connected == [("2606:4700::1111", 80)]
    assert internet.resolved == []
    assert b"Host: [2606:4700::1111]\r\n" in internet.server.requests[0]


def test_the_next_address_is_tried_when_one_refuses(
    internet: Internet, serve: Serve, reply: Reply, jpeg: bytes
) -> None:
    internet.names["photos.example.org"] = ["2606:4700::1111", PUBLIC]
    internet.unreachable = {"2606:4700::1111"}
    internet.server = serve(reply())
    assert internet.fetch() == jpeg
    assert internet.connected == [("2606:4700::1111", 80), (PUBLIC, 80)]


def test_no_more_than_four_addresses_are_tried(internet: Internet) -> None:
    addresses = [f"93.184.215.{number}" for number in range(1, 10)]
    internet.names["photos.example.org"] = addresses
    internet.unreachable = set(addresses)
    assert refused(internet).status == 502
    assert [address for address, _ in internet.connected] == addresses[:4]


def test_a_chunked_body_is_put_together(internet: Internet, serve: Serve, reply: Reply, jpeg: bytes) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (jpeg[:100], jpeg[100:]))
    internet.server = serve(reply(chunks + b"0\r\n\r\n", Content_Length=None, Transfer_Encoding="chunked"))
    assert internet.fetch() == jpeg


def test_a_body_may_end_with_the_connection(internet: Internet, serve: Serve, reply: Reply, jpeg: bytes) -> None:
    internet.server = serve(reply(Content_Length=None))
    assert internet.fetch() == jpeg


def test_a_photo_of_exactly_the_limit_is_taken(internet: Internet, serve: Serve, reply: Reply, jpeg: bytes) -> None:
    internet.server = serve(reply())
    assert internet.fetch(max_bytes=len(jpeg)) == jpeg


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints", "199 Odd"])
@pytest.mark.parametrize("times", [1, 3])
def test_an_interim_response_is_passed_over(
    internet: Internet, serve: Serve, reply: Reply, jpeg: bytes, status: str, times: int
) -> None:
    interim = f"HTTP/1.1 {status}\r\nLink: </a.css>\r\n\r\n".encode()
    internet.server = serve(interim * times + reply())
    assert internet.fetch() == jpeg


def test_an_interim_response_alone_is_no_answer(internet: Internet, serve: Serve) -> None:
    internet.server = serve(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n\xff\xd8\xffab")
    assert refused(internet).status == 502


def test_proxies_in_the_environment_are_not_used(
    internet: Internet, serve: Serve, reply: Reply, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(reply(b"from the proxy"))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    internet.server = serve(reply())
    assert internet.fetch() == jpeg
    assert proxy.requests == []


# Names and addresses


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["fd00:ec2::254"],
        ["::ffff:169.254.169.254"],
        ["64:ff9b::a9fe:a9fe"],
        ["fe80::1%eth0"],
        [PUBLIC, "10.0.0.1"],
        ["10.0.0.1", PUBLIC],
        [PUBLIC, PUBLIC, PUBLIC, PUBLIC, "127.0.0.1"],
        ["not an address"],
    ],
    ids=str,
)
def test_a_name_with_any_address_that_is_not_public_is_refused(internet: Internet, addresses: list[str]) -> None:
    internet.names["photos.example.org"] = addresses
    problem = refused(internet)
    assert problem.status == 403
    assert internet.connected == []
    assert not any(address in problem.detail for address in addresses)


@pytest.mark.parametrize("addresses", [None, []])
def test_an_unknown_name_is_the_callers_fault(internet: Internet, addresses: list[str] | None) -> None:
    internet.names = {} if addresses is None else {"photos.example.org": addresses}
    assert refused(internet).status == 422


def test_a_failing_resolver_is_an_upstream_fault() -> None:
    def resolve(host: str) -> list[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with pytest.raises(Problem) as caught:
        fetch("http://photos.example.org/", Deadline(20), max_bytes=10, resolve=resolve)
    assert caught.value.status == 502


def test_what_the_real_resolver_finds_is_checked_too() -> None:
    """No fakes: the system itself resolves this literal, and nothing is connected to."""
    with pytest.raises(Problem) as caught:
        fetch("http://127.0.0.1/", Deadline(20), max_bytes=10)
    assert caught.value.status == 403


def test_the_real_resolver_returns_plain_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2606:4700::1111", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC, 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: found)
    assert resolve_host("photos.example.org") == ["2606:4700::1111", PUBLIC]


def test_the_real_connector_opens_a_connection(serve: Serve, reply: Reply) -> None:
    server = serve(reply())
    with connect_tcp("127.0.0.1", server.port, 20) as connection:
        assert connection.getpeername() == ("127.0.0.1", server.port)


# Redirects


def redirect(reply: Reply, location: str, status: str = "302 Found") -> bytes:
    return reply(b"", status, Location=location)


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
def test_redirects_are_followed_and_resolved_anew(
    internet: Internet, serve: Serve, reply: Reply, jpeg: bytes, status: str
) -> None:
    def script(connection: socket.socket, head: bytes) -> None:
        moved = head.startswith(b"GET /dog.jpg ")
        connection.sendall(redirect(reply, "http://cdn.example.org/b.jpg", status) if moved else reply())

    internet.names["cdn.example.org"] = ["52.95.110.1"]
    internet.server = serve(script)
    assert internet.fetch() == jpeg
    assert internet.connected == [(PUBLIC, 80), ("52.95.110.1", 80)]
    assert b"Host: cdn.example.org\r\n" in internet.server.requests[1]


@pytest.mark.parametrize(
    ("location", "status"),
    [
        ("http://127.0.0.1/", 403),
        ("http://169.254.169.254/latest/meta-data/", 403),
        ("//169.254.169.254/", 403),
        ("http://[::1]/", 403),
        ("http://[::ffff:127.0.0.1]/", 403),
        ("http://localhost/", 403),
        ("http://rebound.example.org/", 403),
        ("http://2130706433/", 422),
        ("http://photos.example.org:22/", 422),
        ("http://user@photos.example.org/", 422),
        ("file:///etc/passwd", 422),
        ("ftp://photos.example.org/", 422),
        ("http://[::/", 422),
        ("", 422),
    ],
)
def test_a_redirect_to_anything_forbidden_is_refused(
    internet: Internet, serve: Serve, reply: Reply, location: str, status: int
) -> None:
    internet.names["rebound.example.org"] = ["127.0.0.1"]
    internet.server = serve(redirect(reply, location))
    assert refused(internet).status == status
    assert {address for address, _ in internet.connected} == {PUBLIC}


def test_a_name_that_is_rebound_between_redirects_is_refused(internet: Internet, serve: Serve, reply: Reply) -> None:
    def script(connection: socket.socket, _: bytes) -> None:
        internet.names["photos.example.org"] = ["127.0.0.1"]
        connection.sendall(redirect(reply, "/again"))

    internet.server = serve(script)
    assert refused(internet).status == 403
    assert internet.connected == [(PUBLIC, 80)]


def test_a_redirect_loop_ends(internet: Internet, serve: Serve, reply: Reply) -> None:
    internet.server = serve(redirect(reply, "/dog.jpg"))
    assert refused(internet).status == 422
    assert len(internet.connected) == MAX_REDIRECTS + 1


def test_a_redirect_without_location_is_an_upstream_fault(internet: Internet, serve: Serve, reply: Reply) -> None:
    internet.server = serve(reply(b"", "302 Found"))
    assert refused(internet).status == 502


# What the remote host answers


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        *(("404 Not Found", 422), ("403 Forbidden", 422), ("401 U", 422), ("410 Gone", 422), ("429 T", 422)),
        *(("408 Request Timeout", 504), ("504 Gateway Timeout", 504)),
        *(("500 Broken", 502), ("503 Busy", 502), ("204 No Content", 502), ("206 Partial", 502), ("304 N", 502)),
        *(("999 Odd", 502), ("101 Switching Protocols", 502)),
    ],
)
def test_anything_but_200_is_named_and_sorted(
    internet: Internet, serve: Serve, reply: Reply, answer: str, status: int
) -> None:
    internet.server = serve(reply(b"", answer))
    problem = refused(internet)
    assert problem.status == status
    assert answer[:3] in problem.detail


@pytest.mark.parametrize(
    ("sent", "told"),
    [("7", "7"), (" 7 ", "7"), ("0", "0"), *((value, None) for value in ("-1", "x", "", "1.5", "9" * 6))],
)
def test_the_wait_that_a_host_asks_for_is_passed_on(
    internet: Internet, serve: Serve, reply: Reply, sent: str, told: str | None
) -> None:
    for status in ("429 Too Many Requests", "503 Busy"):
        internet.server = serve(reply(b"", status, Retry_After=sent))
        assert refused(internet).headers.get("Retry-After") == told


MALFORMED = {
    "nothing at all": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/0.9": b"\xff\xd8\xff\xe0 a photo without a status line\r\n\r\n",
    "another HTTP": b"HTTP/2.0 200 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "half a status line": b"HTTP/1.1 20",
    "an endless line": b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70_000,
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n",
    "endless interim responses": b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
    "endless early hints": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20_000,
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nphoto",
    "a length in words": b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nphoto",
    "a length with an underscore": b"HTTP/1.1 200 OK\r\nContent-Length: 0_5\r\n\r\nphoto",
    "a length with a sign": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nphoto",
    "a length in superscript": b"HTTP/1.1 200 OK\r\nContent-Length: \xb25\r\n\r\nphoto",
    "a length of a thousand digits": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 1000 + b"\r\n\r\nphoto",
    "an empty length": b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nphoto",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nphoto!",
    "a length longer than the body": b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nphoto",
    "an unknown transfer coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nphoto\r\n0\r\n\r\n",
    "two transfer codings": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n"
    b"5\r\nphoto\r\n0\r\n\r\n",
    "a chunk without size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nphoto\r\n0\r\n\r\n",
    "a negative chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nphoto\r\n0\r\n\r\n",
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nphoto",
    "chunks without an end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nphoto\r\n",
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED)
def test_malformed_answers_are_upstream_faults(internet: Internet, serve: Serve, answer: bytes) -> None:
    internet.server = serve(answer)
    assert refused(internet).status == 502


def test_the_same_length_twice_is_one_length(internet: Internet, serve: Serve, jpeg: bytes) -> None:
    length = b"Content-Length: %d\r\n" % len(jpeg)
    internet.server = serve(b"HTTP/1.1 200 OK\r\n" + length * 2 + b"\r\n" + jpeg)
    assert internet.fetch() == jpeg


def test_bytes_after_the_announced_length_are_left_out(
    internet: Internet, serve: Serve, reply: Reply, jpeg: bytes
) -> None:
    internet.server = serve(reply(jpeg + b"more", Content_Length=len(jpeg)))
    assert internet.fetch() == jpeg


def test_a_compressed_body_is_refused_and_never_inflated(
    internet: Internet, serve: Serve, reply: Reply, jpeg: bytes
) -> None:
    internet.server = serve(reply(gzip.compress(jpeg), Content_Encoding="gzip"))
    assert refused(internet).status == 502


def test_a_refused_connection_is_an_upstream_fault(internet: Internet) -> None:
    internet.unreachable = {PUBLIC}
    assert refused(internet).status == 502


def test_a_connection_that_is_reset_is_an_upstream_fault(internet: Internet, serve: Serve) -> None:
    def script(connection: socket.socket, _: bytes) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    internet.server = serve(script)
    assert refused(internet).status == 502


# Size


def endless(start: bytes, piece: bytes) -> Callable[[socket.socket, bytes], None]:
    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)

    return script


def test_an_announced_size_over_the_limit_is_refused_unread(internet: Internet, serve: Serve, reply: Reply) -> None:
    internet.server = serve(reply(b"", Content_Length=100_001))
    assert refused(internet).status == 413


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n\xff\xd8\xff", b"\0" * 65536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"\0" * 4096 + b"\r\n"),
    ],
    ids=["raw", "chunked"],
)
def test_an_endless_body_is_cut_at_the_limit(internet: Internet, serve: Serve, start: bytes, piece: bytes) -> None:
    internet.server = serve(endless(start, piece))
    assert refused(internet).status == 413


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 1000 + b"\r\n\0\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    ],
    ids=["chunk extensions", "trailers", "interim responses"],
)
def test_endless_framing_is_cut_too(internet: Internet, serve: Serve, start: bytes, piece: bytes) -> None:
    internet.server = serve(endless(start, piece))
    assert refused(internet).status == 502


# The deadline: each of these servers would deliver a photo in the end, and no single pause is long.


def test_dripping_headers_do_not_outlast_the_deadline(
    internet: Internet, serve: Serve, reply: Reply, drip: Drip
) -> None:
    answer = reply(X_Padding="a" * 200)
    internet.server = serve(lambda connection, _: drip(connection, answer))
    assert refused(internet, timeout=DEADLINE).status == 504


def test_a_dripping_body_does_not_outlast_the_deadline(
    internet: Internet, serve: Serve, reply: Reply, drip: Drip, jpeg: bytes
) -> None:
    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(reply(b"", Content_Length=200))
        drip(connection, jpeg[:200])

    internet.server = serve(script)
    assert refused(internet, timeout=DEADLINE).status == 504


def test_dripping_chunks_do_not_outlast_the_deadline(internet: Internet, serve: Serve, drip: Drip) -> None:
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 30 + b"0\r\n\r\n"
    internet.server = serve(lambda connection, _: drip(connection, chunks))
    assert refused(internet, timeout=DEADLINE).status == 504


def test_a_silent_host_does_not_outlast_the_deadline(internet: Internet, serve: Serve, reply: Reply) -> None:
    def script(connection: socket.socket, _: bytes) -> None:
        time.sleep(10)
        connection.sendall(reply())

    internet.server = serve(script)
    assert refused(internet, timeout=DEADLINE).status == 504


def test_redirects_share_one_deadline(internet: Internet, serve: Serve, reply: Reply) -> None:
    def script(connection: socket.socket, head: bytes) -> None:
        time.sleep(1.3)
        connection.sendall(redirect(reply, "/2") if head.startswith(b"GET /dog.jpg ") else reply())

    internet.server = serve(script)
    assert refused(internet, timeout=2).status == 504
    assert len(internet.connected) == 2


def test_a_hanging_look_up_does_not_outlast_the_deadline(serve: Serve) -> None:
    release = threading.Event()

    def resolve(host: str) -> list[str]:
        release.wait(10)
        return ["127.0.0.1"]

    with pytest.raises(Problem) as caught:
        fetch("http://photos.example.org/", Deadline(DEADLINE), max_bytes=10, resolve=resolve)
    release.set()
    assert caught.value.status == 504


def test_a_hanging_connection_does_not_outlast_the_deadline() -> None:
    waits: list[float] = []

    def connect(address: str, port: int, timeout: float) -> socket.socket:
        waits.append(timeout)
        raise TimeoutError("timed out")

    with pytest.raises(Problem) as caught:
        fetch(
            "http://photos.example.org/",
            Deadline(9),
            max_bytes=10,
            resolve=lambda host: [PUBLIC, "93.184.215.15", "93.184.215.16"],
            connect=connect,
        )
    assert caught.value.status == 504
    assert waits[0] <= 3  # so that one dead address leaves time for the others
    assert all(wait <= 9 for wait in waits)


def test_a_dripping_tls_handshake_does_not_outlast_the_deadline(
    internet: Internet, serve: Serve, drip: Drip, trusting: ssl.SSLContext
) -> None:
    # The start of a ServerHello record of 16 KB: OpenSSL waits for all of it.
    internet.server = serve(
        lambda connection, _: drip(connection, b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + b"\0" * 200), reads=False
    )
    internet.tls = trusting
    assert refused(internet, "https://photos.example.org/dog.jpg", timeout=DEADLINE).status == 504


def test_a_body_that_drips_through_tls_does_not_outlast_the_deadline(
    internet: Internet, serve: Serve, reply: Reply, drip: Drip, trusting: ssl.SSLContext, certified: Certify
) -> None:
    internet.server = serve(lambda connection, _: drip(connection, reply()[:300]), certified("photos.example.org"))
    internet.tls = trusting
    assert refused(internet, "https://photos.example.org/dog.jpg", timeout=2).status == 504


# TLS


def test_a_certificate_for_the_name_is_accepted_and_the_name_is_sent(
    internet: Internet, serve: Serve, reply: Reply, jpeg: bytes, trusting: ssl.SSLContext, certified: Certify
) -> None:
    names: list[str | None] = []
    context = certified("photos.example.org")
    context.sni_callback = lambda _, name, __: names.append(name)
    internet.server = serve(reply(), context)
    internet.tls = trusting
    assert internet.fetch("https://photos.example.org/dog.jpg") == jpeg
    assert names == ["photos.example.org"]
    assert internet.connected == [(PUBLIC, 443)]
    assert b"Host: photos.example.org\r\n" in internet.server.requests[0]


def test_a_certificate_for_an_address_is_accepted_for_it(
    internet: Internet, serve: Serve, reply: Reply, jpeg: bytes, trusting: ssl.SSLContext, certified: Certify
) -> None:
    internet.server = serve(reply(), certified(PUBLIC))
    internet.tls = trusting
    assert internet.fetch(f"https://{PUBLIC}/dog.jpg") == jpeg


@pytest.mark.parametrize("name", ["other.example.org", "example.org", PUBLIC, "127.0.0.1"])
def test_a_certificate_for_another_name_is_refused(
    internet: Internet, serve: Serve, reply: Reply, trusting: ssl.SSLContext, certified: Certify, name: str
) -> None:
    internet.server = serve(reply(), certified(name))
    internet.tls = trusting
    problem = refused(internet, "https://photos.example.org/dog.jpg")
    assert problem.status == 502
    assert "certificate" in problem.detail
    assert internet.server.requests == []


def test_an_unknown_authority_is_refused_by_default(
    internet: Internet, serve: Serve, reply: Reply, certified: Certify
) -> None:
    internet.server = serve(reply(), certified("photos.example.org"))
    assert "certificate" in refused(internet, "https://photos.example.org/dog.jpg").detail
    assert internet.server.requests == []


def test_a_host_that_does_not_speak_tls_is_an_upstream_fault(
    internet: Internet, serve: Serve, reply: Reply, trusting: ssl.SSLContext
) -> None:
    internet.server = serve(reply(), reads=False)
    internet.tls = trusting
    assert refused(internet, "https://photos.example.org/dog.jpg").status == 502


def cut(connection: socket.socket, answer: bytes) -> None:
    """Answer, and end the TCP connection without the end of TLS (close_notify)."""
    connection.sendall(answer)
    socket.socket(fileno=connection.detach()).close()


def test_a_tls_stream_that_is_cut_is_no_photo(
    internet: Internet, serve: Serve, reply: Reply, trusting: ssl.SSLContext, certified: Certify
) -> None:
    internet.server = serve(
        lambda connection, _: cut(connection, reply(Content_Length=None)), certified("photos.example.org")
    )
    internet.tls = trusting
    assert refused(internet, "https://photos.example.org/dog.jpg").status == 502


def test_a_tls_stream_may_end_with_close_notify_or_be_cut_after_its_length(
    internet: Internet, serve: Serve, reply: Reply, jpeg: bytes, trusting: ssl.SSLContext, certified: Certify
) -> None:
    def ended(connection: socket.socket, _: bytes) -> None:
        connection.sendall(reply(Content_Length=None))
        assert isinstance(connection, ssl.SSLSocket)
        connection.unwrap()

    internet.tls = trusting
    for script in (ended, lambda connection, _: cut(connection, reply())):
        internet.server = serve(script, certified("photos.example.org"))
        assert internet.fetch("https://photos.example.org/dog.jpg") == jpeg


def test_a_redirect_from_https_to_http_is_refused(
    internet: Internet, serve: Serve, reply: Reply, trusting: ssl.SSLContext, certified: Certify
) -> None:
    internet.server = serve(redirect(reply, "http://photos.example.org/dog.jpg"), certified("photos.example.org"))
    internet.tls = trusting
    assert refused(internet, "https://photos.example.org/dog.jpg").status == 422
    assert internet.connected == [(PUBLIC, 443)]


def test_problems_never_repeat_the_url(internet: Internet, serve: Serve, reply: Reply) -> None:
    internet.server = serve(reply(b"", "404 Not Found"))
    problem = refused(internet, "http://photos.example.org/secret-path.jpg?key=secret-key")
    assert "secret" not in f"{problem.detail} {problem.reason} {problem.__cause__}"


def test_connections_are_closed_after_a_refusal(internet: Internet, serve: Serve) -> None:
    closed = threading.Event()

    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")
        with suppress(OSError, HTTPException):
            while connection.recv(1024):
                pass
        closed.set()

    internet.server = serve(script)
    assert refused(internet).status == 413
    assert closed.wait(20)
