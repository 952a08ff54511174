import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from training.artifact.layout import SERVING, pinned_requirements
from training.artifact.wheels import Platform, fetch_wheels
from training.common.errors import TrainingError


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None) -> Iterator[str]:
    """Serve a package index that has two wheels of one small package, for two interpreters."""
    site = tmp_path / "index"
    (site / "simple" / "tiny").mkdir(parents=True)
    links = []
    for tag in ("cp313-cp313-manylinux_2_28_x86_64", "cp312-cp312-manylinux_2_28_aarch64"):
        name = f"tiny-1.0-{tag}.whl"
        with zipfile.ZipFile(site / name, "w") as wheel:
            wheel.writestr("tiny.py", f"tag = {tag!r}")
            wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
            wheel.writestr("tiny-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
            wheel.writestr("tiny-1.0.dist-info/RECORD", "")
        links.append(f'<a href="/{name}">{name}</a>')
    (site / "simple" / "tiny" / "index.html").write_text("".join(links))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(site))  # type: ignore[arg-type]

        def log_message(self, *arguments: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
        monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")
        yield "tiny==1.0"
        server.shutdown()


def test_the_version_that_is_proved_is_the_version_that_serves() -> None:
    pinned = dict(pin.split("==") for pin in pinned_requirements())
    for path in (SERVING / "requirements.txt", SERVING.parent / "requirements.txt"):
        assert f"onnxruntime=={pinned['onnxruntime']}" in path.read_text().splitlines()


def test_of_each_wheel_that_travels_the_published_hash_is_known() -> None:
    lines = [line.split("  ") for line in (SERVING.parent / "artifact" / "wheels.sha256").read_text().splitlines()]
    assert ["==".join(name.split("-")[:2]) for _, name in lines] == pinned_requirements()
    assert all(len(bytes.fromhex(digest)) == 32 for digest, _ in lines)


@pytest.mark.parametrize(
    "platform", [Platform(), Platform("3.12", "manylinux_2_28_aarch64")], ids=["AWS's container", "another"]
)
def test_wheels_are_those_of_the_interpreter_that_will_run(index: str, tmp_path: Path, platform: Platform) -> None:
    (wheel,) = fetch_wheels([index], tmp_path / "cache", platform)
    assert (
        wheel.name
        == f"tiny-1.0-cp{platform.python.replace('.', '')}-cp{platform.python.replace('.', '')}-{platform.tag}.whl"
    )
    assert [path.name for path in wheel.parent.iterdir()] == [wheel.name]


def test_a_cached_wheel_is_not_downloaded_again(index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fetch_wheels([index], tmp_path / "cache")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert fetch_wheels([index], tmp_path / "cache") == first


def test_without_network_and_cache_the_message_says_what_to_run(offline: None, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"tiny==1.0 for Python 3.13.*cannot be downloaded") as caught:
        fetch_wheels(["tiny==1.0"], tmp_path / "cache")
    message = str(caught.value)
    assert "\n" not in message
    assert "-m pip download" in message
    assert "--only-binary=:all: --python-version 3.13 --platform manylinux_2_28_x86_64" in message
    assert not list((tmp_path / "cache").rglob("*.whl"))
