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

from training.artifact.layout import SERVING

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


# In place of the model: answers the warm-up at once, and photos once they are allowed to.
SLOW = """
import os, sys, time
from pathlib import Path
from serving import inference
predict, gate = inference.predict_fn, Path({gate!r})
def slow(photo, model):
    gate.with_name(f"started-{{time.monotonic_ns()}}").touch()
    while not gate.exists():
        time.sleep(0.01)
    return predict(photo, model)
inference.predict_fn = slow
sys.argv = ["server.py"]
from serving import server
server.main()
"""


def slow_server(gate: Path) -> list[str]:
    return [sys.executable, "-c", SLOW.format(gate=str(gate))]


def started(gate: Path) -> int:
    """Return how many photos a slow server has begun to work on."""
    return len(list(gate.parent.glob("started-*")))


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("never happened")


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


@pytest.mark.parametrize("name", ["INFERENCE_WORKERS", "INFERENCE_THREADS", "SAGEMAKER_BIND_TO_PORT"])
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
