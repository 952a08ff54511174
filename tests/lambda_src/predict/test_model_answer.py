from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from lambda_src.predict.common.problem import Problem, ProblemType
from lambda_src.predict.endpoint_problem import endpoint_problem
from lambda_src.predict.event import MAX_TOP_K
from lambda_src.predict.model_answer import MAX_ANSWER_BYTES, read_answer
from training.serving.inference import Prediction, output_fn, problem
from training.serving.photo_pixels import decode
from training.serving.serving_errors import RequestError

DOG = {"label": "Belgian malinois", "probability": 0.93, "name": "020.Belgian_malinois"}
SHA256 = "0123456789abcdef" * 4


def of(*predictions: object, **members: object) -> bytes:
    return json.dumps({"predictions": list(predictions), **members}).encode()


@pytest.mark.parametrize(
    "body",
    [
        of(DOG, artifact_sha256=SHA256),
        of(DOG, artifact_sha256="f" * 64),  # another artifact, such as that of a canary
        of(DOG, artifact_sha256=None),
        of({"label": "dog", "probability": 0.5}),  # as Kennel 0.1 answers
        of({"label": "", "probability": 0}, {"label": "ü\u200d\U0001f415\n", "probability": 1}),
        of({"label": "dog", "probability": 5e-324}),
        of(*[{**DOG, "name": "\u0900" * 85, "label": "\u0900" * 85}] * 100, artifact_sha256=SHA256),
    ],
    ids=lambda body: ascii(body)[:60],
)
def test_an_answer_of_kennel_passes_as_it_is(body: bytes) -> None:
    expected = json.loads(body)
    assert read_answer(body) == {"artifact_sha256": None, **expected}


def text(predictions: str, rest: str = "") -> bytes:
    return f'{{"predictions": {predictions}{rest}}}'.encode()


NO_SHA256: list[object] = ["", "0" * 63, "0" * 65, "g" * 64, "A" * 64, " " + "0" * 63, "0" * 64 + "\n", "\u0663" * 64]
NO_SHA256 += [5, [], {}, True]

REFUSED: dict[str, bytes] = {
    **{f"probability {value}": text(f'[{{"label": "a", "probability": {value}}}]') for value in (
        *("NaN", "Infinity", "-Infinity", "1e999", "-0.001", "1.000001", "-1", "2", "1" + "0" * 400, "9" * 5_000),
        *("true", "null", '"0.5"', "[0.5]", "{}"),
    )},
    **{f"label {value}": text(f'[{{"label": {value}, "probability": 0.5}}]') for value in (
        *("5", "null", "true", "[]", '["a"]', "{}", r'"\ud800"'),
    )},
    **{f"name {value}": text(f'[{{"label": "a", "name": {value}, "probability": 0.5}}]') for value in ("5", "[]")},
    **{f"sha256 {value}": of(DOG, artifact_sha256=value) for value in NO_SHA256},
    **{f"predictions {value}": text(value) for value in ("[]", "5", "null", "{}", '"a"', "[5]", "[null]", "[{}]")},
    **{f"no {name}": of({key: DOG[key] for key in DOG if key != name}) for name in ("label", "probability")},
    "a foreign member": of(DOG, more=1),
    "a foreign member of a prediction": of({**DOG, "secret": "x"}),
    "no predictions": b"{}",
    "101 predictions": of(*[DOG] * 101),
    "7 MB of labels": of(*[{**DOG, "label": "x" * 70_000}] * 100),
    "one byte too many": of({**DOG, "label": "x" * MAX_ANSWER_BYTES})[: MAX_ANSWER_BYTES + 1],
    "deep nesting": text("[" * 200_000),
    "deep nesting in a member": text("[" * 900 + "]" * 900),
    "an array": b"[[0.1, 0.9]]",
    "no JSON": b"labels",
    "nothing": b"",
    "no UTF-8": b'{"predictions": "\xff"}',
    "a page": b"<html></html>",
    "two answers": of(DOG) * 2,
}  # fmt: skip


@pytest.mark.parametrize("body", REFUSED.values(), ids=lambda body: ascii(body)[:60])
def test_every_other_answer_is_one_502(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        read_answer(body)
    assert caught.value.type is ProblemType.MODEL_FAILED
    assert caught.value.detail == "The model's answer is malformed."
    assert str(caught.value.reason).startswith(f"{len(body)} bytes: ")
    assert len(str(caught.value.reason)) < 200


def test_the_largest_answer_fits_into_lambdas_payload(handler: ModuleType) -> None:
    rest = len(of({"label": "", "probability": 1}))
    label = "é" * ((MAX_ANSWER_BYTES - rest) // 2)
    body = json.dumps({"predictions": [{"label": label, "probability": 1}]}, ensure_ascii=False).encode()
    assert len(json.dumps(handler._answer(read_answer(body)))) < 6_000_000


def test_the_containers_own_answers_pass() -> None:
    names = tuple(f"{number:03}.{'ü' * 250}" for number in range(1_000))
    probabilities = np.zeros(1_000, np.float32)
    probabilities[7] = 1
    body, _ = output_fn(Prediction(probabilities, names, names, SHA256), top_k=MAX_TOP_K)
    read = read_answer(body)
    assert read == json.loads(body)
    assert (read["predictions"][0]["name"], len(read["predictions"])) == (names[7], MAX_TOP_K)


@pytest.mark.parametrize(
    "photo", [b"", b"GIF89a", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n broken", b"\0" * (25 * 1024 * 1024 + 1)], ids=len
)
def test_the_containers_own_details_pass(photo: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        decode(photo)
    refusal = caught.value
    sent = problem(refusal.status, refusal.title, refusal.detail)
    response: Any = {
        "Error": {"Code": "ModelError", "Message": ""},
        "ResponseMetadata": {"HTTPStatusCode": 424},
        "OriginalStatusCode": refusal.status,
        "OriginalMessage": sent.body.decode(),
    }
    answered = endpoint_problem(ClientError(response, "InvokeEndpoint"))
    assert answered is not None
    assert (answered.status, answered.detail) == (refusal.status, refusal.detail)
