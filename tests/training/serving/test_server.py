"""The server as a process: what SageMaker sees of it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from tests.training.serving.test_bounds import jpeg
from training.artifact.layout import SERVING
from training.serving.photo_file import MAX_BODY_BYTES

SERVER = ["-P", "-m", "serving.server"]
"""As in the image: the package is found on PYTHONPATH."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def spawn(artifact: Path, port: int, command: list[str] | None = None, **environment: str) -> subprocess.Popen[str]:
    variables = {
        **os.environ,
        "PYTHONPATH": str(SERVING.parent),
        "SM_MODEL_DIR": str(artifact),
        "BIND_HOST": "127.0.0.1",
        "SAGEMAKER_BIND_TO_PORT": str(port),
        **environment,
    }
    return subprocess.Popen(
        command or [sys.executable, *SERVER, "serve"],
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def pings(port: int) -> bool:
    try:
        return ask(port, "GET", "/ping")[0] == 200
    except OSError:
        return False


def wait_until_healthy(process: subprocess.Popen[str], port: int) -> None:
    for _ in range(1500):
        if pings(port):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    pytest.fail("never healthy")


@contextmanager
def running(artifact: Path, **options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = free_port()
    process = spawn(artifact, port, None, **options)
    try:
        wait_until_healthy(process, port)
        yield process, port
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def port(artifact: Path) -> Iterator[int]:
    with running(artifact, MODEL_ARTIFACT_SHA256="cd" * 32) as (_, port):
        yield port


def test_ping_is_200_and_empty(port: int) -> None:
    status, _, body = ask(port, "GET", "/ping")
    assert (status, body) == (200, b"")


def test_a_photo_is_answered(port: int, photo: bytes) -> None:
    status, headers, body = ask(port, "POST", "/invocations", photo, {"Content-Type": "image/jpeg"})
    assert (status, headers["content-type"]) == (200, "application/json")
    answer = json.loads(body)
    assert answer["predictions"][0]["label"] == "Red setter"
    assert answer["artifact_sha256"] == "cd" * 32


def test_custom_attributes_choose_how_many_labels(port: int, photo: bytes) -> None:
    _, _, body = ask(port, "POST", "/invocations", photo, {"X-Amzn-SageMaker-Custom-Attributes": "top_k=1"})
    assert len(json.loads(body)["predictions"]) == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/invocations", b"", 400),
        ("POST", "/invocations", b"hello", 415),
        ("POST", "/invocations", b"\x89PNG\r\n\x1a\nbroken", 422),
        ("POST", "/invocations", bytes(25 * 1024 * 1024 + 1), 413),
        ("GET", "/invocations", None, 405),
        ("DELETE", "/invocations", None, 405),
        ("POST", "/ping", b"", 405),
        ("GET", "/", None, 404),
        ("GET", "/models/../../etc/passwd", None, 404),
        ("POST", "/invocations/", b"hello", 404),
    ],
)
def test_errors_are_problems(method: str, path: str, body: bytes | None, status: int, port: int) -> None:
    got, headers, answer = ask(port, method, path, body)
    assert (got, headers["content-type"]) == (status, "application/problem+json")
    assert json.loads(answer)["status"] == status
    assert ("allow" in headers) == (status == 405)


def test_a_body_without_a_length_is_capped_too(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/invocations", iter([bytes(1024 * 1024)] * 40), encode_chunked=True)
    response = connection.getresponse()
    assert response.status == 413
    response.read()
    connection.request("GET", "/ping")  # the connection is still good
    assert connection.getresponse().status == 200
    connection.close()


def test_a_caller_who_hangs_up_half_way_disturbs_nobody(port: int, photo: bytes) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port)) as caller:
            caller.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + photo[:100])
    assert ask(port, "POST", "/invocations", photo)[0] == 200


def test_it_starts_as_the_image_does_and_runs_no_code_of_the_current_folder(
    artifact: Path, photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"ENTRYPOINT {json.dumps(['python', *SERVER])}\n" in (SERVING / "Dockerfile").read_text()
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "__init__.py").write_text("raise SystemExit('code of the current folder')")
    monkeypatch.chdir(tmp_path)
    with running(artifact) as (_, port):
        assert ask(port, "POST", "/invocations", photo)[0] == 200


