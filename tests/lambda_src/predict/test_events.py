"""Events of every kind that invokes a function, and generated ones: each has an answer and one line of log."""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from lambda_src.predict.classifier import Classifier
from lambda_src.predict.common.deadline import Deadline
from lambda_src.predict.common.problem import ProblemType
from lambda_src.predict.endpoint import Endpoint

if TYPE_CHECKING:
    from types import ModuleType

    from lambda_src.predict.handler import Answer

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4
PHOTO = base64.b64encode(JPEG).decode()
URL = "http://photos.example.org/dog.jpg"
JSON = json.dumps({"url": URL})
FORM = b'--b\r\nContent-Disposition: form-data; name="f"\r\nContent-Type: image/jpeg\r\n\r\n' + JPEG + b"\r\n--b--\r\n"
STATUSES = {each.uri: each.status for each in ProblemType}


class Model(Endpoint):
    def __init__(self) -> None: ...

    def predict(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"predictions": [{"label": "dog", "probability": 0.9}], "artifact_sha256": "0" * 64}


def respond(handler: ModuleType, event: object, capsys: pytest.CaptureFixture[str]) -> Answer:
    """Answer an event, and check the form of the answer and of the log."""
    answer: Answer = handler.respond(
        event, "r", Deadline(60), Classifier(Model(), lambda url, deadline: JPEG, 4_500_000)
    )
    (line,) = capsys.readouterr().out.splitlines()
    assert len(line) < 3_000
    assert "Traceback" not in line
    assert set(answer) == {"statusCode", "headers", "body"}
    body = json.loads(json.loads(json.dumps(answer))["body"])
    if answer["statusCode"] == 200:
        assert {"predictions", "artifact_sha256", "milliseconds"} <= set(body)
        assert {"label", "probability"} <= set(body["predictions"][0])
    else:
        assert STATUSES[body["type"]] == body["status"] == answer["statusCode"]
        assert body["detail"]
        assert answer["headers"]["Content-Type"] == "application/problem+json"
    return answer


def format_2(
    body: object, *, encoded: object = False, method: object = "POST", kind: str = "application/json", **more: Any
) -> dict[str, Any]:
    """An event of a function URL, or of an HTTP API with payload format 2.0."""
    context = {
        "http": {"method": method, "path": "/", "protocol": "HTTP/1.1", "sourceIp": "1.2.3.4"},
        "stage": "$default",
    }
    return {
        **{"version": "2.0", "routeKey": "$default", "rawPath": "/", "headers": {"content-type": kind}},
        **{"requestContext": context, "body": body, "isBase64Encoded": encoded, **more},
    }


def format_1(
    body: object, *, encoded: bool = False, method: str = "POST", kind: str = "application/json"
) -> dict[str, Any]:
    """An event of an HTTP API with payload format 1.0."""
    headers = {"headers": {"Content-Type": kind}, "multiValueHeaders": {"Content-Type": [kind]}}
    context = {"accountId": "1", "httpMethod": method, "path": "/predict", "protocol": "HTTP/1.1"}
    return {
        **{"version": "1.0", "path": "/predict", "httpMethod": method, **headers, "queryStringParameters": None},
        **{"requestContext": context, "body": body, "isBase64Encoded": encoded},
    }


def rest(body: object, **options: Any) -> dict[str, Any]:
    event = format_1(body, **options)
    del event["version"]
    return {**event, "stageVariables": None}


