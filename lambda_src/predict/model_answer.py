"""The endpoint's answer, checked as a stranger's: any model may stand behind the endpoint's name."""

from __future__ import annotations

import json
import re
from typing import Any

from .common.problem import Problem, ProblemType
from .event import MAX_TOP_K

MAX_ANSWER_BYTES = 1_000_000
"""Larger than 100 predictions with names of any length that a folder has. Escaped twice, it fits Lambda's 6 MB."""

_SHA256 = "[0-9a-f]{64}"


def read_answer(body: bytes) -> dict[str, Any]:
    """Return the answer ``{"predictions": [...], "artifact_sha256": ...}`` that ``body`` holds.

    Which artifact answers is not compared: the variants of an endpoint, and the two fleets of an update, differ.

    Raises
    ------
    Problem
        502 if the answer is too large, is not JSON, or has anything but the known members with their types and ranges.
    """
    try:
        if len(body) > MAX_ANSWER_BYTES:
            raise ValueError(f"more than {MAX_ANSWER_BYTES} bytes")
        content = _members(json.loads(body), "the answer", {"predictions"}, {"artifact_sha256"})
        predictions, sha256 = content["predictions"], content.get("artifact_sha256")
        if not isinstance(predictions, list) or not 1 <= len(predictions) <= MAX_TOP_K:
            raise ValueError(f"predictions is not a list of 1 to {MAX_TOP_K}")
        if sha256 is not None and not (isinstance(sha256, str) and re.fullmatch(_SHA256, sha256)):
            raise ValueError("artifact_sha256 is not 64 hexadecimal digits")
        return {"predictions": [_prediction(each) for each in predictions], "artifact_sha256": sha256}
    except (ValueError, RecursionError) as error:
        reason = f"{len(body)} bytes: {error}"
        raise Problem(ProblemType.MODEL_FAILED, "The model's answer is malformed.", reason=reason) from error


def _prediction(content: object) -> dict[str, Any]:
    prediction = _members(content, "a prediction", {"label", "probability"}, {"name"})
    for name in prediction.keys() & {"label", "name"}:
        if not isinstance(prediction[name], str):
            raise ValueError(f"{name} is not text")
        prediction[name].encode()  # half of a surrogate pair is not text
    probability = prediction["probability"]
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
        raise ValueError("probability is not a number from 0 to 1")
    return prediction


def _members(content: object, what: str, required: set[str], optional: set[str]) -> dict[str, Any]:
    """Return a JSON object that has all of ``required``, and nothing but those and ``optional``."""
    if not isinstance(content, dict) or not required <= content.keys() <= required | optional:
        raise ValueError(f"{what} is not an object with the members {', '.join(sorted(required | optional))}")
    return content
