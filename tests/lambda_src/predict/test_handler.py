from __future__ import annotations

import base64
import importlib
import json
import socket
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lambda_src.predict.classifier import Classifier
from lambda_src.predict.common.deadline import Deadline
from lambda_src.predict.common.image import media_type
from lambda_src.predict.common.problem import Problem, ProblemType
from lambda_src.predict.endpoint import Endpoint, runtime_client
from lambda_src.predict.environment import Environment

if TYPE_CHECKING:
    from types import ModuleType

    from lambda_src.predict.handler import Answer
    from tests.lambda_src.predict.conftest import Internet, Server

CONTENT = {"predictions": [{"label": "Belgian malinois", "probability": 0.93}], "artifact_sha256": "0" * 64}


class Model(Endpoint):
    """An endpoint that answers, or raises, what it is told."""

    def __init__(self, result: dict[str, Any] | Exception = CONTENT) -> None:
        self.result = result
        self.calls: list[tuple[bytes, str, int | None]] = []
        self.ids: list[str | None] = []

    def predict(
        self,
        image: bytes,
        content_type: str,
        deadline: Deadline,
        top_k: int | None = None,
        inference_id: str | None = None,
    ) -> dict[str, Any]:
        self.calls.append((image, content_type, top_k))
        self.ids.append(inference_id)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.fixture
def image(jpeg: bytes) -> str:
    return base64.b64encode(jpeg).decode()


def no_fetch(url: str, deadline: Deadline) -> bytes:
    raise AssertionError("nothing should be fetched")


def log_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    line: dict[str, Any] = json.loads(output)
    return line


def test_a_photo_is_answered_with_labels_and_times(handler: ModuleType, image: str, jpeg: bytes) -> None:
    model = Model()
    result = handler.respond({"image": image, "top_k": 3}, "r", Deadline(60), Classifier(model, no_fetch, 10_000))
    assert result["statusCode"] == 200
    assert result["headers"] == {"Content-Type": "application/json"}
    body = json.loads(result["body"])
    assert body["predictions"] == CONTENT["predictions"]
    assert body["artifact_sha256"] == CONTENT["artifact_sha256"]
    assert set(body["milliseconds"]) == {"fetch", "model"}
    assert model.calls == [(jpeg, "image/jpeg", 3)]


