"""Data capture: what an endpoint keeps of requests and answers, as files of JSON lines in S3.

Sources: SageMaker guide, "Capture data from real-time endpoint" (the folders and the lines) and "Preprocessing and
Postprocessing" (``customAttributes``); API reference, DataCaptureConfig. AWS does not say which answers it captures;
here they are those that a caller gets, not the errors of a model.
"""

import base64
import json
import logging
import random
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.core.account import Account
from local.core.aws_errors import CALL_FAILED_AS_ROLE
from local.core.s3_objects import upload_object
from local.sagemaker.endpoint.variant import Variant

log = logging.getLogger(__name__)

WRITE_SECONDS = 1.0
"""How often files are written; SageMaker takes a minute or two."""


@dataclass(frozen=True)
class Payload:
    """The body of a request or of an answer."""

    body: bytes
    content_type: str


@dataclass(frozen=True)
class Exchange:
    """A request and its answer.

    Parameters
    ----------
    attributes, inference_id
        ``CustomAttributes`` and ``InferenceId`` of the request.
    """

    request: Payload
    answer: Payload
    attributes: str | None = None
    inference_id: str | None = None


@dataclass(frozen=True)
class _Destination:
    """Where lines go that become one file, and who writes it."""

    role: str
    uri: str
    key: str
    folder: str


class DataCapture:
    """Samples exchanges; writes them with the rights of the model's execution role.

    Parameters
    ----------
    account
        Gives access to S3 as that role.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._lock = threading.Lock()
        self._lines: defaultdict[_Destination, list[str]] = defaultdict(list)
        self._clients: dict[str, Any] = {}

    def record(self, endpoint: str, variant: Variant, exchange: Exchange) -> None:
        """Keep an exchange of a variant's, if its configuration captures and the sample takes it."""
        config = variant.capture
        if not config or not config.get("EnableCapture", True):
            return
        if random.random() * 100 >= config["InitialSamplingPercentage"]:  # noqa: S311 - a sample needs no secret
            return
        now = time.gmtime()
        folder = f"{endpoint}/{variant.name}/{time.strftime('%Y/%m/%d/%H', now)}"
        destination = _Destination(
            variant.role, config["DestinationS3Uri"].rstrip("/"), config.get("KmsKeyId", ""), folder
        )
        line = json.dumps(_event(config, exchange, time.strftime("%Y-%m-%dT%H:%M:%SZ", now)))
        with self._lock:
            self._lines[destination].append(line)

    def write_forever(self, stop: threading.Event) -> None:
        """Write what was recorded every second until `stop` is set."""
        while not stop.wait(WRITE_SECONDS):
            self.write()

    def write(self) -> None:
        """Write what was recorded; lines that the role may not write are lost, as an endpoint answers all the same."""
        with self._lock:
            recorded, self._lines = self._lines, defaultdict(list)
        for destination, lines in recorded.items():
            try:
                self._put(destination, lines)
            except CALL_FAILED_AS_ROLE as error:
                log.warning("capture of %s: %d line(s) not written: %s", destination.folder, len(lines), error)

    def _put(self, destination: _Destination, lines: list[str]) -> None:
        if destination.role not in self._clients:
            credentials = self._account.assume(destination.role, "sagemaker", "SageMaker")
            self._clients[destination.role] = self._account.client("s3", credentials)
        name = f"{time.strftime('%M-%S', time.gmtime())}-{uuid.uuid4()}.jsonl"
        content = "".join(f"{line}\n" for line in lines).encode()
        upload_object(
            self._clients[destination.role], f"{destination.uri}/{destination.folder}/{name}", content, destination.key
        )


def _event(config: Mapping[str, Any], exchange: Exchange, moment: str) -> dict[str, Any]:
    modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
    headers = config.get("CaptureContentTypeHeader", {})
    captured = {}
    if modes & {"Input", "InputAndOutput"}:
        captured["endpointInput"] = _part("INPUT", exchange.request, headers)
    if modes & {"Output", "InputAndOutput"}:
        captured["endpointOutput"] = _part("OUTPUT", exchange.answer, headers)
    metadata: dict[str, Any] = {"eventId": str(uuid.uuid4())}
    if exchange.attributes:
        metadata["customAttributes"] = [exchange.attributes]
    if exchange.inference_id:
        metadata["inferenceId"] = exchange.inference_id
    metadata["inferenceTime"] = moment
    return {"captureData": captured, "eventMetadata": metadata, "eventVersion": "0"}


def _part(mode: str, payload: Payload, headers: Mapping[str, Any]) -> dict[str, str]:
    """Return a payload as text where its type is listed as such, else in base64 (CaptureContentTypeHeader)."""
    kind = payload.content_type.partition(";")[0].strip()
    lists = {"JSON": "JsonContentTypes", "CSV": "CsvContentTypes"}
    encoding = next((name for name, member in lists.items() if kind in headers.get(member, ())), "BASE64")
    data = base64.b64encode(payload.body) if encoding == "BASE64" else payload.body
    return {
        "observedContentType": payload.content_type,
        "mode": mode,
        "data": data.decode(errors="replace"),
        "encoding": encoding,
    }
