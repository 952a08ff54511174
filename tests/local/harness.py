"""A stand-in for the serving code, so that the tests of the embedded AWS need no trained model."""

import io
import json
import tarfile
from typing import Any

from tests.embedded import Aws

MINUTE = 0.5
"""Real seconds of an autoscaling minute."""

SERVER = """
import http.server, json, os, sys, time

name = open("name").read()
if name == "broken":
    sys.exit("this model cannot be loaded")
if name == "silent":
    print("still thinking", flush=True)
    time.sleep(60)
print("serving", name, flush=True)

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, **headers):
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", "Content-Length": len(body), **headers}.items():
            self.send_header(key, str(value))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, b"")

    def do_POST(self):
        wish = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        time.sleep(wish.get("sleep", name == "slow" and 0.5))
        if wish.get("exit"):
            os._exit(3)
        answer = {"model": name, "pid": os.getpid(), "headers": dict(self.headers), "environment": dict(os.environ)}
        attributes = {"X-Amzn-SageMaker-Custom-Attributes": "seen=1"}
        self.close_connection = wish.get("hang_up", False)
        status = wish.get("status", {"failing": 500, "refusing": 415}.get(name, 200))
        self.answer(status, json.dumps(answer).encode(), **attributes)

address = os.environ["BIND_HOST"], int(os.environ["SAGEMAKER_BIND_TO_PORT"])
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""


def artifact(name: str) -> bytes:
    """Return a model.tar.gz whose server answers with its name; ``broken`` and ``silent`` never become healthy.

    ``failing`` does, and answers every request with a 500, ``refusing`` with a 415, ``slow`` after half a second.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in {"name": name, "code/server.py": SERVER}.items():
            member = tarfile.TarInfo(path)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def ask(aws: Aws, endpoint: str, **wish: Any) -> dict[str, Any]:
    """Ask a stand-in model; `wish` says how it is to behave."""
    answer = aws.sagemaker_runtime.invoke_endpoint(EndpointName=endpoint, Body=json.dumps(wish))
    body: dict[str, Any] = json.load(answer["Body"])
    return body
