"""The endpoint, faked by a server on 127.0.0.1 that speaks as SageMaker's runtime does, below a real botocore."""

from __future__ import annotations

import json
import socket
import threading
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

from lambda_src.predict.common.deadline import Deadline
from lambda_src.predict.common.problem import Problem, ProblemType
from lambda_src.predict.endpoint import Endpoint, runtime_client
from training.serving.inference import Attributes

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
        return endpoint(timeout).predict(b"\xff\xd8\xff", "image/jpeg", Deadline(60), top_k)

    return ask


def endpoint(timeout: float = 20) -> Endpoint:
    return Endpoint("kennel-dev", runtime_client(timeout), timeout)


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


def refusal(ask: Callable[..., Any], answer: Any, attempts: int | None = 1, **options: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        ask(answer, **options)
    assert SECRET not in caught.value.detail
    assert len(ask.server.requests) == attempts or attempts is None  # type: ignore[attr-defined]
    return caught.value


def test_the_answer_is_the_containers(ask: Callable[..., Any], reply: Reply) -> None:
    assert ask(reply(json.dumps(CONTENT).encode())) == CONTENT


def test_the_request_carries_photo_type_top_k_and_the_time_left(ask: Callable[..., Any], reply: Reply) -> None:
    ask(reply(json.dumps(CONTENT).encode()), top_k=3)
    head, _, body = ask.server.requests[0].partition(b"\r\n\r\n")  # type: ignore[attr-defined]
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "post /endpoints/kennel-dev/invocations http/1.1"
    assert "content-type: image/jpeg" in lines
    (attributes,) = (line for line in lines if line.startswith("x-amzn-sagemaker-custom-attributes: "))
    asked = Attributes.of({"x-amzn-sagemaker-custom-attributes": attributes.partition(": ")[2]})
    assert asked.top_k == 3
    assert 0 < asked.seconds <= 20  # `ask`'s timeout
    assert body == b"\xff\xd8\xff"


def test_the_request_carries_the_inference_id_as_sagemaker_takes_it(
    serve: Serve, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(reply(json.dumps(CONTENT).encode()))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    inference_id = "5bd97a4b-6f5c-4b7b-a6cf-6e9d0a1f3b2c"  # as Lambda's request ids are
    endpoint().predict(b"\xff\xd8\xff", "image/jpeg", Deadline(60), inference_id=inference_id)
    assert f"x-amzn-sagemaker-inference-id: {inference_id}".encode() in server.requests[0].lower()


def test_without_top_k_the_container_decides(ask: Callable[..., Any], reply: Reply) -> None:
    ask(reply(json.dumps(CONTENT).encode()))
    assert b"top_k" not in ask.server.requests[0].lower()  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_the_containers_refusal_reaches_the_caller_in_its_own_words(
    ask: Callable[..., Any], reply: Reply, status: int
) -> None:
    message = json.dumps({"type": "about:blank", "title": "T", "status": status, "detail": "The photo is damaged."})
    problem = refusal(ask, model_error(reply, status, message))
    assert (problem.status, problem.detail) == (status, "The photo is damaged.")


@pytest.mark.parametrize(
    "detail",
    [
        "The PNG image is damaged or cut short; send it again.",
        "The photo has 9000 x 9000 pixels. A PNG may have at most 50 megapixels and 65535 pixels a side. "
        "Send a smaller photo.",
        "Send a JPEG/PNG.",
        "Käse: 50 % - or less?",
        "x" * 200,
    ],
)
def test_a_short_detail_passes(ask: Callable[..., Any], reply: Reply, detail: str) -> None:
    assert refusal(ask, model_error(reply, 422, json.dumps({"detail": detail}))).detail == detail


@pytest.mark.parametrize(
    "detail",
    [
        f"No access to {SECRET}.",
        "No ARN:aws:iam::123456789012:role/kennel",
        "cannot open /opt/ml/model/model.onnx",
        'File "/opt/ml/code/inference.py", line 3',
        "(/tmp) is full",
        "see ~/.aws",
        "see code/inference.py",
        "see opt/ml/model",
        "see C:\\model",
        "see s3://bucket/key",
        "see http://169.254.169.254",
        "two\nlines",
        "\x1b[31mred",
        "\ud800",
        "x" * 201,
        "x" * 1_000_000,
        "",
    ],
    ids=lambda detail: ascii(detail)[:40],
)
def test_a_detail_that_is_long_or_tells_of_the_inside_is_replaced(
    ask: Callable[..., Any], reply: Reply, detail: str
) -> None:
    problem = refusal(ask, model_error(reply, 422, json.dumps({"detail": detail})))
    assert (problem.status, problem.detail) == (422, "The model refused the photo.")


@pytest.mark.parametrize(
    "message",
    ["[" * 100_000, '{"detail": ' * 50_000, "", "plain text", '{"detail": 5}', "[]", '{"detail"', "Traceback: secret"],
)
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
    attempts = 2 if sent >= 500 or status == 429 or code == "RequestAbortedException" else 1
    problem = refusal(ask, error(reply, code, sent), attempts)
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
    assert refusal(ask, error(reply, code, status, retry_after="soon"), 2).headers["Retry-After"] in ("1", "2")


@pytest.mark.parametrize("status", ["x", [], {}, None, "", -1, 10**30])
def test_a_model_error_with_an_odd_original_status_is_a_problem(
    ask: Callable[..., Any], reply: Reply, status: Any
) -> None:
    assert refusal(ask, model_error(reply, status, "")).status in (502, 504)


@pytest.mark.parametrize("body", [b'{"code": []}', b'{"code": {}}', b'{"message": []}', b"[" * 100_000])
def test_an_error_of_odd_types_or_depth_is_the_services_fault(
    ask: Callable[..., Any], reply: Reply, body: bytes
) -> None:
    assert refusal(ask, reply(body, "500 E"), None).status == 502


@pytest.mark.parametrize("body", [b"<html>busy</html>", b"", b"busy", b"[]", b"5", b'"text"', b"null", b"\xff", b"["])
@pytest.mark.parametrize("status", [400, 403, 413, 429, 500, 503, 504])
def test_an_error_without_a_json_object_is_the_services_fault_or_named_by_its_status(
    ask: Callable[..., Any], reply: Reply, status: int, body: bytes
) -> None:
    answered = refusal(ask, reply(body, f"{status} E"), None).status
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
    assert refusal(ask, reply(b"{", Content_Length=5000), 2).status == 502


@pytest.mark.parametrize("body", [b"", b"labels", b"[]", b'{"predictions": 5}', b"[" * 100_000])
def test_an_answer_of_another_form_is_an_upstream_fault(ask: Callable[..., Any], reply: Reply, body: bytes) -> None:
    assert refusal(ask, reply(body)).type is ProblemType.MODEL_FAILED


@pytest.mark.parametrize("chunked", [False, True])
def test_an_answer_without_end_is_read_no_further_than_its_limit(
    ask: Callable[..., Any], reply: Reply, chunked: bool
) -> None:
    sent = 0

    def script(connection: socket.socket, _: bytes) -> None:
        nonlocal sent
        head = {"Transfer_Encoding": "chunked", "Content_Length": None} if chunked else {"Content_Length": 10**12}
        connection.sendall(reply(b"", **head))
        piece = b"a" * 65536
        while True:
            connection.sendall(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
            sent += len(piece)

    assert refusal(ask, script).type is ProblemType.MODEL_FAILED
    assert sent < 20_000_000  # what the sockets' buffers hold


def test_a_connection_is_kept_for_the_next_request(serve: Serve, reply: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    def script(connection: socket.socket, head: bytes) -> None:
        while head:
            heads.append(head)
            connection.sendall(reply(json.dumps(CONTENT).encode(), Connection="keep-alive"))
            head = connection.recv(65536)
            while head and not head.endswith(b"\xff\xd8\xff"):
                head += connection.recv(65536)

    server = serve(script)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    asked = endpoint()
    for _ in range(3):
        assert asked.predict(b"\xff\xd8\xff", "image/jpeg", Deadline(60)) == CONTENT
    assert len(heads) == 3
    assert len(server.requests) == 1, "one connection"


def test_a_refused_connection_is_an_upstream_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(Problem) as caught:
        endpoint().predict(b"\xff\xd8\xff", "image/jpeg", Deadline(60))
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
        endpoint().predict(b"\xff\xd8\xff", "image/jpeg", Deadline(60))
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
        endpoint().predict(b"\xff\xd8\xff", "image/jpeg", Deadline(60))
    assert caught.value.status == 502
    assert not any(server.requests)


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
        Endpoint("kennel-dev", client, 20).predict(b"\xff\xd8\xff", "image/jpeg", Deadline(60))
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
    asked = endpoint()
    assert [asked.predict(b"\xff\xd8\xff", "image/jpeg", Deadline(60)) for _ in range(3)] == [CONTENT] * 3
    assert len(server.requests) == 3


def test_an_endpoint_that_always_hangs_up_is_asked_twice_and_no_more(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(b"")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    with pytest.raises(Problem) as caught:
        endpoint().predict(b"\xff\xd8\xff", "image/jpeg", Deadline(60))
    assert caught.value.status == 502
    assert len(server.requests) == 2


def in_turn(*answers: bytes | float) -> Callable[[socket.socket, bytes], None]:
    """Give each request the next answer; a number is a pause of that many seconds before the next."""
    left = list(answers)

    def script(connection: socket.socket, _: bytes) -> None:
        while isinstance(left[0], float):
            time.sleep(left.pop(0))  # type: ignore[arg-type]
        answer = left.pop(0) if len(left) > 1 else left[0]
        assert isinstance(answer, bytes)
        if answer == RESET:
            reset(connection)
        else:
            connection.sendall(answer)

    return script


RESET = b"reset"


@pytest.mark.parametrize(
    "first",
    ["InternalFailure", "ServiceUnavailable", "throttled", "no code", "reset", "hung up", "cut", "504 of a proxy"],
)
def test_a_second_attempt_may_mend_the_first(ask: Callable[..., Any], reply: Reply, first: str) -> None:
    answer = {
        "InternalFailure": error(reply, "InternalFailure", 500),
        "ServiceUnavailable": error(reply, "ServiceUnavailable", 503),
        "throttled": error(reply, "ThrottlingException", 400, retry_after="0"),
        "no code": reply(b"", "502 Bad Gateway"),
        "reset": RESET,
        "hung up": b"",
        "cut": b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"predictions"',
        "504 of a proxy": reply(b"", "504 Gateway Timeout"),
    }[first]
    assert ask(in_turn(answer, reply(json.dumps(CONTENT).encode()))) == CONTENT
    assert len(ask.server.requests) == 2  # type: ignore[attr-defined]


def test_the_second_failure_is_the_answer(ask: Callable[..., Any], reply: Reply) -> None:
    script = in_turn(error(reply, "InternalFailure", 500), error(reply, "ThrottlingException", 400))
    assert refusal(ask, script, 2).status == 429


def test_a_second_attempt_waits_as_the_service_asks_and_not_longer_than_a_second(
    ask: Callable[..., Any], reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("lambda_src.predict.endpoint.time.sleep", waited.append)
    good = reply(json.dumps(CONTENT).encode())
    ask(in_turn(error(reply, None, 503, retry_after="1"), good))
    assert waited == [1.0]
    assert refusal(ask, in_turn(error(reply, None, 503, retry_after="2"), good)).headers == {"Retry-After": "2"}
    for _ in range(5):
        ask(in_turn(error(reply, None, 503), good))
    pauses = waited[1:]
    assert len(set(pauses)) == 5, "without jitter, callers that failed together come back together"
    assert max(pauses) <= 0.2


@pytest.mark.parametrize(("first_seconds", "attempts"), [(0.1, 2), (0.7, 1)])
def test_a_second_attempt_is_made_only_if_one_like_the_first_fits(
    ask: Callable[..., Any], reply: Reply, first_seconds: float, attempts: int
) -> None:
    start = time.monotonic()
    script = in_turn(first_seconds, error(reply, None, 503), first_seconds, error(reply, None, 503))
    refusal(ask, script, attempts, timeout=1.2)
    assert time.monotonic() - start < 3


def test_all_attempts_share_one_deadline(ask: Callable[..., Any], reply: Reply) -> None:
    start = time.monotonic()
    script = in_turn(error(reply, None, 503), 10.0, error(reply, None, 503))
    assert refusal(ask, script, 2, timeout=0.6).status == 504
    assert time.monotonic() - start < 3


def drips(reply: Reply, drip: Callable[[socket.socket, bytes], None], part: str) -> Callable[..., None]:
    """Answer with one byte in 0.05 s: a pause that the client's own timeout of 0.4 s never notices."""
    whole = reply(json.dumps({**CONTENT, "predictions": [CONTENT["predictions"][0]] * 9}).encode(), X_Pad="a" * 300)
    at = whole.index(b"\r\n\r\n") + 4 if part == "body" else 0

    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(whole[:at])
        drip(connection, whole[at:])

    return script


@pytest.mark.parametrize("part", ["headers", "body"])
def test_an_endpoint_that_drips_does_not_outlast_the_deadline(
    ask: Callable[..., Any], reply: Reply, drip: Callable[[socket.socket, bytes], None], part: str
) -> None:
    start = time.monotonic()
    assert refusal(ask, drips(reply, drip, part), timeout=0.4).status == 504
    assert time.monotonic() - start < 3


def test_an_endpoint_whose_name_is_looked_up_for_ever_does_not_outlast_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(20))
    start = time.monotonic()
    with pytest.raises(Problem) as caught:
        endpoint(0.4).predict(b"\xff\xd8\xff", "image/jpeg", Deadline(60))
    release.set()
    assert caught.value.type is ProblemType.MODEL_TIMEOUT
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("seconds", [0.3, 0.0, -1.0])
def test_the_requests_deadline_comes_before_the_endpoints_timeout(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    server = serve(lambda connection, _: time.sleep(10))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    start = time.monotonic()
    with pytest.raises(Problem) as caught:
        endpoint(20).predict(b"\xff\xd8\xff", "image/jpeg", Deadline(seconds))
    assert caught.value.type is ProblemType.MODEL_TIMEOUT
    assert time.monotonic() - start < 3
    assert len(server.requests) == (seconds > 0)


def test_missing_credentials_are_a_bug_of_ours_and_pass_through(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(b"")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers credentials
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(NoCredentialsError):
        endpoint().predict(b"\xff\xd8\xff", "image/jpeg", Deadline(60))


def test_the_client_never_waits_longer_than_its_timeout_nor_retries() -> None:
    config: Any = runtime_client(7).meta.config
    assert (config.connect_timeout, config.read_timeout) == (2, 7)
    assert config.retries["total_max_attempts"] == 1
    short: Any = runtime_client(0.5).meta.config
    assert short.connect_timeout == 0.5


def test_a_service_error_keeps_its_cause_for_the_log(ask: Callable[..., Any], reply: Reply) -> None:
    assert isinstance(refusal(ask, error(reply, "AccessDeniedException", 403)).__cause__, ClientError)
