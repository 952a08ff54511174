"""The endpoint, faked by a server on 127.0.0.1 that speaks as SageMaker's runtime does, below a real botocore."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import urllib3
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
)
from botocore.exceptions import ConnectionError as ConnectionFailure
from botocore.parsers import ResponseParserError

from lambda_src.predict.common.problem import Problem, ProblemType
from lambda_src.predict.endpoint import Endpoint, runtime_client

if TYPE_CHECKING:
    from tests.lambda_src.predict.conftest import Server

    Serve = Callable[..., Server]
    Reply = Callable[..., bytes]

CONTENT = {"predictions": [{"label": "Belgian malinois", "probability": 0.93}], "artifact_sha256": "0" * 64}
SECRET = "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/kennel-dev"


@pytest.fixture
def ask(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Ask an endpoint behind a script or an answer: `ask(answer, timeout=20, top_k=None)`."""

    def ask(answer: Any, timeout: float = 20, top_k: int | None = None) -> dict[str, Any]:
        server = serve(answer)
        ask.server = server  # type: ignore[attr-defined]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
        return Endpoint("kennel-dev", runtime_client(timeout)).predict(b"\xff\xd8\xff", "image/jpeg", top_k)

    return ask


def error(
    reply: Reply,
    code: str | None,
    status: int,
    message: str = f"refused for {SECRET}",
    retry_after: str | None = None,
    **members: Any,
) -> bytes:
    """An error in the form of the REST-JSON protocol."""
    body = json.dumps({"Message": message, "message": message, **members}).encode()
    headers = {"X_Amzn_ErrorType": code, "Retry_After": retry_after, "Content_Type": "application/json"}
    return reply(body, f"{status} E", **headers)


def model_error(reply: Reply, status: int, message: str) -> bytes:
    return error(reply, "ModelError", 424, OriginalStatusCode=status, OriginalMessage=message, LogStreamArn=SECRET)


