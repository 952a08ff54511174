"""Stop this SageMaker notebook instance when nobody has worked on it for a while.

    python3 stop_when_idle.py NOTEBOOK_NAME REGION IDLE_MINUTES

The notebook's lifecycle script (``stacks/notebook.py``) installs this file and runs it every few minutes as root. It
asks Jupyter on the instance for its kernels and terminals: one busy kernel, or one sign of life younger than the
limit, keeps the instance. An open browser tab does not, and neither do these questions. Only the standard library
and the AWS CLI are used, for Python 3.7 and later: the interpreter is the instance's own.
"""

from __future__ import annotations

import calendar
import json
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

JUPYTER = "https://localhost:8443"


def seconds_idle(jupyter: Callable[[str], Any], now: float) -> float:
    """Return for how long no kernel and no terminal has done anything; 0 while a kernel computes.

    Parameters
    ----------
    jupyter
        A function that returns the decoded JSON of a path of Jupyter's REST API (Jupyter Server, "REST API").
    now
        The time, in seconds since 1970.
    """
    kernels = jupyter("/api/kernels")
    if any(kernel["execution_state"] == "busy" for kernel in kernels):
        return 0
    signs = [item["last_activity"] for item in kernels + jupyter("/api/terminals")]
    signs.append(jupyter("/api/status")["started"])
    # 2026-01-31T12:34:56.789012Z
    latest = max(calendar.timegm(time.strptime(sign[:19], "%Y-%m-%dT%H:%M:%S")) for sign in signs)
    return max(0, now - latest)


def ask(path: str) -> Any:
    """Ask the Jupyter server of this instance, whose certificate is its own."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with urllib.request.urlopen(JUPYTER + path, context=context, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def main(name: str, region: str, idle_minutes: str) -> None:
    """Stop the instance if it has been idle for long enough."""
    idle = seconds_idle(ask, time.time())
    if idle >= 60 * int(idle_minutes):
        command = ["aws", "sagemaker", "stop-notebook-instance", "--notebook-instance-name", name, "--region", region]
        subprocess.run(command, check=True)  # noqa: S603


if __name__ == "__main__":
    main(*sys.argv[1:])
