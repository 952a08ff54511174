"""One request from event to labels: read, fetch if asked, ask the endpoint."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from .common.deadline import Deadline
from .common.image import Photo, media_type
from .endpoint import Endpoint
from .event import read_event


class Record:
    """What the log may tell about a request, filled in while it runs.

    Attributes
    ----------
    source
        ``image`` or ``url``, once known.
    size
        Bytes of the photo, once known.
    inference_id
        What the endpoint was asked under, once it was asked.
    artifact_sha256
        Which artifact answered, once one did and if it says.
    milliseconds
        How long each step took.
    """

    def __init__(self) -> None:
        self.source: str | None = None
        self.size: int | None = None
        self.inference_id: str | None = None
        self.artifact_sha256: str | None = None
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Note how long a step takes, also one that fails.

        Parameters
        ----------
        step
            The step's key in ``milliseconds``.
        """
        start = time.perf_counter()
        try:
            yield
        finally:
            self.milliseconds[step] = round((time.perf_counter() - start) * 1000, 1)


class Classifier(NamedTuple):
    """Answers events.

    Attributes
    ----------
    endpoint
        Where the model is.
    fetch
        Returns the bytes behind a URL, or raises a `Problem`.
    max_image_bytes
        The largest photo that is taken.
    """

    endpoint: Endpoint
    fetch: Callable[[str, Deadline], bytes]
    max_image_bytes: int

    def classify(self, event: object, record: Record, deadline: Deadline, request_id: str = "") -> dict[str, Any]:
        """Return the labels for the photo of an event, and the id by which SageMaker's capture knows the answer.

        Parameters
        ----------
        event
            What Lambda passes on, not yet checked.
        record
            Filled in on the way, also where a step fails.
        deadline
            When the answer is due.
        request_id
            The id that Lambda gave the request. A retry of an asynchronous invocation has the same.

        Raises
        ------
        Problem
            A step failed; the problem has the status.
        """
        with record.timed("total"):
            request = read_event(event, self.max_image_bytes)
            photo = request.photo
            record.source = "url" if photo is None else "image"
            record.milliseconds["fetch"] = 0.0
            if photo is None:
                with record.timed("fetch"):
                    content = self.fetch(request.url or "", deadline)
                record.size = len(content)
                photo = Photo.of(content, media_type(content))
            record.size = len(photo.content)
            record.inference_id = request_id or str(uuid.uuid4())
            with record.timed("model"):
                prediction = self.endpoint.predict(
                    photo.content, photo.media_type, deadline, request.top_k, record.inference_id
                )
            record.artifact_sha256 = prediction["artifact_sha256"]
            return {**prediction, "inference_id": record.inference_id, "milliseconds": dict(record.milliseconds)}
