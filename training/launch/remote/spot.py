"""The notice that a spot instance gets two minutes before it is taken away."""

import os
import urllib.error
import urllib.request

METADATA = "http://169.254.169.254"
SECONDS = 5.0
"""How often to look, as AWS recommends (EC2 guide, "Spot Instance interruption notices")."""

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""The service answers the instance alone: a proxy would ask for another machine's notice, or not get through."""


def is_to_go() -> bool:
    """Ask the instance metadata service, version 2; one that does not answer has no notice."""
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return False
    endpoint = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", METADATA).rstrip("/")
    try:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = _ask(urllib.request.Request(f"{endpoint}/latest/api/token", method="PUT", headers=headers))  # noqa: S310
        headers = {"X-aws-ec2-metadata-token": token}
        _ask(urllib.request.Request(f"{endpoint}/latest/meta-data/spot/instance-action", headers=headers))  # noqa: S310
    except (urllib.error.URLError, TimeoutError, OSError):  # 404 when there is none
        return False
    return True


def _ask(request: urllib.request.Request) -> str:
    with DIRECT.open(request, timeout=2) as answer:
        body: bytes = answer.read()
    return body.decode()
