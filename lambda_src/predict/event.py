"""The two kinds of event that invoke the function, read into one request.

A direct invocation sends ``{"image": "<base64>"}`` or ``{"url": "https://..."}``, optionally ``"top_k"``. A
function URL sends payload format 2.0 (https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html)
whose body is that same JSON or the photo itself, and may carry ``top_k`` in the query.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from .common.image import Photo, check_size, media_type
from .common.problem import Problem, ProblemType

MAX_TOP_K = 100
_MAX_DIGITS = 20
_WHAT_TO_SEND = 'Send {"image": "<base64>"} or {"url": "https://..."}.'


class Request(NamedTuple):
    """What a caller asks for: exactly one of ``photo`` and ``url`` is set.

    Attributes
    ----------
    photo
        The photo that the event holds.
    url
        Where the photo is, as written by the caller and not yet checked.
    top_k
        How many labels to answer; None leaves it to the container.
    """

    photo: Photo | None = None
    url: str | None = None
    top_k: int | None = None


def read_event(event: object, max_bytes: int) -> Request:
    """Read an event of either kind.

    Parameters
    ----------
    event
        What Lambda passes on: any JSON value.
    max_bytes
        Bytes of the largest photo that is taken, after base64 is decoded.

    Raises
    ------
    Problem
        As `ProblemType` says.
    """
    if not isinstance(event, Mapping):
        raise Problem(ProblemType.BAD_REQUEST, f"The event is not a JSON object. {_WHAT_TO_SEND}")
    if isinstance(event.get("requestContext"), Mapping):
        return _read_http(event, max_bytes)
    return _read_content(event, max_bytes)


def _read_http(event: Mapping[str, object], max_bytes: int) -> Request:
    """Read the event of a function URL, an HTTP API (payload format 1.0 or 2.0), a REST API or a load balancer."""
    if _method(event) not in ("POST", None):
        raise Problem(ProblemType.METHOD_NOT_ALLOWED, "Only POST is supported.", headers={"Allow": "POST"})
    query = event.get("queryStringParameters")
    top_k = _top_k(query.get("top_k")) if isinstance(query, Mapping) else None
    body = _body(event)
    if not body:
        raise Problem(ProblemType.BAD_REQUEST, "The request has no body. Send a photo, or JSON with an image or a url.")
    photo = _photo(body, max_bytes, expected=_declares_photo(event))
    if photo is not None:
        return Request(photo=photo, top_k=top_k)
    return _read_content(_parse_json(body), max_bytes, default_top_k=top_k)


def _method(event: Mapping[str, object]) -> object:
    """Return the method: a REST API and payload format 1.0 have it at the top, format 2.0 in the context."""
    context = event["requestContext"]
    if not isinstance(context, Mapping):
        return None
    if isinstance(context.get("http"), Mapping):
        return context["http"].get("method") or ""
    return event.get("httpMethod") or context.get("httpMethod")


def _body(event: Mapping[str, object]) -> bytes:
    """Return the body's bytes, whichever way Lambda passed them on."""
    body = event.get("body") or ""
    if not isinstance(body, str):
        raise Problem(ProblemType.BAD_REQUEST, "The event's body is not a string.")
    if event.get("isBase64Encoded") is True:
        return _decode_base64(body)
    return body.encode(errors="surrogatepass")


def _declares_photo(event: Mapping[str, object]) -> bool:
    """Tell whether the Content-Type header announces a photo, or bytes of any kind."""
    headers = event.get("headers")
    if not isinstance(headers, Mapping):
        return False
    declared = next((str(value) for name, value in headers.items() if str(name).lower() == "content-type"), "")
    declared = declared.partition(";")[0].strip().lower()
    return declared.startswith("image/") or declared == "application/octet-stream"


def _photo(content: bytes, max_bytes: int, *, expected: bool = True) -> Photo | None:
    """Return ``content`` as a photo; None if it is not a photo and ``expected`` is false."""
    kind = media_type(content)
    if kind is None and not expected:
        return None
    check_size(len(content), max_bytes)
    return Photo.of(content, kind)


def _parse_json(body: bytes) -> Mapping[str, object]:
    """Parse a body that must be a JSON object."""
    try:
        content = json.loads(body, parse_int=_bounded_int)
    except (ValueError, RecursionError):
        raise Problem(ProblemType.BAD_REQUEST, f"The body is neither a photo nor JSON. {_WHAT_TO_SEND}") from None
    if not isinstance(content, dict):
        raise Problem(ProblemType.BAD_REQUEST, f"The body is not a JSON object. {_WHAT_TO_SEND}")
    return content


def _read_content(content: Mapping[str, object], max_bytes: int, default_top_k: int | None = None) -> Request:
    """Read the JSON form. Unknown keys are ignored: an event may have keys for other readers."""
    image, url = content.get("image"), content.get("url")
    top_k = _top_k(content.get("top_k")) or default_top_k
    if (image is None) == (url is None):
        raise Problem(ProblemType.BAD_REQUEST, f"The event needs either an image or a url. {_WHAT_TO_SEND}")
    if url is not None:
        if not isinstance(url, str):
            raise Problem(ProblemType.BAD_REQUEST, "The url is not a string.")
        return Request(url=url, top_k=top_k)
    if not isinstance(image, str):
        raise Problem(ProblemType.BAD_REQUEST, "The image is not a base64 string.")
    decoded = _decode_base64(image)
    if not decoded:
        raise Problem(ProblemType.BAD_REQUEST, "The image is empty.")
    return Request(photo=_photo(decoded, max_bytes), top_k=top_k)


def _decode_base64(text: str) -> bytes:
    """Decode base64, with or without line breaks (the ``base64`` command writes them)."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        raise Problem(
            ProblemType.BAD_REQUEST, "The image is not valid base64; send it without a data: prefix."
        ) from None


def _bounded_int(digits: str) -> int | float:
    """Parse an integer of JSON; one of many digits, which takes long to parse and is never valid, becomes a float."""
    return int(digits) if len(digits) <= _MAX_DIGITS else float("inf")


def _top_k(value: object) -> int | None:
    """Check a ``top_k``: a whole number, or its decimal digits in a query."""
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch("[0-9]{1,3}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_TOP_K:
        raise Problem(ProblemType.BAD_REQUEST, f"top_k must be a whole number from 1 to {MAX_TOP_K}.")
    return value
