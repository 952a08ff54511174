from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from lambda_src.predict.common.image import Photo
from lambda_src.predict.common.problem import Problem
from lambda_src.predict.event import Request, read_event

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256))
PHOTO = Photo(JPEG, "image/jpeg")
BASE64 = base64.b64encode(JPEG).decode()
LIMIT = 1000


def http(body: str | None, *, encoded: bool = False, method: str = "POST", **rest: Any) -> dict[str, Any]:
    """A function-URL event, payload format 2.0, with the fields that AWS documents."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {"http": {"method": method, "path": "/"}, "requestId": "1"},
        **({} if body is None else {"body": body}),
        "isBase64Encoded": encoded,
        **rest,
    }


def encode(body: bytes | str) -> str:
    return base64.b64encode(body.encode() if isinstance(body, str) else body).decode()


@pytest.mark.parametrize(
    ("event", "request_"),
    [
        ({"image": BASE64}, Request(photo=PHOTO)),
        ({"image": BASE64, "top_k": 3}, Request(photo=PHOTO, top_k=3)),
        ({"image": "\n".join(BASE64[i : i + 76] for i in range(0, len(BASE64), 76)) + "\n"}, Request(photo=PHOTO)),
        ({"url": "https://a.org/x"}, Request(url="https://a.org/x")),
        ({"url": "https://a.org/x", "image": None, "top_k": 100, "more": 1}, Request(url="https://a.org/x", top_k=100)),
        (http(json.dumps({"image": BASE64})), Request(photo=PHOTO)),
        (http(encode(json.dumps({"url": "u", "top_k": 1})), encoded=True), Request(None, "u", 1)),
        (http(json.dumps({"url": "u"}), queryStringParameters={"top_k": "7"}), Request(None, "u", 7)),
        (http(json.dumps({"url": "u", "top_k": 2}), queryStringParameters={"top_k": "7"}), Request(None, "u", 2)),
        (http(json.dumps({"url": "u"}), headers={}), Request(url="u")),
        (http(json.dumps({"url": "u"}), headers=None), Request(url="u")),
        (http('{"url": "u"}', headers={"content-type": "application/x-www-form-urlencoded"}), Request(url="u")),
        (http("\ufeff" + json.dumps({"url": "u"})), Request(url="u")),
        (http(encode(JPEG), encoded=True, headers={"content-type": "image/jpeg"}), Request(photo=PHOTO)),
        (http(encode(JPEG), encoded=True, headers={"Content-Type": "IMAGE/PNG; a=b"}), Request(photo=PHOTO)),
        (http(encode(JPEG), encoded=True, headers={"content-type": "text/plain"}), Request(photo=PHOTO)),
        (http(encode(JPEG), encoded=True, headers={}, queryStringParameters={"top_k": "3"}), Request(PHOTO, top_k=3)),
    ],
)  # fmt: skip
def test_both_kinds_of_event_are_read(event: object, request_: Request) -> None:
    assert read_event(event, LIMIT) == request_


DEEP = "[" * 200_000


@pytest.mark.parametrize(
    "event",
    [
        *(None, [], "text", 5, True, [{"url": "u"}]),
        *({}, {"Image": BASE64}, {"image": None}, {"image": BASE64, "url": "https://a.org/x"}),
        *({"image": ""}, {"image": " \n"}, {"image": 5}, {"image": {"a": 1}}, {"image": [BASE64]}),
        *({"url": 5}, {"url": ["u"]}, {"url": {}}, {"url": True}),
        *({"image": "not base64!"}, {"image": BASE64[:-1]}, {"image": "é"}, {"image": "====" }, {"image": "\ud800"}),
        *({"image": f"data:image/jpeg;base64,{BASE64}"}, {"image": BASE64.replace("/", "_")}),
        *({"url": "u", "top_k": value} for value in (0, -1, 101, 1.0, 1.5, True, False)),
        *({"url": "u", "top_k": []}, {"url": "u", "top_k": {}}),
        *({"url": "u", "top_k": value} for value in ("", "x", "1.0", "-1", "+5", " 5", "\u0663")),
        *({"url": "u", "top_k": value} for value in (10**30, float("nan"), float("inf"), "1000")),
        *(http(None), http(""), http("", encoded=True), http("{}"), http("[]"), http("null"), http("5"), http('"u"')),
        *(http("{"), http("image=5"), http("<xml/>"), http(DEEP), http('{"a":' * 100_000), http("9" * 10_000)),
        *(http("not base64!", encoded=True), http(encode(b"\xff\xfe\x00"), encoded=True), http("\ud800"), http("\x00")),
        *(http('{"url": "u"}', queryStringParameters={"top_k": value}) for value in ("", "0", "101", "x", "3,4")),
        http({"url": "u"}),  # type: ignore[arg-type]
    ],
    ids=lambda event: ascii(event)[:60],
)  # fmt: skip
def test_what_cannot_be_understood_is_a_bad_request(event: object) -> None:
    with pytest.raises(Problem) as caught:
        read_event(event, LIMIT)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "event",
    [
        {"image": encode(b"GIF89a")},
        {"image": encode(b"<!DOCTYPE html>")},
        http(json.dumps({"image": encode(b"GIF89a")})),
        http(encode(b"GIF89a"), encoded=True, headers={"content-type": "image/gif"}),
        http("GIF89a", headers={"content-type": "image/gif"}),
        http("plain text", headers={"content-type": "image/jpeg"}),
        http(encode(b"\x00\x01"), encoded=True, headers={"content-type": "application/octet-stream"}),
    ],
)
def test_other_photos_are_an_unsupported_type(event: object) -> None:
    with pytest.raises(Problem) as caught:
        read_event(event, LIMIT)
    assert caught.value.status == 415


@pytest.mark.parametrize("direct", [True, False])
def test_a_photo_over_the_limit_is_too_large_and_one_at_the_limit_is_not(direct: bool) -> None:
    def event(size: int) -> dict[str, Any]:
        photo = JPEG.ljust(size, b"\0")
        if direct:
            return {"image": encode(photo)}
        return http(encode(photo), encoded=True, headers={"content-type": "image/jpeg"})

    photo = read_event(event(LIMIT), LIMIT).photo
    assert photo is not None
    assert len(photo.content) == LIMIT
    with pytest.raises(Problem) as caught:
        read_event(event(LIMIT + 1), LIMIT)
    assert caught.value.status == 413


def format_1(method: str, *, version: str | None = "1.0", top: bool = True) -> dict[str, Any]:
    """An event of an HTTP API with payload format 1.0; of a REST API without a version; of a test console with less."""
    return {
        **({} if version is None else {"version": version}),
        "path": "/predict",
        **({"httpMethod": method} if top else {}),
        "headers": {"Content-Type": "application/json"},
        "multiValueHeaders": {"Content-Type": ["application/json"]},
        "queryStringParameters": None,
        "requestContext": {"httpMethod": method, "path": "/predict", "protocol": "HTTP/1.1"},
        "body": '{"url": "u"}',
        "isBase64Encoded": False,
    }


def from_load_balancer(method: str) -> dict[str, Any]:
    return {**format_1(method), "requestContext": {"elb": {"targetGroupArn": "arn"}}, "headers": None}


SHAPES: dict[str, Callable[[str], dict[str, Any]]] = {
    "format 2.0": lambda method: http('{"url": "u"}', method=method),
    "format 1.0": format_1,
    "REST": lambda method: format_1(method, version=None),
    "method in the context": lambda method: format_1(method, top=False),
    "load balancer": from_load_balancer,
}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "post"])
@pytest.mark.parametrize("shape", SHAPES)
def test_only_post_is_answered(shape: str, method: str) -> None:
    with pytest.raises(Problem) as caught:
        read_event(SHAPES[shape](method), LIMIT)
    assert caught.value.status == 405
    assert caught.value.headers == {"Allow": "POST"}


@pytest.mark.parametrize("shape", SHAPES)
def test_post_is_answered_in_every_shape(shape: str) -> None:
    assert read_event(SHAPES[shape]("POST"), LIMIT) == Request(url="u")


def test_an_http_event_without_a_method_is_refused() -> None:
    with pytest.raises(Problem) as caught:
        read_event(http('{"url": "u"}', method=None), LIMIT)  # type: ignore[arg-type]
    assert caught.value.status == 405


@pytest.mark.parametrize("digits", [3, 21, 5_000, 1_000_000])
def test_a_top_k_of_many_digits_is_named_as_the_fault(digits: int) -> None:
    with pytest.raises(Problem, match="top_k"):
        read_event(http(f'{{"url": "u", "top_k": {"9" * digits}}}'), LIMIT)
