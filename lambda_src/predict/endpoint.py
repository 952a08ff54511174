"""Asking the SageMaker endpoint, and what its failures mean to the caller."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from .common.problem import Problem, ProblemType
from .endpoint_problem import BROKEN_CONNECTION, connection_problem, service_problem

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient
    from mypy_boto3_sagemaker_runtime.type_defs import InvokeEndpointOutputTypeDef

CONNECT_TIMEOUT_SECONDS = 2
_STALE_AFTER_SECONDS = 1.0


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
            As `endpoint_problem` says.
        """
        try:
            return _content(self._invoke(_request(image, content_type, top_k, inference_id)))
        except ClientError as error:
            raise service_problem(error) from error
        except BROKEN_CONNECTION as error:
            raise connection_problem(error) from error
        except (AttributeError, TypeError, ValueError) as error:
            # botocore reads an error's body without a check of its types.
            raise Problem(
                ProblemType.MODEL_FAILED, "The model's service failed; try again soon.", reason=repr(error)
            ) from error

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
        raise Problem(
            ProblemType.MODEL_FAILED, "The model's answer is not a list of predictions.", reason=f"{len(body)} bytes"
        )
    return {"predictions": content["predictions"], "artifact_sha256": content.get("artifact_sha256")}
