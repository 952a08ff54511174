"""The artifact in AWS's Ray Serve container: its start path, on the real Ray, with no network but loopback."""

import base64
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image

from tests import version_before
from tests.training.serving.test_bounds import BOMB, with_costly_scans
from training.artifact.archive import unpack, write_archive
from training.serving.photo_file import MAX_BODY_BYTES

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".venv-ray/bin/python"
WHEELS = ROOT / ".venv-ray/wheels"
DRIVER = Path(__file__).with_name("ray_container.py")
ISOLATION = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
ENVIRONMENT = os.environ | {"MODEL_ARTIFACT_SHA256": "ef" * 32}


def unavailable(reason: str) -> NoReturn:
    """Skip on a user's machine; fail in CI, where a skipped test would not be noticed."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def isolated() -> list[str]:
    """Return the command before a command that is to run with no network but loopback."""
    if not PYTHON.exists() or not list(WHEELS.glob("onnxruntime-*.whl")):
        unavailable("the environment with Ray (.venv-ray) is missing; `make test` builds it")
    for unshare in (["unshare", *ISOLATION], ["unshare", "--map-root-user", *ISOLATION]):
        if shutil.which("unshare") and not subprocess.run([*unshare, "true"], capture_output=True).returncode:
            return unshare
    unavailable(
        "this test needs Linux namespaces (util-linux's unshare): run it as root, in a container with "
        "--privileged, or on a kernel that lets users make namespaces "
        "(sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0)"
    )


@pytest.fixture(scope="module")
def archive(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model.tar.gz as the packager writes it."""
    path = tmp_path_factory.mktemp("archive") / "model.tar.gz"
    card = json.loads((artifact / "model.json").read_text())
    write_archive(path, (artifact / "model.onnx").read_bytes(), card, sorted(WHEELS.glob("*.whl")))
    return path


@pytest.fixture(scope="module")
def requests(
    encode: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[bytes, dict[str, str]]]:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (150, 211, 3), dtype=np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    red = encode((250, 20, 30))
    return {
        "red png": (red, {"Content-Type": "image/png", "Accept": "application/json"}),
        "jpeg": (encode(noise, "JPEG"), {}),
        "jpeg on its side": (encode(noise, "JPEG", exif=turned), {"Content-Type": "image/jpeg"}),
        "webp": (encode(noise, "WEBP"), {"Content-Type": "application/x-image"}),
        "see-through png": (encode(noise.convert("LA")), {}),
        "top_k": (red, {"X-Amzn-SageMaker-Custom-Attributes": "top_k=1"}),
        "bad top_k": (red, {"X-Amzn-SageMaker-Custom-Attributes": "top_k=0"}),
        "empty": (b"", {}),
        "text": (b"hello", {"Content-Type": "text/plain"}),
        "damaged": (red[:60], {"Content-Type": "image/png"}),
        "no json": (red, {"Accept": "text/csv"}),
        "too late": (red, {"X-Amzn-SageMaker-Custom-Attributes": "deadline_ms=0"}),
        "bomb": (BOMB.read_bytes(), {}),
        "many scans": (with_costly_scans(encode(noise, "JPEG", progressive=True), *noise.size, 5000), {}),
        "large": (red.ljust(MAX_BODY_BYTES + 1), {}),
        "as large as may be": (red.ljust(MAX_BODY_BYTES), {}),
    }