def test_concurrent_requests_get_each_their_own_answer(port: int, encode: Callable[..., bytes]) -> None:
    photos = [encode(colour) for colour in ((250, 20, 30), (20, 250, 30), (20, 30, 250))]
    alone = [ask(port, "POST", "/invocations", photo)[2] for photo in photos]
    with ThreadPoolExecutor(12) as callers:
        together = list(callers.map(lambda i: ask(port, "POST", "/invocations", photos[i % 3])[2], range(90)))
    assert together == [alone[i % 3] for i in range(90)]


def test_four_of_the_worst_photos_at_once_take_less_than_1_gb(artifact: Path) -> None:
    worst = jpeg(8000, 6200).ljust(MAX_BODY_BYTES, b"\0")
    with running(artifact, INFERENCE_WORKERS="4") as (process, port), ThreadPoolExecutor(4) as callers:
        statuses = list(callers.map(lambda _: ask(port, "POST", "/invocations", worst)[0], range(4)))
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
    assert statuses == [200] * 4
    assert peak < 10**9


# In place of the model: answers the warm-up at once, and photos once they are allowed to.
SLOW = """
import os, sys, time
from pathlib import Path
from serving import connection, inference, server, waiting
predict, gate = inference.predict_fn, Path({gate!r})
{changes}
def slow(photo, model):
    gate.with_name(f"started-{{time.monotonic_ns()}}").touch()
    while not gate.exists():
        time.sleep(0.01)
    return predict(photo, model)
inference.predict_fn = slow
sys.argv = ["server.py"]
server.main()
"""


def slow_server(gate: Path, changes: str = "") -> list[str]:
    return [sys.executable, "-c", SLOW.format(gate=str(gate), changes=changes)]


@contextmanager
def slow(artifact: Path, gate: Path, changes: str = "", **options: str) -> Iterator[int]:
    """Run a server of one worker, which has answered the warm-up; photos wait until the gate is made again."""
    port = free_port()
    gate.touch()
    process = spawn(artifact, port, slow_server(gate, changes), INFERENCE_WORKERS="1", **options)
    try:
        wait_until_healthy(process, port)
        gate.unlink()
        yield port
    finally:
        process.kill()
        process.communicate()


def send(port: int, photo: bytes, attributes: str = "") -> socket.socket:
    """Send a whole request, and do not wait for its answer."""
    caller = socket.create_connection(("127.0.0.1", port), timeout=60)
    lines = ["POST /invocations HTTP/1.1", "Host: x", f"Content-Length: {len(photo)}"]
    lines.append(f"X-Amzn-SageMaker-Custom-Attributes: {attributes}")
    caller.sendall("\r\n".join([*lines, "", ""]).encode() + photo)
    return caller


def answered(caller: socket.socket) -> tuple[int, dict[str, str]]:
    """Return the status and the headers of the answer to a request that was sent."""
    response = http.client.HTTPResponse(caller)
    response.begin()
    response.read()
    return response.status, {name.lower(): value for name, value in response.getheaders()}


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1000) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def started(gate: Path) -> int:
    """Return how many photos a slow server has begun to work on."""
    return len(list(gate.parent.glob("started-*")))


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("never happened")


def test_a_full_line_is_503_and_says_when_to_come_again(artifact: Path, tmp_path: Path, photo: bytes) -> None:
    gate = tmp_path / "gate"
    with slow(artifact, gate, INFERENCE_QUEUE="2") as port:
        callers = [send(port, photo)]
        wait_for(lambda: started(gate) == 2)
        callers += [send(port, photo) for _ in range(2)]
        late = {"X-Amzn-SageMaker-Custom-Attributes": "deadline_ms=50"}  # leaves the line by itself, if it gets in
        wait_for(lambda: b"2 photos are waiting" in ask(port, "POST", "/invocations", photo, late)[2])
        status, headers, _ = ask(port, "POST", "/invocations", photo)
        assert (status, headers["retry-after"], headers["content-type"]) == (503, "1", "application/problem+json")
        assert pings(port)
        gate.touch()
        assert [answered(caller)[0] for caller in callers] == [200] * 3
        assert ask(port, "POST", "/invocations", photo)[0] == 200


def test_photos_of_clients_who_have_left_are_not_worked_on(artifact: Path, tmp_path: Path, photo: bytes) -> None:
    gate = tmp_path / "gate"
    with slow(artifact, gate) as port:
        first = send(port, photo)
        wait_for(lambda: started(gate) == 2)
        for _ in range(24):
            send(port, photo).close()
        last = send(port, photo)
        gate.touch()
        assert (answered(first)[0], answered(last)[0]) == (200, 200)
        assert started(gate) == 3  # the warm-up, the first and the last


