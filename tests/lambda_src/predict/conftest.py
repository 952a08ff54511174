"""Servers on 127.0.0.1 that misbehave, and the fakes that lead a fetch there."""

from __future__ import annotations

import importlib
import os
import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest
import trustme

from lambda_src.predict.common.deadline import Deadline
from lambda_src.predict.fetch.fetch import fetch

Script = Callable[[socket.socket, bytes], None]

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4
PUBLIC = "93.184.215.14"


@pytest.fixture
def jpeg() -> bytes:
    """What passes for a photo until a container decodes it."""
    return JPEG


def _reply(body: bytes = JPEG, status: str = "200 OK", **headers: object) -> bytes:
    """An HTTP/1.1 response; a header given as None is left out."""
    fields = {"Content_Length": len(body), "Connection": "close", **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body


@pytest.fixture
def reply() -> Callable[..., bytes]:
    return _reply


def _drip(connection: socket.socket, data: bytes) -> None:
    """Send a byte every 0.05 s: minutes for a whole response, never a pause that a socket timeout notices."""
    for position in range(len(data)):
        connection.sendall(data[position : position + 1])
        time.sleep(0.05)


@pytest.fixture
def drip() -> Callable[[socket.socket, bytes], None]:
    return _drip


def _hung_up() -> bytes:
    raise ConnectionError("the client hung up")


class Server:
    """A TCP server on 127.0.0.1 that answers each connection by a script.

    The script gets the connection and the request; it may be changed between requests.
    """

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None, *, reads: bool = True) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self._reads = reads
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            stream = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            with stream:
                request = self._read(stream) if self._reads else b""
                self.requests.append(request)
                self.script(stream, request)

    @staticmethod
    def _read(stream: socket.socket) -> bytes:
        """Read one request, its body by its Content-Length."""
        request = b""
        while b"\r\n\r\n" not in request:
            request += stream.recv(65536) or _hung_up()
        head, _, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        missing = int(length[1]) - len(body) if length else 0
        while missing > 0:
            received = stream.recv(65536) or _hung_up()
            request += received
            missing -= len(received)
        return request

    def close(self) -> None:
        # close() alone leaves a blocked accept() in place.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers that stop with the test: `serve(bytes or script, tls=None)`."""
    servers: list[Server] = []

    def start(script: Script | bytes, tls: ssl.SSLContext | None = None, *, reads: bool = True) -> Server:
        if isinstance(script, bytes):
            answer = script

            def send(connection: socket.socket, _: bytes) -> None:
                connection.sendall(answer)

            script = send
        servers.append(Server(script, tls, reads=reads))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@dataclass
class Internet:
    """A fake internet: names, and a connector that leads every address to one local server.

    Attributes
    ----------
    names
        What each host resolves to; others are unknown.
    connected
        Each (address, port) that was asked for.
    """

    names: dict[str, list[str]] = field(default_factory=lambda: {"photos.example.org": [PUBLIC]})
    connected: list[tuple[str, int]] = field(default_factory=list)
    resolved: list[str] = field(default_factory=list)
    server: Server | None = None
    unreachable: set[str] = field(default_factory=set)
    tls: ssl.SSLContext | None = None

    def resolve(self, host: str) -> list[str]:
        self.resolved.append(host)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self.names[host]

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        self.connected.append((address, port))
        if address in self.unreachable:
            raise ConnectionRefusedError("refused")
        assert self.server is not None, f"a connection to {address} was tried"
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=timeout)

    def fetch(
        self,
        url: str = "http://photos.example.org/dog.jpg",
        *,
        timeout: float = 20.0,
        deadline: Deadline | None = None,
        max_bytes: int = 100_000,
    ) -> bytes:
        return fetch(
            url,
            deadline or Deadline(timeout),
            max_bytes=max_bytes,
            resolve=self.resolve,
            connect=self.connect,
            tls=self.tls,
        )


@pytest.fixture(autouse=True)
def _aws_without_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials that open nothing, a region, and none of this machine's own settings."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as Lambda loads it: with its environment in place."""
    monkeypatch.setenv("ENDPOINT_NAME", "kennel-dev")
    monkeypatch.delitem(sys.modules, "lambda_src.predict.handler", raising=False)
    return importlib.import_module("lambda_src.predict.handler")


@pytest.fixture
def internet() -> Internet:
    return Internet()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context that trusts the test's authority alone."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def certified(authority: trustme.CA) -> Callable[[str], ssl.SSLContext]:
    """Make a server's context with a certificate for a name."""

    def certify(name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        return context

    return certify