def refusal(ask: Callable[..., Any], answer: Any, **options: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        ask(answer, **options)
    assert SECRET not in caught.value.detail
    assert len(ask.server.requests) == 1  # type: ignore[attr-defined]  # nothing is repeated
    return caught.value


def test_the_answer_is_the_containers(ask: Callable[..., Any], reply: Reply) -> None:
    assert ask(reply(json.dumps({**CONTENT, "more": 1}).encode())) == CONTENT


def test_the_request_carries_photo_type_and_top_k(ask: Callable[..., Any], reply: Reply) -> None:
    ask(reply(json.dumps(CONTENT).encode()), top_k=3)
    head, _, body = ask.server.requests[0].partition(b"\r\n\r\n")  # type: ignore[attr-defined]
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "post /endpoints/kennel-dev/invocations http/1.1"
    assert {"content-type: image/jpeg", "x-amzn-sagemaker-custom-attributes: top_k=3"} <= set(lines)
    assert body == b"\xff\xd8\xff"


def test_the_request_carries_the_inference_id_as_sagemaker_takes_it(
    serve: Serve, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(reply(json.dumps(CONTENT).encode()))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    inference_id = "5bd97a4b-6f5c-4b7b-a6cf-6e9d0a1f3b2c"  # as Lambda's request ids are
    Endpoint("kennel-dev", runtime_client(20)).predict(b"\xff\xd8\xff", "image/jpeg", inference_id=inference_id)
    assert f"x-amzn-sagemaker-inference-id: {inference_id}".encode() in server.requests[0].lower()


def test_without_top_k_the_container_decides(ask: Callable[..., Any], reply: Reply) -> None:
    ask(reply(json.dumps(CONTENT).encode()))
    assert b"custom-attributes" not in ask.server.requests[0].lower()  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_the_containers_refusal_reaches_the_caller_in_its_own_words(
    ask: Callable[..., Any], reply: Reply, status: int
) -> None:
    message = json.dumps({"type": "about:blank", "title": "T", "status": status, "detail": "The photo is damaged."})
    problem = refusal(ask, model_error(reply, status, message))
    assert (problem.status, problem.detail) == (status, "The photo is damaged.")


@pytest.mark.parametrize("message", ["", "plain text", '{"detail": 5}', "[]", '{"detail"', "Traceback: secret"])
def test_a_refusal_without_a_problem_gets_a_reason_of_ours(ask: Callable[..., Any], reply: Reply, message: str) -> None:
    problem = refusal(ask, model_error(reply, 422, message))
    assert (problem.status, problem.detail) == (422, "The model refused the photo.")


@pytest.mark.parametrize(
    ("container", "status"),
    [
        *((status, 502) for status in (500, 501, 502, 505, 404, 401, 403, 405, 406, 409, 301)),
        *((status, 503) for status in (429, 503)),
        *((status, 504) for status in (0, 408, 504)),
    ],
)
def test_the_containers_own_failures_are_not_the_callers(
    ask: Callable[..., Any], reply: Reply, container: int, status: int
) -> None:
    problem = refusal(ask, model_error(reply, container, json.dumps({"detail": f"Traceback {SECRET}"})))
    assert problem.status == status
    assert SECRET in str(problem.reason)
    assert ("Retry-After" in problem.headers) == (status == 503)


# Code, HTTP status, status of the answer, whether the answer has Retry-After.
SERVICE_ERRORS: list[tuple[str | None, int, int, bool]] = [
    ("ThrottlingException", 400, 429, True),
    ("ThrottlingException", 429, 429, True),
    ("TooManyRequestsException", 429, 429, True),
    ("ModelNotReadyException", 429, 503, True),
    ("ServiceUnavailable", 503, 503, True),
    ("ValidationError", 400, 503, True),
    ("InternalFailure", 500, 502, False),
    ("InternalDependencyException", 530, 502, False),
    ("SomethingNew", 502, 502, False),
    ("SomethingNew", 503, 503, True),
    ("SomethingNew", 429, 429, True),
    ("SomethingNew", 504, 504, False),
    (None, 429, 429, True),
    (None, 503, 503, True),
    (None, 500, 502, False),
    (None, 502, 502, False),
    (None, 504, 504, False),
    (None, 408, 504, False),
    (None, 413, 413, False),
    (None, 400, 500, False),
    ("413", 413, 413, False),
    ("RequestEntityTooLargeException", 413, 413, False),
    ("RequestTimeoutException", 408, 504, False),
    ("RequestAbortedException", 400, 502, False),
    ("GatewayTimeout", 504, 504, False),
    ("AccessDeniedException", 403, 500, False),
    ("UnrecognizedClientException", 403, 500, False),
    ("ExpiredTokenException", 403, 500, False),
    ("IncompleteSignature", 403, 500, False),
    ("MalformedHttpRequestException", 400, 500, False),
    ("NotAuthorized", 401, 500, False),
    ("OptInRequired", 403, 500, False),
    ("RequestExpired", 400, 500, False),
    ("UnknownOperationException", 404, 500, False),
    ("SomethingNew", 400, 500, False),
]


@pytest.mark.parametrize(("code", "sent", "status", "retry"), SERVICE_ERRORS)
def test_each_error_of_the_service_has_its_status(
    ask: Callable[..., Any], reply: Reply, code: str | None, sent: int, status: int, retry: bool
) -> None:
    problem = refusal(ask, error(reply, code, sent))
    assert problem.status == status
    assert SECRET in str(problem.reason)
    assert ("Retry-After" in problem.headers) == retry
    assert problem.headers.get("Retry-After", "1").isdigit()


def test_every_error_of_the_reference_is_in_the_table_above() -> None:
    operation = runtime_client(20).meta.service_model.operation_model("InvokeEndpoint")
    known = {"ModelError", *(code for code, *_ in SERVICE_ERRORS)}
    assert {shape.name for shape in operation.error_shapes} <= known


@pytest.mark.parametrize(("code", "status"), [("ThrottlingException", 400), (None, 429), ("ServiceUnavailable", 503)])
def test_the_wait_that_the_service_asks_for_is_passed_on(
    ask: Callable[..., Any], reply: Reply, code: str | None, status: int
) -> None:
    assert refusal(ask, error(reply, code, status, retry_after="17")).headers == {"Retry-After": "17"}
    assert refusal(ask, error(reply, code, status, retry_after="soon")).headers["Retry-After"] in ("1", "2")


@pytest.mark.parametrize("status", ["x", [], {}, None, "", -1, 10**30])
def test_a_model_error_with_an_odd_original_status_is_a_problem(
    ask: Callable[..., Any], reply: Reply, status: Any
) -> None:
    assert refusal(ask, model_error(reply, status, "")).status in (502, 504)


@pytest.mark.parametrize("body", [b"<html>busy</html>", b"", b"busy", b"[]", b"5", b'"text"', b"null", b"\xff", b"["])
@pytest.mark.parametrize("status", [400, 403, 413, 429, 500, 503, 504])
def test_an_error_without_a_json_object_is_the_services_fault_or_named_by_its_status(
    ask: Callable[..., Any], reply: Reply, status: int, body: bytes
) -> None:
    answered = refusal(ask, reply(body, f"{status} E")).status
    by_status = {400: 500, 403: 500, 500: 502}.get(status, status)
    assert answered in ((by_status,) if body in (b"<html>busy</html>", b"", b"busy", b"[") else (by_status, 502))


def test_an_endpoint_that_hangs_times_out_once(ask: Callable[..., Any], reply: Reply) -> None:
    def script(connection: socket.socket, _: bytes) -> None:
        time.sleep(10)
        connection.sendall(reply(json.dumps(CONTENT).encode()))

    assert refusal(ask, script, timeout=0.3).status == 504


def test_an_endpoint_that_stops_within_its_answer_times_out(ask: Callable[..., Any], reply: Reply) -> None:
    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(reply(b"{", Content_Length=5000))
        time.sleep(10)
        connection.sendall(b"}" * 4999)

    assert refusal(ask, script, timeout=0.3).status == 504


def test_a_truncated_answer_is_an_upstream_fault(ask: Callable[..., Any], reply: Reply) -> None:
    assert refusal(ask, reply(b"{", Content_Length=5000)).status == 502


@pytest.mark.parametrize("body", [b"", b"labels", b"[]", b"{}", b'{"predictions": 5}', b"[[0.1, 0.9]]", b"\xff"])
def test_an_answer_of_another_form_is_an_upstream_fault(ask: Callable[..., Any], reply: Reply, body: bytes) -> None:
    assert refusal(ask, reply(body)).status == 502


def test_a_refused_connection_is_an_upstream_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(Problem) as caught:
        Endpoint("kennel-dev", runtime_client(20)).predict(b"\xff\xd8\xff", "image/jpeg")
    assert caught.value.status == 502


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


BROKEN: dict[str, bytes] = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "half a status line": b"HTTP/1.1 20",
    "half the headers": b"HTTP/1.1 200 OK\r\nContent-Le",
    "an endless header": b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70_000,
    "half the body": b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"predictions"',
    "half a chunk": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{"predictions"',
    "no chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nphoto\r\n",
}


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_a_connection_that_breaks_is_an_upstream_fault(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, answer: bytes, end: str
) -> None:
    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(answer)
        if end == "reset":
            reset(connection)

    server = serve(script)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    with pytest.raises(Problem) as caught:
        Endpoint("kennel-dev", runtime_client(20)).predict(b"\xff\xd8\xff", "image/jpeg")
    assert caught.value.type is ProblemType.MODEL_FAILED


@pytest.mark.parametrize("certificate", ["other.example.org", None])
def test_an_endpoint_that_fails_at_tls_is_an_upstream_fault(
    serve: Serve,
    reply: Reply,
    certified: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    certificate: str | None,
) -> None:
    answer = reply(json.dumps(CONTENT).encode())
    server = serve(answer, certified(certificate)) if certificate else serve(answer, reads=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{server.port}")
    with pytest.raises(Problem) as caught:
        Endpoint("kennel-dev", runtime_client(20)).predict(b"\xff\xd8\xff", "image/jpeg")
    assert caught.value.status == 502
    assert server.requests in ([], [b""])


class BrokenClient:
    """A client whose every call, or whose answer's body, fails with one exception."""

    def __init__(self, error: Exception, *, in_body: bool) -> None:
        self._error = error
        self._in_body = in_body

    def invoke_endpoint(self, **_: Any) -> dict[str, Any]:
        if self._in_body:
            return {"Body": self}
        raise self._error

    def read(self, *_: Any) -> bytes:
        raise self._error


def families(*roots: type[Exception]) -> list[type[Exception]]:
    return [found for root in roots for found in (root, *families(*root.__subclasses__()))]


OF_A_CONNECTION = sorted(
    {
        *families(ConnectionFailure, HTTPClientError, urllib3.exceptions.HTTPError),
        IncompleteReadError,
        ResponseParserError,
    },
    key=lambda error: (error.__module__, error.__name__),
)


@pytest.mark.parametrize("in_body", [False, True])
@pytest.mark.parametrize("error", OF_A_CONNECTION, ids=lambda error: f"{error.__module__}.{error.__name__}")
def test_every_way_that_botocore_and_urllib3_know_of_breaking_is_a_502_or_504(
    error: type[Exception], in_body: bool
) -> None:
    exception = error.__new__(error)  # without the arguments, which differ
    exception.__dict__.update(length=0, partial=0, expected=0)
    client: Any = BrokenClient(exception, in_body=in_body)
    with pytest.raises(Problem) as caught:
        Endpoint("kennel-dev", client).predict(b"\xff\xd8\xff", "image/jpeg")
    late = issubclass(error, (ReadTimeoutError, ConnectTimeoutError))
    assert caught.value.type is (ProblemType.MODEL_TIMEOUT if late else ProblemType.MODEL_FAILED)


def test_a_connection_that_died_between_requests_is_opened_anew(
    serve: Serve, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(reply(json.dumps(CONTENT).encode(), Connection="keep-alive"))
        connection.recv(65536)  # the next request on it, which gets no answer

    server = serve(script)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    endpoint = Endpoint("kennel-dev", runtime_client(20))
    assert [endpoint.predict(b"\xff\xd8\xff", "image/jpeg") for _ in range(3)] == [CONTENT] * 3
    assert len(server.requests) == 3


def test_an_endpoint_that_always_hangs_up_is_asked_twice_and_no_more(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(b"")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    with pytest.raises(Problem) as caught:
        Endpoint("kennel-dev", runtime_client(20)).predict(b"\xff\xd8\xff", "image/jpeg")
    assert caught.value.status == 502
    assert len(server.requests) == 2


def test_missing_credentials_are_a_bug_of_ours_and_pass_through(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(b"")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers credentials
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(NoCredentialsError):
        Endpoint("kennel-dev", runtime_client(20)).predict(b"\xff\xd8\xff", "image/jpeg")


def test_the_client_never_waits_longer_than_its_timeout_nor_retries() -> None:
    config: Any = runtime_client(7).meta.config
    assert (config.connect_timeout, config.read_timeout) == (2, 7)
    assert config.retries["total_max_attempts"] == 1
    short: Any = runtime_client(0.5).meta.config
    assert short.connect_timeout == 0.5


def test_a_service_error_keeps_its_cause_for_the_log(ask: Callable[..., Any], reply: Reply) -> None:
    assert isinstance(refusal(ask, error(reply, "AccessDeniedException", 403)).__cause__, ClientError)
