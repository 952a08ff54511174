from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from lambda_src.predict.common.problem import Problem
from lambda_src.predict.fetch.url import MAX_URL_LENGTH, Url

if TYPE_CHECKING:
    from tests.lambda_src.predict.conftest import Internet

# What glibc and curl read as an address, and what parsers disagree on. None may reach a connection.
FORBIDDEN = {
    400: [
        *("", " ", "/", "//", "dog.jpg", "photos.example.org/dog.jpg", "http:", "http:/", "http://", "http:///a"),
        *("https://", "http://?a", "http://#a", "http://:80/", "http://./", "http://../", "http://.a.org/"),
        *("file:///etc/passwd", "ftp://photos.example.org/", "gopher://photos.example.org/", "data:image/png,x"),
        *("javascript:alert(1)", "unix:///var/run/docker.sock", "jar:http://photos.example.org/"),
        *("http+unix://photos.example.org/", "ws://photos.example.org/", "HTTPX://photos.example.org/"),
        *("http://[::/", "http://[::1", "http://::1/", "http://[]/", "http://[1.2.3.4]/", "http://[v1.a]/"),
        *("http://[::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[2606:4700::1%25x]/", "http://a]b/"),
        *("http://2130706433/", "http://134744072/", "http://0x7f000001/", "http://0x08080808/"),
        *("http://017700000001/", "http://0177.0.0.1/", "http://0x7f.0.0.1/", "http://0x7F.1/", "http://127.1/"),
        *("http://127.0.1/", "http://0/", "http://0x/", "http://1.2.3/", "http://1.2.3.4.5/", "http://8.8.8.256/"),
        *("http://008.8.8.8/", "http://8.8.8.8../", "http://-1.2.3.4/", "http://4294967296/", "http://1.0x7f/"),
        *("http://user@photos.example.org/", "http://user:key@photos.example.org/", "http://@photos.example.org/"),
        *("http://photos.example.org@127.0.0.1/", "http://127.0.0.1:80@photos.example.org/", "http://a@b@c.org/"),
        *("http://photos.example.org\\@127.0.0.1/", "http:\\\\127.0.0.1\\", "http://127.0.0.1\\.example.org/"),
        *("http://photos.example.org:22/", "http://photos.example.org:8080/", "http://photos.example.org:0/"),
        *("http://photos.example.org:65536/", "http://photos.example.org:-80/", "http://photos.example.org:a/"),
        *(
            "http://photos.example.org:80:80/",
            "http://photos.example.org:\uff18\uff10/",
            "http://photos.example.org:+80/",
        ),
        *(
            "http://\uff11\uff12\uff17.0.0.1/",
            "http://127\u30020\u30020\u30021/",
            "http://\u24dbocalhost/",
            "http://\uff4cocalhost/",
            "http://fußball.org/",
        ),
        *("http://\u212aennel.org/", "http://photos.example.org\u2044@127.0.0.1/", "http://a\u3002org/"),
        *("http://photos.exa mple.org/", "http://photos.example.org%2f@127.0.0.1/", "http://127%2e0.0.1/"),
        *("http://photos.example.org/\r\nHost: a", "http://photos.exa\nmple.org/", "ht\ttp://photos.example.org/"),
        *("http://photos.example.org/\x00", "\x00http://photos.example.org/", "http://photos.example.org/\x7f"),
        *("http://photos.example.org/\ud800", "http://*.example.org/", "http://a..org/", "http://-a.org/"),
        *(f"http://{'a' * 64}.org/", f"http://{'a.' * 127}org/", f"http://a.org/{'a' * MAX_URL_LENGTH}"),
    ],
    403: [
        *("http://localhost/", "http://LOCALHOST/", "http://localhost./", "http://app.localhost/", "http://db/"),
        *("http://localhost:80/", "http://metadata/", "http://metadata.google.internal/", "http://a.local/"),
        *("http://instance-data.ec2.internal/", "http://router.home.arpa/", "http://a.onion/", "http://a.test/"),
        *("http://127.0.0.1/", "http://127.0.0.1./", "https://127.0.0.1:80/", "http://169.254.169.254/latest/"),
        *("http://169.254.170.2/v2/credentials", "http://100.64.0.1/", "http://10.0.0.1/", "http://172.16.0.1/"),
        *("http://192.168.1.1/", "http://0.0.0.0/", "http://255.255.255.255/", "http://224.0.0.1/"),
        *("http://198.18.0.1/", "http://192.0.2.1/", "http://240.0.0.1/", "http://192.88.99.1/"),
        *("http://[::]/", "http://[::1]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:127.0.0.1]/"),
        *("http://[::ffff:a9fe:a9fe]/", "http://[::ffff:8.8.8.8]/", "http://[::127.0.0.1]/", "http://[fe80::1]/"),
        *("http://[fd00:ec2::254]/", "http://[64:ff9b::169.254.169.254]/", "http://[2002:7f00:1::]/"),
        *("http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/", "http://[2001:db8::1]/", "http://[ff02::1]/"),
    ],
}


