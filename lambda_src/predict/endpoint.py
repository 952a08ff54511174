"""Asking the SageMaker endpoint, and what its failures mean to the caller."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import boto3
from botocore.config import Config

from .common.deadline import Deadline
from .endpoint_problem import EndpointProblem, endpoint_problem
from .model_answer import MAX_ANSWER_BYTES, read_answer

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

CONNECT_TIMEOUT_SECONDS = 2
_PAUSE_SECONDS = 0.2
"""Most of the random pause before a second attempt."""
_LONGEST_PAUSE_SECONDS = 1.0
"""A service that asks for a longer one gets no second attempt: the caller waits instead."""


def runtime_client(timeout: float) -> SageMakerRuntimeClient:
    """Make a client whose calls wait ``timeout`` seconds for each byte, and never repeat by themselves.

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
    timeout
        Seconds that an answer may take, both attempts together.
    """

    def __init__(self, name: str, client: SageMakerRuntimeClient, timeout: float) -> None:
        self._name = name
        self._client = client
        self._timeout = timeout

    def predict(
        self,
        image: bytes,
        content_type: str,
        deadline: Deadline,
        top_k: int | None = None,
        inference_id: str | None = None,
    ) -> dict[str, Any]:
        """Return the container's answer, ``{"predictions": [...], "artifact_sha256": ...}``.

        Parameters
        ----------
        image
            The bytes of a photo.
        content_type
            The photo's media type.
        deadline
            When the request's answer is due.
        top_k
            How many labels to answer; None leaves it to the container.
        inference_id
            ``InferenceId``, by which captured answers are found: 1 to 64 printable characters, no blank first
            (SageMaker Runtime API reference, InvokeEndpoint).

        Raises
        ------
        Problem
            As `endpoint_problem` and `read_answer` say.
        """
        request = _request(image, content_type, inference_id)
        deadline = deadline.within(self._timeout)
        start = time.monotonic()
        try:
            body = self._attempt(request, top_k, deadline)
        except EndpointProblem as problem:
            if not problem.transient or not _wait(problem, deadline, time.monotonic() - start):
                raise
            body = self._attempt(request, top_k, deadline)
        return read_answer(body)

    def _attempt(self, request: _Request, top_k: int | None, deadline: Deadline) -> bytes:
        """Invoke, and return the answer's body, cut after one byte too many."""
        try:
            request["CustomAttributes"] = _attributes(top_k, deadline)
            return deadline.run(lambda: self._invoke(request))
        except Exception as error:
            problem = endpoint_problem(error)
            if problem is None:
                raise
            raise problem from error

    def _invoke(self, request: _Request) -> bytes:
        stream = self._client.invoke_endpoint(EndpointName=self._name, **request)["Body"]
        body = stream.read(MAX_ANSWER_BYTES + 1)
        if len(body) <= MAX_ANSWER_BYTES:
            stream.read(1)  # at its end, botocore compares the body's length with the announced one
        return body


def _wait(problem: EndpointProblem, deadline: Deadline, first_seconds: float) -> bool:
    """Wait before a second attempt; tell, without a wait, if one as long as the first does not fit."""
    pause = max(problem.wait, random.uniform(0, _PAUSE_SECONDS))  # noqa: S311 (no secret)
    if pause > _LONGEST_PAUSE_SECONDS or not deadline.allows(pause + first_seconds):
        return False
    time.sleep(pause)
    return True


def _attributes(top_k: int | None, deadline: Deadline) -> str:
    """Tell the container how many labels to answer, and for how long an answer is of use."""
    wait = f"deadline_ms={1000 * deadline.remaining():.0f}"
    return wait if top_k is None else f"top_k={top_k},{wait}"


def _request(image: bytes, content_type: str, inference_id: str | None) -> _Request:
    request: _Request = {"Body": image, "ContentType": content_type, "Accept": "application/json"}
    if inference_id:
        request["InferenceId"] = inference_id
    return request
