"""SageMaker Runtime: InvokeEndpoint."""

import asyncio
import json
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import urllib3

from local.core.errors import ServiceError
from local.core.json_service import Response, error_body
from local.core.names import ACCOUNT, REGION
from local.sagemaker.capture import DataCapture, Exchange, Payload
from local.sagemaker.endpoint.endpoint import Endpoint
from local.sagemaker.endpoint.instance import InstanceGoneError, ServerEndedError
from local.sagemaker.endpoint.variant import Variant
from local.sagemaker.invocation_metrics import Invocation, InvocationMetrics
from local.sagemaker.service import SageMaker

PATH = re.compile(r"/endpoints/([^/]+)/invocations")
MAXIMUM_BYTES = 25 * 1024 * 1024
TIMEOUT_SECONDS = 60.0
"""InvokeEndpoint's limits (API reference, InvokeEndpoint; endpoints and quotas)."""

ATTEMPTS = 20
ATTEMPT_PAUSE = 0.05
"""Other instances to try when the chosen one has just left; nothing has reached the model then."""

ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
INFERENCE_ID = "x-amzn-sagemaker-inference-id"
LONGEST_ID = 64
"""Most characters of an InferenceId (API reference, InvokeEndpoint)."""

FORWARDED = ("Content-Type", "Accept", ATTRIBUTES)
RETURNED = ("Content-Type", ATTRIBUTES)
TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    "each container in Amazon CloudWatch, resolve the issue, and try again."
)
SERVER_ENDED = "The model's server ended while it answered the request."


@dataclass(frozen=True)
class Answer:
    """What a model's server said; status 0 for nothing in time."""

    status: int
    headers: dict[str, str]
    body: bytes


class SageMakerRuntime:
    """Sends requests to the instances of an endpoint.

    It has threads of its own: a Lambda waits in one of ministack's for the endpoint that it calls.
    """

    def __init__(self, sagemaker: SageMaker, metrics: InvocationMetrics, capture: DataCapture) -> None:
        self._sagemaker = sagemaker
        self._metrics = metrics
        self._capture = capture
        self._threads = ThreadPoolExecutor(128, thread_name_prefix="invoke")

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        """Answer a request (ministack's handler signature)."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, self._invoke, path, headers, body)
        except ServiceError as error:
            content = {"Content-Type": "application/json", "x-amzn-ErrorType": error.code}
            return error.status, content, json.dumps(error_body(error)).encode()

    def _invoke(self, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        started = time.perf_counter()
        endpoint = self._endpoint(path)
        if len(body) > MAXIMUM_BYTES:
            raise ServiceError("413", f"HTTP content length exceeded {MAXIMUM_BYTES} bytes.", 413)
        inference_id = _inference_id(headers)
        forwarded = {name: headers[name.lower()] for name in FORWARDED if name.lower() in headers}
        for _ in range(ATTEMPTS):
            variant = endpoint.choose_variant(headers.get("x-amzn-sagemaker-target-variant"))
            sent = time.perf_counter()
            try:
                answer = _ask(variant, body, forwarded)
            except InstanceGoneError:
                time.sleep(ATTEMPT_PAUSE)
                continue
            self._metrics.record(
                Invocation(
                    endpoint=endpoint.name,
                    variant=variant.name,
                    config=variant.config,
                    status=answer.status,
                    model_microseconds=(time.perf_counter() - sent) * 1e6,
                    overhead_microseconds=(sent - started) * 1e6,
                    instances=max(1, endpoint.count_serving(variant.name)),
                )
            )
            if not 200 <= answer.status < 300:
                raise _model_error(endpoint.name, answer)
            exchange = Exchange(
                Payload(body, headers.get("content-type", "")),
                Payload(answer.body, answer.headers.get("Content-Type", "")),
                headers.get(ATTRIBUTES.lower()),
                inference_id,
            )
            self._capture.record(endpoint.name, variant, exchange)
            return 200, {**answer.headers, "x-Amzn-Invoked-Production-Variant": variant.name}, answer.body
        raise ServiceError("ServiceUnavailable", "The service is currently unavailable.", 503)

    def _endpoint(self, path: str) -> Endpoint:
        match = PATH.fullmatch(path)
        if match is None:
            message = "Asynchronous and streamed invocations are not simulated by the embedded AWS."
            raise ServiceError("NotImplemented", message, 501)
        endpoint = self._sagemaker.endpoints.get(match[1])
        if endpoint is None or not endpoint.variants:
            raise ServiceError("ValidationError", f"Endpoint {match[1]} of account {ACCOUNT} not found.")
        return endpoint


def _inference_id(headers: Mapping[str, str]) -> str | None:
    """Return the request's ``InferenceId``.

    Raises
    ------
    ServiceError
        It is too long, or not printable ASCII without a blank first (API reference, InvokeEndpoint).
    """
    value = headers.get(INFERENCE_ID)
    if value is None:
        return None
    if len(value) > LONGEST_ID:
        constraint = f"Member must have length less than or equal to {LONGEST_ID}"
    elif not re.fullmatch(r"[!-~][ -~]*", value):
        constraint = r"Member must satisfy regular expression pattern: \A\S[\p{Print}]*\z"
    else:
        return value
    raise ServiceError(
        "ValidationError",
        f"1 validation error detected: Value '{value}' at 'inferenceId' failed to satisfy constraint: {constraint}",
    )


def _ask(variant: Variant, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Ask an instance of the variant; no answer becomes the one that SageMaker gives in the model's stead."""
    try:
        answer = variant.fleet.pick().invoke(body, headers, TIMEOUT_SECONDS)
    except urllib3.exceptions.TimeoutError:
        return Answer(0, {}, TIMED_OUT.encode())
    except ServerEndedError:
        return Answer(500, {}, SERVER_ENDED.encode())
    returned = {name: answer.headers[name] for name in RETURNED if name in answer.headers}
    return Answer(answer.status, returned, answer.data)


def _model_error(endpoint: str, answer: Answer) -> ServiceError:
    status, message = answer.status, answer.body.decode(errors="replace")
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    side = "client" if 400 <= status < 500 else "server"
    console = f"https://{REGION}.console.aws.amazon.com/cloudwatch/home?region={REGION}#logEventViewer:group={group}"
    return ServiceError(
        "ModelError",
        f'Received {side} error ({status}) from primary with message "{message}". '
        f"See {console} in account {ACCOUNT} for more information.",
        424,
        OriginalStatusCode=status,
        OriginalMessage=message,
        LogStreamArn=f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}",
    )