@pytest.mark.parametrize(
    ("status", "url"), [(status, url) for status, urls in FORBIDDEN.items() for url in urls], ids=ascii
)
def test_forbidden_urls_are_refused_before_any_connection(internet: Internet, status: int, url: str) -> None:
    with pytest.raises(Problem) as caught:
        internet.fetch(url)
    assert caught.value.status == status
    assert internet.connected == []
    assert internet.resolved == []


def test_forms_that_the_system_reads_as_an_address_are_among_the_refused() -> None:
    # The table above means something only while the C library does accept such forms.
    assert socket.inet_aton("127.1") == socket.inet_aton("0x7f000001") == socket.inet_aton("127.0.0.1")


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("http://photos.example.org", "http://photos.example.org/"),
        ("HTTPS://Photos.Example.ORG./Dog.jpg", "https://photos.example.org/Dog.jpg"),
        (" https://photos.example.org/a b.jpg ", "https://photos.example.org/a%20b.jpg"),
        ("https://photos.example.org/käse.jpg?x=ü#part", "https://photos.example.org/k%C3%A4se.jpg?x=%C3%BC"),
        ("https://photos.example.org?a=b/c", "https://photos.example.org/?a=b/c"),
        (
            "https://photos.example.org/%41%2F?X-Amz-Signature=a%2Fb",
            "https://photos.example.org/%41%2F?X-Amz-Signature=a%2Fb",
        ),
        ("http://photos.example.org:80/", "http://photos.example.org/"),
        ("https://photos.example.org:/", "https://photos.example.org/"),
        ("https://photos.example.org:443/", "https://photos.example.org/"),
        ("http://photos.example.org:443/", "http://photos.example.org:443/"),
        ("http://photos.example.org:0080/", "http://photos.example.org/"),
        ("http://xn--mnchen-3ya.example.org/", "http://xn--mnchen-3ya.example.org/"),
        ("http://a_b.s3.amazonaws.com/x", "http://a_b.s3.amazonaws.com/x"),
        ("http://8.8.8.8/x", "http://8.8.8.8/x"),
        ("http://8.8.8.8./x", "http://8.8.8.8/x"),
        ("http://[2606:4700:0:0::1111]:443/x", "http://[2606:4700::1111]:443/x"),
        ("http://photos.example.org/http://127.0.0.1/", "http://photos.example.org/http://127.0.0.1/"),
        ("http://photos.example.org/@127.0.0.1", "http://photos.example.org/@127.0.0.1"),
        ("http://127.0.0.1.example.org/", "http://127.0.0.1.example.org/"),
        ("http://localhost.example.org/", "http://localhost.example.org/"),
        ("http://example.com/", "http://example.com/"),
    ],
)
def test_ordinary_urls_have_one_spelling(text: str, spelling: str) -> None:
    assert str(Url.parse(text)) == spelling


def test_the_request_line_is_ascii_without_spaces() -> None:
    target = Url.parse('https://photos.example.org/a "<>^`{|}\u00a0\u2028é?q=\u4e2d |').target
    assert target.isascii()
    assert " " not in target


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/b.jpg", "https://photos.example.org/b.jpg"),
        ("b.jpg", "https://photos.example.org/a/b.jpg"),
        ("?x=1", "https://photos.example.org/a/dog.jpg?x=1"),
        ("//cdn.example.org/b", "https://cdn.example.org/b"),
        ("https://cdn.example.org/b#c", "https://cdn.example.org/b"),
        ("/k\xc3\xa4se.jpg", "https://photos.example.org/k%C3%A4se.jpg"),  # UTF-8, as http.client gives it
    ],
)
def test_redirects_are_relative_to_the_url(location: str, target: str) -> None:
    assert str(Url.parse("https://photos.example.org/a/dog.jpg").follow(location)) == target


@pytest.mark.parametrize(
    ("location", "status"),
    [
        ("http://photos.example.org/", 422),
        ("ftp://photos.example.org/", 422),
        ("file:///etc/passwd", 422),
        ("https://photos.example.org:8443/", 422),
        ("https://user@photos.example.org/", 422),
        ("http://[::/", 422),
        ("//[::/", 422),
        ("https://2130706433/", 422),
        ("//localhost/", 403),
    ],
)
def test_redirects_to_what_may_not_be_tried_are_refused(location: str, status: int) -> None:
    with pytest.raises(Problem) as caught:
        Url.parse("https://photos.example.org/a/dog.jpg").follow(location)
    assert caught.value.status == status