@pytest.mark.parametrize(("attributes", "options"), [("deadline_ms=50", {}), ("", {"INFERENCE_DEADLINE_MS": "50"})])
def test_photos_that_are_too_late_are_503_and_are_not_worked_on(
    attributes: str, options: dict[str, str], artifact: Path, tmp_path: Path, photo: bytes
) -> None:
    gate = tmp_path / "gate"
    with slow(artifact, gate, **options) as port:
        first = send(port, photo)
        wait_for(lambda: started(gate) == 2)
        status, headers = answered(send(port, photo, attributes))  # while the worker is busy
        assert (status, headers["retry-after"]) == (503, "1")
        gate.touch()
        assert answered(first)[0] == 200
        assert started(gate) == 2


def test_a_photo_is_worked_on_when_its_turn_comes_before_its_deadline(artifact: Path, photo: bytes, port: int) -> None:
    assert answered(send(port, photo, "deadline_ms=20000, top_k=1"))[0] == 200
    assert answered(send(port, photo, "deadline_ms=0"))[0] == 503
    assert answered(send(port, photo, "deadline_ms=soon"))[0] == 400


def test_bodies_are_kept_up_to_a_bound_and_without_what_follows_the_photo(
    artifact: Path, tmp_path: Path, photo: bytes, encode: Callable[..., bytes]
) -> None:
    gate = tmp_path / "gate"
    large = encode(Image.effect_noise((500, 400), 90))
    assert 100_000 < len(large) < 200_000
    with slow(artifact, gate, "waiting.WAITING_BYTES = 400_000") as port:
        callers = [send(port, photo)]
        wait_for(lambda: started(gate) == 2)
        for _ in range(10):
            callers.append(send(port, photo + bytes(300_000)))
            time.sleep(0.05)  # the whole body counts until it has arrived
        callers += [send(port, large), send(port, large), send(port, large)]
        gate.touch()
        statuses = [answered(caller)[0] for caller in callers]
        assert statuses[:11] == [200] * 11
        assert sorted(statuses[11:]) == [200, 200, 503]
        assert answered(send(port, large))[0] == 200  # they are free again


def test_half_open_connections_are_closed(artifact: Path, tmp_path: Path, photo: bytes) -> None:
    gate = tmp_path / "gate"
    with slow(artifact, gate, "connection.HEADER_SECONDS = server.BODY_SECONDS = 1.0") as port:
        begun = b"POST /invocations HTTP/1.1\r\nHost: x\r\n"
        gate.touch()
        connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
        for i, connection in enumerate(connections):
            connection.sendall([b"", b"POST", begun, begun + b"Content-Length: 10\r\n\r\nabc"][i % 4])
        again = send(port, photo)
        assert answered(again)[0] == 200
        again.sendall(b"GET /pi")  # a kept-alive connection, in the middle of its next request
        late = send(port, photo)
        late.close()
        assert all(map(is_open, connections))
        wait_for(lambda: not any(map(is_open, [*connections, again])))
        assert pings(port)


def test_a_body_that_stops_is_408(artifact: Path, tmp_path: Path) -> None:
    with slow(artifact, tmp_path / "gate", "server.BODY_SECONDS = 0.2") as port:
        caller = socket.create_connection(("127.0.0.1", port), timeout=60)
        caller.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        status, headers = answered(caller)
        assert (status, headers["connection"]) == (408, "close")
        assert caller.recv(1) == b""


def test_headers_that_come_byte_by_byte_are_cut_off(artifact: Path, tmp_path: Path) -> None:
    with slow(artifact, tmp_path / "gate", "connection.HEADER_SECONDS = 0.5") as port:
        caller = socket.create_connection(("127.0.0.1", port), timeout=60)
        for _ in range(300):
            try:
                caller.sendall(b"G")
            except ConnectionError:
                return
            time.sleep(0.02)
    pytest.fail("never cut off")


def test_ping_is_503_while_every_worker_is_stuck(artifact: Path, tmp_path: Path, photo: bytes) -> None:
    gate = tmp_path / "gate"
    with slow(artifact, gate, "waiting.REQUEST_SECONDS = 0.3") as port:
        caller = send(port, photo)
        wait_for(lambda: started(gate) == 2)
        wait_for(lambda: ask(port, "GET", "/ping")[0] == 503)
        gate.touch()
        assert answered(caller)[0] == 200
        assert pings(port)


