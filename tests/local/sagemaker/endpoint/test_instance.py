"""One instance, with a role that may read its artifact and no gateway."""

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from local.core.account import Account, Credentials
from local.core.errors import InstanceError
from local.sagemaker.endpoint.instance import Instance, InstanceGoneError, InstanceSpec, ServerEndedError
from tests import version_before
from tests.embedded import alive, eventually
from tests.local.harness import artifact
from tests.local.sagemaker.endpoint.test_artifact import FakeS3, archive, file
from tests.training.serving.conftest import RED, write_artifact


class FakeAccount:
    """Hands out one artifact."""

    url, ca = "https://gateway", "/ca.pem"

    def __init__(self, content: bytes) -> None:
        self.content = content

    def assume(self, role: str, service: str, session: str) -> Credentials:
        return Credentials("key", "secret", "token")

    def client(self, service: str, credentials: Credentials) -> FakeS3:
        return FakeS3(self.content)


class Log:
    """Keeps what instances printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def follow(self, instance: Instance) -> None:
        pass

    def finish(self, instance: Instance) -> None:
        self.lines += instance.log.read_text().splitlines() if instance.log.exists() else []


@pytest.fixture
def started() -> Iterator[list[Instance]]:
    instances: list[Instance] = []
    yield instances
    for instance in instances:
        instance.stop(drain=0)


@pytest.fixture
def log() -> Log:
    return Log()


def make(root: Path, log: Log, content: bytes, *, isolated: bool = True, startup: float = 20) -> Instance:
    model = {
        "ExecutionRoleArn": "arn:aws:iam::123456789012:role/r",
        "EnableNetworkIsolation": isolated,
        "PrimaryContainer": {"ModelDataUrl": "s3://bucket/key", "Environment": {"BIND_HOST": "0.0.0.0", "MINE": "1"}},
    }
    spec = InstanceSpec("endpoint", "AllTraffic", model, download_timeout=10, startup_timeout=startup)
    return Instance(spec, cast("Account", FakeAccount(content)), root, log)


def ask(instance: Instance, timeout: float = 10, **wish: Any) -> dict[str, Any]:
    answer = instance.invoke(json.dumps(wish).encode(), {}, timeout)
    body: dict[str, Any] = answer.json()
    return body


def test_a_server_gets_the_container_s_environment_and_no_more(
    tmp_path: Path, log: Log, started: list[Instance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    instance = make(tmp_path, log, artifact("one"))
    started.append(instance)
    instance.start()
    environment = ask(instance)["environment"]
    assert environment["MINE"] == "1"
    assert environment["BIND_HOST"] == "127.0.0.1"
    assert [name for name in environment if name.startswith("AWS_")] == ["AWS_REGION"]


def test_a_server_without_network_isolation_gets_the_role_s_credentials(
    tmp_path: Path, log: Log, started: list[Instance]
) -> None:
    instance = make(tmp_path, log, artifact("one"), isolated=False)
    started.append(instance)
    instance.start()
    environment = ask(instance)["environment"]
    assert (environment["AWS_ACCESS_KEY_ID"], environment["AWS_SESSION_TOKEN"]) == ("key", "token")
    assert environment["AWS_ENDPOINT_URL"] == "https://gateway"


def test_a_server_that_ends_before_it_is_healthy_fails_at_once_with_its_last_line(tmp_path: Path, log: Log) -> None:
    with pytest.raises(InstanceError, match=r"exit status 1\. Its last line: this model cannot be loaded"):
        make(tmp_path, log, artifact("broken"), startup=3600).start()
    assert log.lines == ["this model cannot be loaded"]
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_healthy_in_time_is_stopped(tmp_path: Path, log: Log) -> None:
    instance = make(tmp_path, log, artifact("silent"), startup=0.5)
    with pytest.raises(InstanceError, match=r"did not pass the ping health check.*still starting"):
        instance.start()
    assert instance.pid is not None
    assert not alive(instance.pid)
    assert list(tmp_path.iterdir()) == []


def test_an_artifact_without_a_server_is_named(tmp_path: Path, log: Log) -> None:
    with pytest.raises(InstanceError, match=r"the model artifact does not contain code/server\.py, which"):
        make(tmp_path, log, archive(file("model.onnx"))).start()


def test_the_code_of_the_version_before_serves(tmp_path: Path, log: Log, started: list[Instance]) -> None:
    model = write_artifact(tmp_path / "artifact")
    graph, card = ((model / name).read_bytes() for name in ("model.onnx", "model.json"))
    version_before.write_archive(tmp_path / "model.tar.gz", graph, card, {})
    instance = make(tmp_path / "instances", log, (tmp_path / "model.tar.gz").read_bytes())
    started.append(instance)
    instance.start()
    photo = io.BytesIO()
    Image.new("RGB", (48, 40), RED).save(photo, "PNG")
    answer = instance.invoke(photo.getvalue(), {"Content-Type": "image/png"}, 10)
    assert answer.status == 200
    assert answer.json()["predictions"][0]["label"] == "Red setter"


def test_stopping_waits_for_requests_in_flight_and_takes_no_more(
    tmp_path: Path, log: Log, started: list[Instance]
) -> None:
    instance = make(tmp_path, log, artifact("one"))
    started.append(instance)
    instance.start()
    answers: list[str] = []
    request = threading.Thread(target=lambda: answers.append(ask(instance, sleep=1)["model"]))
    request.start()
    eventually(lambda: instance.in_flight == 1)
    instance.stop()
    request.join()
    assert answers == ["one"]
    with pytest.raises(InstanceGoneError):
        ask(instance)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_dies_of_a_request_is_told_from_one_that_never_got_it(
    tmp_path: Path, log: Log, started: list[Instance]
) -> None:
    instance = make(tmp_path, log, artifact("one"))
    started.append(instance)
    instance.start()
    with pytest.raises(ServerEndedError):
        ask(instance, exit=True)
    with pytest.raises(InstanceGoneError):
        ask(instance)


def test_a_kept_connection_that_the_server_has_closed_costs_no_request(
    tmp_path: Path, log: Log, started: list[Instance]
) -> None:
    instance = make(tmp_path, log, artifact("one"))
    started.append(instance)
    instance.start()
    for _ in range(20):
        assert ask(instance, hang_up=True)["model"] == "one"