def test_the_requests_id_is_the_inferences_in_request_answer_and_log(
    handler: ModuleType, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Model()
    body = json.loads(
        handler.respond({"image": image}, "request-7", Deadline(60), Classifier(model, no_fetch, 10_000))["body"]
    )
    assert body["inference_id"] == log_line(capsys)["inference_id"] == "request-7"
    body = json.loads(handler.respond({"image": image}, "", Deadline(60), Classifier(model, no_fetch, 10_000))["body"])
    assert model.ids == ["request-7", body["inference_id"]]
    assert 1 <= len(body["inference_id"]) <= 64


def test_a_url_is_fetched_and_its_bytes_decide_the_type(handler: ModuleType) -> None:
    model, asked = Model(), []

    def fetch(url: str, deadline: Deadline) -> bytes:
        asked.append(url)
        return b"\x89PNG\r\n\x1a\n..."

    assert (
        handler.respond({"url": "https://a.org/x.jpg"}, "r", Deadline(60), Classifier(model, fetch, 10_000))[
            "statusCode"
        ]
        == 200
    )
    assert asked == ["https://a.org/x.jpg"]
    assert model.calls == [(b"\x89PNG\r\n\x1a\n...", "image/png", None)]


@pytest.mark.parametrize("header", ["image/jpeg", "application/json", None])
@pytest.mark.parametrize("shape", ["image", "url", "photo", "json"])
def test_the_type_of_no_bytes_is_determined_twice(
    handler: ModuleType, image: str, jpeg: bytes, shape: str, header: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []

    def counted(content: bytes) -> str | None:
        seen.append(content)
        return media_type(content)

    monkeypatch.setattr("lambda_src.predict.event.media_type", counted)
    monkeypatch.setattr("lambda_src.predict.classifier.media_type", counted)
    http = {"requestContext": {}, "headers": {"content-type": header} if header else {}}
    event = {
        "image": {"image": image},
        "url": {"url": "https://a.org/x.jpg"},
        "photo": {**http, "body": image, "isBase64Encoded": True},
        "json": {**http, "body": json.dumps({"image": image})},
    }[shape]
    result = handler.respond(event, "r", Deadline(60), Classifier(Model(), lambda url, deadline: jpeg, 10_000))
    if (shape, header) == ("json", "image/jpeg"):
        assert result["statusCode"] == 415
    else:
        assert result["statusCode"] == 200
        assert jpeg in seen
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("page", [b"", b"<!DOCTYPE html>", b"GIF89a"])
def test_a_url_that_is_no_photo_is_an_unsupported_type_and_goes_no_further(handler: ModuleType, page: bytes) -> None:
    model = Model()
    result = handler.respond(
        {"url": "https://a.org/x.jpg"}, "r", Deadline(60), Classifier(model, lambda url, deadline: page, 10_000)
    )
    assert result["statusCode"] == 415
    assert model.calls == []


@pytest.mark.parametrize("problem_type", ProblemType)
def test_every_problem_is_answered_as_problem_details(
    handler: ModuleType, image: str, problem_type: ProblemType
) -> None:
    problem = Problem(problem_type, "What to do.", headers={"Retry-After": "2"}, reason="internal")
    result: Answer = handler.respond({"image": image}, "r", Deadline(60), Classifier(Model(problem), no_fetch, 10_000))
    assert result["statusCode"] == problem_type.status
    assert result["headers"] == {"Content-Type": "application/problem+json", "Retry-After": "2"}
    body = json.loads(result["body"])
    assert set(body) == {"type", "title", "status", "detail"}
    assert (body["type"], body["title"]) == (problem_type.uri, problem_type.title)
    assert (body["status"], body["detail"]) == (problem_type.status, "What to do.")


def test_the_unexpected_is_a_500_whose_traceback_only_the_log_has(
    handler: ModuleType, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = handler.respond(
        {"image": image}, "request-7", Deadline(60), Classifier(Model(KeyError("secret")), no_fetch, 10_000)
    )
    assert result["statusCode"] == 500
    assert "secret" not in json.dumps(result)
    assert "Traceback" not in json.dumps(result)
    assert "request-7" in json.loads(result["body"])["detail"]
    line = log_line(capsys)
    assert "KeyError: 'secret'" in line["exception"]
    assert line["level"] == "ERROR"


def test_the_log_tells_what_happened_and_never_photo_or_url(
    handler: ModuleType, image: str, jpeg: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    handler.respond({"image": image}, "request-7", Deadline(60), Classifier(Model(), no_fetch, 10_000))
    line = log_line(capsys)
    assert image[:40] not in json.dumps(line)
    assert (line["level"], line["request_id"], line["status"]) == ("INFO", "request-7", 200)
    assert (line["source"], line["bytes"]) == ("image", len(jpeg))
    assert set(line["milliseconds"]) == {"fetch", "model", "total"}
    assert line["artifact_sha256"] == CONTENT["artifact_sha256"]

    refused = Classifier(
        Model(),
        lambda url, deadline: (_ for _ in ()).throw(Problem(ProblemType.ADDRESS_NOT_PUBLIC, "No.", reason="why")),
        10_000,
    )
    handler.respond({"url": "https://a.org/secret?key=secret"}, "request-8", Deadline(60), refused)
    line = log_line(capsys)
    assert "secret" not in json.dumps(line)
    assert (line["level"], line["status"], line["source"], line["reason"]) == ("WARN", 403, "url", "why")


def test_the_log_is_short_whatever_a_remote_host_wrote(
    handler: ModuleType, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status_line = "HTTP/1.1 200 " + "x" * 60_000
    problem = Problem(ProblemType.REMOTE_HOST_FAILED, "No.", reason=f"begin {status_line} end")
    handler.respond({"image": image}, "r", Deadline(60), Classifier(Model(problem), no_fetch, 10_000))
    line = log_line(capsys)
    assert len(json.dumps(line)) < 2_000
    assert line["reason"].startswith("begin")
    assert line["reason"].endswith("end")
    handler.respond({"image": image}, "r", Deadline(60), Classifier(Model(KeyError(status_line)), no_fetch, 10_000))
    line = log_line(capsys)
    assert len(json.dumps(line)) < 12_000
    assert line["exception"].startswith("Traceback")


def test_a_bad_event_is_answered_and_logged(handler: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert handler.respond(None, "r", Deadline(60), Classifier(Model(), no_fetch, 10_000))["statusCode"] == 400
    line = log_line(capsys)
    assert (line["source"], line["inference_id"], line["artifact_sha256"]) == (None, None, None)


def test_the_function_as_lambda_calls_it(
    handler: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    serve: Callable[..., Server],
    reply: Callable[..., bytes],
    image: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing replaced: environment, client, event, endpoint on 127.0.0.1, and a URL that is refused unfetched."""
    server = serve(reply(json.dumps(CONTENT).encode()))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    handler = importlib.reload(handler)
    context = SimpleNamespace(aws_request_id="request-9", get_remaining_time_in_millis=lambda: 30_000)
    assert handler.handle({"image": image, "top_k": 1}, context)["statusCode"] == 200
    assert server.requests[0].startswith(b"POST /endpoints/kennel-dev/invocations ")
    assert log_line(capsys)["request_id"] == "request-9"
    assert handler.handle({"url": f"http://127.0.0.1:{server.port}/"}, context)["statusCode"] == 400
    assert handler.handle({"url": "http://169.254.169.254/latest/meta-data/"}, context)["statusCode"] == 403
    assert len(server.requests) == 1


@pytest.mark.parametrize("milliseconds", [2000, 500, 0])
def test_the_answer_comes_half_a_second_before_lambda_stops_the_function(
    handler: ModuleType, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., Server], image: str, milliseconds: int
) -> None:
    server = serve(lambda connection, _: time.sleep(10))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    handler = importlib.reload(handler)
    context = SimpleNamespace(aws_request_id="r", get_remaining_time_in_millis=lambda: milliseconds)
    start = time.monotonic()
    result = handler.handle({"image": image}, context)
    assert result["statusCode"] == 504
    assert json.loads(result["body"])["type"] == ProblemType.MODEL_TIMEOUT.uri
    assert time.monotonic() - start < max(milliseconds / 1000, 1)


def test_a_slow_photo_leaves_the_model_what_is_left_of_one_deadline(
    handler: ModuleType, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., Server], internet: Internet, jpeg: bytes
) -> None:
    """Both parts may take 20 s by themselves, and both would: the answer still comes in time."""

    def photo(connection: socket.socket, _: bytes) -> None:
        time.sleep(0.5)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(jpeg), jpeg))

    internet.server, model = serve(photo), serve(lambda connection, _: time.sleep(10))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{model.port}")
    classifier = Classifier(
        Endpoint("kennel-dev", runtime_client(20), 20),
        lambda url, deadline: internet.fetch(url, deadline=deadline.within(20)),
        10_000,
    )
    start = time.monotonic()
    result = handler.respond({"url": "http://photos.example.org/dog.jpg"}, "r", Deadline(1), classifier)
    assert 1 <= time.monotonic() - start < 3
    assert json.loads(result["body"])["type"] == ProblemType.MODEL_TIMEOUT.uri
    assert len(model.requests) == 1
    start = time.monotonic()
    result = handler.respond({"url": "http://photos.example.org/dog.jpg"}, "r", Deadline(0.3), classifier)
    assert time.monotonic() - start < 3
    assert json.loads(result["body"])["type"] == ProblemType.REMOTE_HOST_TIMEOUT.uri
    assert len(model.requests) == 1


def test_the_environment_has_the_documented_defaults() -> None:
    assert Environment.read({"ENDPOINT_NAME": "e"}) == Environment("e", 5.0, 20.0, 4_500_000)
    variables = {
        "ENDPOINT_NAME": "e",
        "FETCH_TIMEOUT_SECONDS": "2.5",
        "INVOKE_TIMEOUT_SECONDS": "9",
        "MAX_IMAGE_BYTES": "10",
    }
    assert Environment.read(variables) == Environment("e", 2.5, 9.0, 10)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"ENDPOINT_NAME": ""},
        *({"ENDPOINT_NAME": "e", "FETCH_TIMEOUT_SECONDS": text} for text in ("", "0", "-1", "x", "nan", "inf")),
        {"ENDPOINT_NAME": "e", "MAX_IMAGE_BYTES": "0"},
        {"ENDPOINT_NAME": "e", "INVOKE_TIMEOUT_SECONDS": "soon"},
    ],
)
def test_a_wrong_environment_is_named_when_the_function_starts(variables: dict[str, str]) -> None:
    name = next((name for name in variables if name != "ENDPOINT_NAME"), "ENDPOINT_NAME")
    with pytest.raises(RuntimeError, match=name):
        Environment.read(variables)