@pytest.fixture(scope="module")
def seen(
    archive: Path, requests: dict[str, tuple[bytes, dict[str, str]]], isolated: list[str]
) -> Iterator[dict[str, dict[str, Any]]]:
    """Run two containers side by side, with the artifact and with a corrupt one; return what each saw."""
    with tempfile.TemporaryDirectory(prefix="ray") as short:  # paths of Unix sockets end at 107 bytes
        containers = {}
        for name in ("good", "corrupt"):
            folder = Path(short, name)
            unpack(archive, folder / "model")
            plan = []
            for i, (body, headers) in enumerate(requests.values()):
                (folder / str(i)).write_bytes(body)
                plan.append((str(folder / str(i)), headers))
            (folder / "requests.json").write_text(json.dumps(plan))
            if name == "corrupt":
                graph = folder / "model/model.onnx"
                graph.write_bytes(graph.read_bytes()[:-1] + b"\x00")
            containers[name] = subprocess.Popen(
                [*isolated, str(PYTHON), str(DRIVER), str(folder)],
                env=ENVIRONMENT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        try:
            outputs = {name: container.communicate(timeout=240) for name, container in containers.items()}
        finally:
            for container in containers.values():
                container.kill()  # and with it, by --kill-child, everything in its namespace
        for name, (out, errors) in outputs.items():
            assert out, f"{name}: {errors}\n{Path(short, name, 'log').read_text()[-5000:]}"
        yield {name: json.loads(out) for name, (out, _) in outputs.items()}


@pytest.mark.parametrize(
    ("ci", "outcome"), [("true", pytest.fail.Exception), ("false", pytest.skip.Exception), ("", pytest.skip.Exception)]
)
def test_what_a_machine_lacks_fails_in_ci_alone(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no namespaces"):
        unavailable("no namespaces")


def test_there_is_no_network_but_loopback(seen: dict[str, dict[str, Any]]) -> None:
    assert {each["network"] for each in seen.values()} == {"Network is unreachable"}


def test_ping_is_healthy_once_the_model_answers_and_stays_so(seen: dict[str, dict[str, Any]]) -> None:
    pings = seen["good"]["pings"]
    first = pings.index(200)
    assert first > 0
    assert set(pings[:first]) == {503}
    assert set(pings[first:]) == {200}


def test_a_corrupt_artifact_is_never_healthy(seen: dict[str, dict[str, Any]]) -> None:
    corrupt = seen["corrupt"]
    assert corrupt["failed"]
    assert set(corrupt["pings"]) == {503}
    assert len(corrupt["pings"]) >= 100


def test_a_photo_gets_the_right_answer(seen: dict[str, dict[str, Any]]) -> None:
    answer = seen["good"]["answers"][0]
    assert (answer["status"], answer["type"]) == (200, "application/json")
    members = json.loads(base64.b64decode(answer["body"]))
    assert members["predictions"][0]["label"] == "Red setter"
    assert members["artifact_sha256"] == "ef" * 32


def test_every_answer_is_that_of_our_own_server_byte_for_byte(
    seen: dict[str, dict[str, Any]],
    archive: Path,
    requests: dict[str, tuple[bytes, dict[str, str]]],
    tmp_path: Path,
) -> None:
    unpack(archive, tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "code/server.py")],
        cwd=tmp_path,
        env=ENVIRONMENT | {"SM_MODEL_DIR": "", "BIND_HOST": "127.0.0.1", "SAGEMAKER_BIND_TO_PORT": str(port)},
        stderr=subprocess.DEVNULL,
    )

    def ask(method: str, path: str, body: bytes | None, headers: dict[str, str]) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = base64.b64encode(response.read()).decode()
        return {"status": response.status, "type": response.headers["Content-Type"], "body": answer}

    try:
        for _ in range(1500):
            try:
                ask("GET", "/ping", None, {})
                break
            except OSError:
                time.sleep(0.02)
        ours = [ask("POST", "/invocations", body, headers) for body, headers in requests.values()]
    finally:
        process.kill()
        process.wait()
    statuses = dict(zip(requests, (answer["status"] for answer in ours), strict=True))
    assert statuses == dict.fromkeys(requests, 200) | {
        "bad top_k": 400,
        "empty": 400,
        "text": 415,
        "damaged": 422,
        "no json": 406,
        "too late": 503,
        "bomb": 413,
        "many scans": 422,
        "large": 413,
    }
    assert dict(zip(requests, seen["good"]["answers"], strict=True)) == dict(zip(requests, ours, strict=True))


def test_the_deployment_of_the_version_before_is_imported_and_proves_its_model(artifact: Path, tmp_path: Path) -> None:
    """The first step of ``serve run``, without Ray's processes, which take a minute."""
    graph, card = ((artifact / name).read_bytes() for name in ("model.onnx", "model.json"))
    version_before.write_archive(tmp_path / "model.tar.gz", graph, card, {})
    model, packages = tmp_path / "model", tmp_path / "packages"
    for name, content in version_before.members(tmp_path / "model.tar.gz").items():
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_bytes(content)
    for wheel in WHEELS.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(packages)

    def imported() -> subprocess.CompletedProcess[str]:
        path = f"{model}:{model}/code:{packages}"
        program = "from deployment import app; print(type(app).__name__)"
        return subprocess.run(
            [PYTHON, "-c", program], cwd="/", env=ENVIRONMENT | {"PYTHONPATH": path}, capture_output=True, text=True
        )

    done = imported()
    assert (done.returncode, done.stdout) == (0, "Application\n"), done.stderr
    (model / "model.onnx").write_bytes(graph[:-1] + b"\x00")
    assert "ArtifactError" in imported().stderr