def test_ping_fails_until_the_warm_up_is_answered(artifact: Path, tmp_path: Path) -> None:
    gate, port = tmp_path / "gate", free_port()
    process = spawn(artifact, port, slow_server(gate))
    try:
        wait_for(lambda: started(gate) == 1)  # the warm-up is under way
        assert not any(pings(port) for _ in range(20))
        gate.touch()
        wait_until_healthy(process, port)
    finally:
        process.kill()
        process.communicate()


def test_sigterm_lets_requests_finish_and_exits_with_0(artifact: Path, tmp_path: Path, photo: bytes) -> None:
    gate, port = tmp_path / "gate", free_port()
    gate.touch()
    process = spawn(artifact, port, slow_server(gate), INFERENCE_WORKERS="4")
    answers: list[int] = []
    try:
        wait_until_healthy(process, port)
        gate.unlink()
        callers = [
            threading.Thread(target=lambda: answers.append(ask(port, "POST", "/invocations", photo)[0]))
            for _ in range(4)
        ]
        for caller in callers:
            caller.start()
        wait_for(lambda: started(gate) == 1 + 4)
        assert pings(port)  # while photos are worked on
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: not pings(port))
        assert process.poll() is None
        gate.touch()
        for caller in callers:
            caller.join(30)
        assert process.wait(30) == 0
        assert answers == [200] * 4
    finally:
        process.kill()
        process.communicate()


def test_sigterm_during_the_warm_up_exits_with_0(artifact: Path, tmp_path: Path) -> None:
    process = spawn(artifact, free_port(), slow_server(tmp_path / "gate"))
    try:
        wait_for(lambda: started(tmp_path / "gate") == 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def corrupt(folder: Path) -> None:
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:-1])


def remove(folder: Path) -> None:
    (folder / "model.json").unlink()


@pytest.mark.parametrize("damage", [corrupt, remove])
def test_a_broken_model_ends_the_server_with_one_line(
    damage: Callable[[Path], None], make_artifact: Callable[..., Path]
) -> None:
    folder = make_artifact()
    damage(folder)
    out, errors = (process := spawn(folder, free_port())).communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert len(errors.splitlines()) == 1
    assert "the model cannot serve" in errors


@pytest.mark.parametrize(
    "name",
    ["INFERENCE_WORKERS", "INFERENCE_QUEUE", "INFERENCE_DEADLINE_MS", "INFERENCE_THREADS", "SAGEMAKER_BIND_TO_PORT"],
)
def test_a_setting_that_means_nothing_ends_the_server_with_one_line(name: str, artifact: Path) -> None:
    process = spawn(artifact, free_port(), None, **{name: "many"})
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert len(errors.splitlines()) == 1
    assert name in errors


def test_a_port_that_is_taken_ends_the_server(artifact: Path, port: int) -> None:
    process = spawn(artifact, port)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode not in (0, None)
    assert "Traceback" not in errors


def test_the_current_folder_serves_when_it_is_an_artifact(artifact: Path) -> None:
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if k != "SM_MODEL_DIR"}
    environment |= {"PYTHONPATH": str(SERVING.parent), "BIND_HOST": "127.0.0.1", "SAGEMAKER_BIND_TO_PORT": str(port)}
    command = [sys.executable, *SERVER]
    process = subprocess.Popen(command, cwd=artifact, env=environment, text=True, stderr=subprocess.PIPE)
    try:
        wait_until_healthy(process, port)
    finally:
        process.kill()
        process.communicate()


def test_serving_loads_neither_pytorch_nor_anything_heavy(artifact: Path, photo: bytes, tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(photo)
    code = f"""
import json, sys
sys.path.insert(0, {str(SERVING.parent)!r})
from serving import inference, server
model = inference.model_fn({str(artifact)!r})
server.application(model)
assert inference.respond(model, open({str(tmp_path / "photo")!r}, "rb").read(), {{}}).status == 200
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
    loaded = set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout))
    assert {"numpy", "PIL", "onnxruntime", "starlette", "uvicorn"} <= loaded
    assert not loaded & {"torch", "torchvision", "onnx", "boto3", "requests", "httpx", "pydantic", "scipy", "sklearn"}