def load_balancer(body: object, *, method: str = "POST", **more: Any) -> dict[str, Any]:
    context = {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/x/y"}}
    event = {"requestContext": context, "httpMethod": method, "headers": {"content-type": "application/json"}}
    return {**event, "queryStringParameters": {}, "body": body, "isBase64Encoded": False, **more}


def encode(content: bytes) -> str:
    return base64.b64encode(content).decode()


NO_METHODS: list[object] = ["GET", "HEAD", "OPTIONS", "post", "", None, 1, [], {}]
NO_TOP_K: list[object] = [0, 1000, 2.0, True, [], "3,4", "\ud800", 10**400]
NO_REQUESTS: list[object] = [{}, None, [], "x", 1, True, {"url": None}, {"url": 1}, {"url": [URL]}, {"url": {}}]

SHAPES: list[tuple[int, object]] = [
    *((200, event) for event in ({"url": URL}, {"image": PHOTO}, {"url": URL, "more": 1})),
    (200, {"requestContext": [], "url": URL}),
    (200, {"image": "\n".join(PHOTO[i : i + 76] for i in range(0, len(PHOTO), 76))}),
    *((200, make(JSON)) for make in (format_2, format_1, rest, load_balancer)),
    *((200, make(PHOTO, encoded=True, kind="image/jpeg")) for make in (format_2, format_1, rest)),
    (200, format_2(encode(JSON.encode()), encoded=True)),
    (200, format_2(json.dumps({"image": PHOTO}))),
    (200, format_2("\ufeff" + JSON)),
    (200, format_2(PHOTO, encoded=True, kind="")),
    (200, format_2(PHOTO, encoded=True, kind="application/x-www-form-urlencoded")),
    (200, format_2(PHOTO, encoded=True, kind="image/jpeg", queryStringParameters={"top_k": "3"})),
    (200, format_2(PHOTO, encoded=True, kind="image/jpeg", queryStringParameters={"scores": "all"})),
    (200, load_balancer(PHOTO, isBase64Encoded=True, headers=None, multiValueHeaders={"content-type": ["image/jpeg"]})),
    (200, {**format_2(JSON), "headers": [1]}),
    (200, {**format_2(JSON), "headers": None}),
    (200, format_2(f'{{"url": "http://127.0.0.1/", "url": "{URL}"}}')),
    *((405, format_2(None, method=method)) for method in NO_METHODS),
    (405, format_2(None, method="GET", queryStringParameters={"url": URL})),
    *((405, make(JSON, method=method)) for make in (format_1, rest, load_balancer) for method in ("GET", "DELETE")),
    (405, load_balancer("", method="GET")),
    (413, {"image": "/9j/" + "A" * 7_000_000}),
    *((400, {"url": URL, "top_k": value}) for value in NO_TOP_K),
    *((400, event) for event in NO_REQUESTS),
    *((400, event) for event in ({"url": URL, "image": PHOTO}, {"image": ""}, {"image": [255, 216]}, {"s3": "s3://b/k"})),
    *((400, event) for event in ({"image": "not base64!"}, {"image": f"data:image/jpeg;base64,{PHOTO}"})),
    *((400, event) for event in ({"body": JSON}, {"requestContext": {}, "url": URL}, {"warmer": True})),
    *((400, event) for event in ({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}},)),
    (400, {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": JSON}}]}),
    (400, {"Records": [{"eventSource": "aws:sqs", "body": JSON, "messageId": "1"}]}),
    (400, {"Records": [{"eventSource": "aws:s3", "s3": {"bucket": {"name": "b"}, "object": {"key": "k.jpg"}}}]}),
    *((400, format_2(body)) for body in ("[" * 100_000, f'{{"url":{"[" * 5_000}{"]" * 5_000}}}', "\ud800", 1, None)),
    (400, format_2('{"url": "u", "top_k": NaN}')),
    (400, format_2(f'{{"url": "u", "top_k": {"9" * 5_000}}}')),
    (400, format_2(encode(FORM), encoded=True, kind="multipart/form-data; boundary=b")),
    (400, format_2(encode(b"url=http%3A%2F%2Fa.org"), encoded=True, kind="application/x-www-form-urlencoded")),
    (400, {**format_2(PHOTO), "isBase64Encoded": "true"}),
]  # fmt: skip


@pytest.mark.parametrize(("status", "event"), SHAPES, ids=lambda value: ascii(value)[:60])
def test_events_of_every_kind_have_their_status(
    handler: ModuleType, status: int, event: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert respond(handler, event, capsys)["statusCode"] == status


KEYS = ["url", "image", "top_k", "requestContext", "http", "httpMethod", "method", "body", "isBase64Encoded", "headers"]
KEYS += ["content-type", "queryStringParameters", "Records", "s3", "version", "x"]
VALUES = [URL, PHOTO, "POST", "GET", "http://127.0.0.1/", "3", "0", "image/jpeg", "application/json", "{}", "[]", JSON]
VALUES += [json.dumps({"image": PHOTO}), "\ud800", "1e999", '{"url": 1}', '{"top_k": "x"}']

NUMBERS = [0, 1, 3, 100, 101, -1, 10**30, 0.5, float("nan"), float("inf"), True, False, None]


def anything(chance: random.Random, depth: int = 3) -> Any:
    kind = chance.randrange(10 if depth else 7)
    if kind < 3:
        return chance.choice(VALUES)
    if kind < 5:
        return chance.choice(NUMBERS)
    if kind < 7:
        return "".join(
            chr(chance.choice((chance.randrange(128), chance.randrange(0x11000)))) for _ in range(chance.randrange(9))
        )
    if kind < 8:
        return [anything(chance, depth - 1) for _ in range(chance.randrange(4))]
    return {chance.choice(KEYS): anything(chance, depth - 1) for _ in range(chance.randrange(6))}


def http_event(chance: random.Random) -> dict[str, Any]:
    def some(*values: object) -> Any:
        return chance.choice((*values, anything(chance)))

    body = some(PHOTO, JSON, json.dumps(anything(chance)), encode(chance.randbytes(chance.randrange(60))))
    event = {
        "httpMethod": some("POST", "GET"),
        "requestContext": some({}, {"http": {"method": some("POST", "GET")}}, {"httpMethod": some("POST")}),
        "body": body,
        "isBase64Encoded": some(True, False),
        "headers": some({}, {"content-type": some("image/jpeg")}, {"Content-Type": some("application/json")}),
        "queryStringParameters": some({}, {"top_k": some("3")}),
    }
    return {name: value for name, value in event.items() if chance.random() < 0.8}


def direct_event(chance: random.Random) -> dict[str, Any]:
    return {name: anything(chance) for name in ("url", "image", "top_k", "x") if chance.random() < 0.5}


def test_every_generated_event_has_an_answer_that_blames_nobody_else(
    handler: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    chance, statuses = random.Random(1), Counter[int]()
    for _ in range(1_500):
        event = chance.choice((anything, http_event, direct_event))(chance)
        statuses[respond(handler, event, capsys)["statusCode"]] += 1
    assert {200, 400, 405, 415} <= set(statuses)
    assert max(statuses) < 500


def test_bodies_with_damaged_bytes_have_an_answer_too(handler: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(2)
    sound = [JSON.encode(), json.dumps({"image": PHOTO, "top_k": 3}).encode(), JPEG, b"RIFF\0\0\0\0WEBPVP8 "]
    for _ in range(400):
        body = bytearray(chance.choice(sound))
        for _ in range(chance.randint(1, 6)):
            position = chance.randrange(len(body))
            if chance.random() < 0.5:
                body[position] = chance.randrange(256)
            else:
                body[position:position] = chance.randbytes(chance.randint(1, 4))
        kind = chance.choice(["application/json", "image/png", "", "text/html"])
        assert respond(handler, format_2(encode(bytes(body)), encoded=True, kind=kind), capsys)["statusCode"] < 500
