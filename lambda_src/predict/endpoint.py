"""Asking the SageMaker endpoint, and what its failures mean to the caller."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import boto3
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    HTTPClientError,
    ReadTimeoutError,
)
from botocore.exceptions import ConnectionError as ConnectionFailure

from .common.problem import Problem

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient
    from mypy_boto3_sagemaker_runtime.type_defs import InvokeEndpointOutputTypeDef

CONNECT_TIMEOUT_SECONDS = 2
_STALE_AFTER_SECONDS = 1.0
_CALLER_STATUSES = (400, 413, 415, 422)
_THROTTLING = ("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded")
_DENIED = ("AccessDeniedException", "AccessDenied")


def runtime_client(timeout: float) -> SageMakerRuntimeClient:
    """Make a client that gives up after ``timeout`` seconds and never repeats by itself.

    botocore's own default of three attempts of 60 s makes a hung model cost 180 s, longer than the function
    may run (https://docs.aws.amazon.com/boto3/latest/guide/retries.html).

    Parameters
    ----------
    timeout
        Seconds to wait for the answer.
    """
    return boto3.client(
        "sagemaker-runtime",
        config=Config(
            connect_timeout=min(CONNECT_TIMEOUT_SECONDS, timeout),
            read_timeout=timeout,
            retries={"total_max_attempts": 1, "mode": "standard"},
            tcp_keepalive=True,
        ),
    )


class _Request(TypedDict):
    """Parameters of InvokeEndpoint beside the endpoint's name."""

    Body: bytes
    ContentType: str
    Accept: str
    CustomAttributes: NotRequired[str]
    InferenceId: NotRequired[str]


class Endpoint:
    """One SageMaker endpoint that serves an artifact of Kennel.

    Parameters
    ----------
    name
        The endpoint's name.
    client
        A client of ``sagemaker-runtime``, made once for the life of the process.
    """

    def __init__(self, name: str, client: SageMakerRuntimeClient) -> None:
        self._name = name
        self._client = client

    def predict(
        self, image: bytes, content_type: str, top_k: int | None = None, inference_id: str | None = None
    ) -> dict[str, Any]:
        """Return the container's answer, ``{"predictions": [...], "artifact_sha256": ...}``.

        Parameters
        ----------
        image
            The bytes of a photo.
        content_type
            The photo's media type.
        top_k
            How many labels to answer; None leaves it to the container.
        inference_id
            ``InferenceId``, by which captured answers are found: 1 to 64 printable characters, no blank first
            (SageMaker Runtime API reference, InvokeEndpoint).

        Raises
        ------
        Problem
            The container's own 4xx, or 429, 500, 502, 503 or 504, as the table in `problem` says.
            https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
            lists the service's errors.
        """
        try:
            return _content(self._invoke(_request(image, content_type, top_k, inference_id)))
        except ClientError as error:
            raise _problem(error) from error
        except (ReadTimeoutError, ConnectTimeoutError) as error:
            raise Problem(504, "The model did not answer in time.", reason=str(error)) from error
        except (ConnectionFailure, HTTPClientError) as error:
            raise Problem(502, "The model cannot be reached.", reason=str(error)) from error

    def _invoke(self, request: _Request) -> InvokeEndpointOutputTypeDef:
        """Invoke, once more if a kept-alive connection turns out to have died while the function was frozen."""
        start = time.monotonic()
        try:
            return self._client.invoke_endpoint(EndpointName=self._name, **request)
        except ConnectionClosedError:
            if time.monotonic() - start > _STALE_AFTER_SECONDS:
                raise
            return self._client.invoke_endpoint(EndpointName=self._name, **request)


def _request(image: bytes, content_type: str, top_k: int | None, inference_id: str | None) -> _Request:
    request: _Request = {"Body": image, "ContentType": content_type, "Accept": "application/json"}
    if top_k is not None:
        request["CustomAttributes"] = f"top_k={top_k}"
    if inference_id:
        request["InferenceId"] = inference_id
    return request


def _content(response: InvokeEndpointOutputTypeDef) -> dict[str, Any]:
    """Read an answer's JSON, which another model behind the same name need not send."""
    body = response["Body"].read()
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("predictions"), list):
        raise Problem(502, "The model's answer is not a list of predictions.", reason=f"{len(body)} bytes")
    return {"predictions": content["predictions"], "artifact_sha256": content.get("artifact_sha256")}


def _problem(error: ClientError) -> Problem:
    """Say what a service error means to the caller; its own words, with ARNs in them, go to the log alone."""
    code = error.response["Error"]["Code"]
    reason = str(error)
    if code == "ModelError":
        return _model_problem(error)
    if code in _THROTTLING:
        return Problem(429, "Too many requests; try again soon.", headers={"Retry-After": "1"}, reason=reason)
    if code == "ModelNotReadyException":
        return Problem(503, "The model is still loading.", headers={"Retry-After": "10"}, reason=reason)
    if code == "ServiceUnavailable":
        return Problem(503, "The model is overloaded.", headers={"Retry-After": "2"}, reason=reason)
    if code == "ValidationError":
        return Problem(503, "The model is not deployed.", headers={"Retry-After": "30"}, reason=reason)
    if code in _DENIED:
        return Problem(500, "The service is not set up correctly.", reason=reason)
    if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
        return Problem(502, "The model's service failed; try again soon.", reason=reason)
    return Problem(500, "The service is not set up correctly.", reason=reason)


def _model_problem(error: ClientError) -> Problem:
    """Pass the container's 4xx on in its own words; anything else is its fault and stays in the log."""
    status = error.response.get("OriginalStatusCode")
    message = str(error.response.get("OriginalMessage", ""))
    reason = str(error)
    if status in _CALLER_STATUSES:
        return Problem(int(status), _detail(message) or "The model refused the photo.", reason=reason)
    if status in (429, 503):
        return Problem(503, "The model is overloaded.", headers={"Retry-After": "2"}, reason=reason)
    if not status:  # SageMaker writes 0 where the container did not answer within its 60 s
        return Problem(504, "The model did not answer in time.", reason=reason)
    return Problem(502, "The model failed on the photo.", reason=reason)


def _detail(message: str) -> str | None:
    """Return the detail of a problem (RFC 9457) that the container sent, if that is what it sent."""
    try:
        content = json.loads(message)
    except ValueError:
        return None
    detail = content.get("detail") if isinstance(content, dict) else None
    return detail if isinstance(detail, str) else None
