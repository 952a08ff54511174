"""The start path of AWS's Ray Serve container, followed inside network and process namespaces of its own.

    unshare --net --pid --fork --kill-child --mount-proc python ray_start_path.py PLAN

What ``scripts/docker/ray/sagemaker_entrypoint.sh`` and ``sagemaker_serve.py`` of
https://github.com/aws/deep-learning-containers do, without their fixed sleeps: install ``code/requirements.txt``,
start Ray and Serve, run ``config.yaml``, and pass requests on as the adapter on port 8080 does. PLAN is a JSON file:
``{"broken": folder, "good": folder, "requests": [{"body": file, "headers": {}}]}``. Prints one JSON object.

The process is the namespace's first: when it ends, all that it started does too.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

SERVE = "http://127.0.0.1:8000"


def raise_loopback():
    """Do what ``ip link set lo up`` does, on machines without iproute2; netdevice(7)."""
    up, set_flags = 0x1, 0x8914
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh14x", b"lo", up))


def exchange(path, body=None, headers=None, timeout=60):
    """Return status, content type and body of one request to Serve; status 0 if there is none."""
    request = urllib.request.Request(f"{SERVE}{path}", data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers["Content-Type"], answer.read()
    except OSError as error:
        return 0, "", str(error).encode()


def ping():
    """Return what the adapter's /ping would: 200 if and only if Serve's own health check is."""
    return 200 if exchange("/-/healthz", timeout=5)[0] == 200 else 503


def invocations(body, headers):
    """Pass on what the adapter passes on: SageMaker's headers, Content-Type and Accept."""
    passed = {name: value for name, value in headers.items() if name.lower().startswith("x-amzn-sagemaker-")}
    passed["Content-Type"] = headers.get("Content-Type", "application/json")
    passed["Accept"] = headers.get("Accept", "application/json")
    return exchange("/", body, passed)


def application_status():
    from ray import serve

    applications = serve.status().applications
    return applications["classifier"].status.value if "classifier" in applications else None


def start(artifact, environment):
    """Run an artifact's config.yaml as the container does."""
    with (artifact / "serve.log").open("w") as log:
        command = ["serve", "run", str(artifact / "config.yaml")]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)


def main():
    plan = json.loads(Path(sys.argv[1]).read_text())
    raise_loopback()
    model = Path(plan["model"])  # a link, as /opt/ml/model is the same path for every artifact
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment["PYTHONPATH"] = f"{model}:{model}/code"
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    began = time.monotonic()

    def run(*command):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: {done.stdout}{done.stderr}")

    run("pip", "uninstall", "-q", "-y", "onnxruntime", "flatbuffers")  # an earlier run's
    model.symlink_to(plan["broken"])
    run("pip", "install", "-r", f"{model}/code/requirements.txt")
    run("ray", "start", "--head", "--port=6379", "--include-dashboard=False", "--num-gpus=0")
    run("serve", "start", "--http-host=0.0.0.0", "--http-port=8000")
    observed = {"seconds_to_serve": round(time.monotonic() - began, 1)}
    os.environ["RAY_ADDRESS"] = "127.0.0.1:6379"
    print(json.dumps(observed))


if __name__ == "__main__":
    main()
