"""What the embedded AWS captures, against the lines that the SageMaker guide shows."""

import base64
import json
import re
from typing import Any, cast

import pytest

from local.core.account import Account
from local.core.errors import ServiceError
from local.sagemaker.capture import DataCapture, Exchange, Payload
from local.sagemaker.endpoint.variant import Variant
from local.sagemaker.runtime import _inference_id

PHOTO = b"\xff\xd8\xff"
ANSWER = b'{"predictions": []}'
CONFIG = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://bucket/capture",
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"], "CsvContentTypes": ["text/csv"]},
}


class Bucket:
    """Stands for the account and for S3."""

    def __init__(self) -> None:
        self.objects: list[dict[str, Any]] = []

    def assume(self, role: str, service: str, session: str) -> str:
        assert (role, service) == ("arn:role", "sagemaker")
        return "credentials"

    def client(self, service: str, credentials: str) -> "Bucket":
        assert (service, credentials) == ("s3", "credentials")
        return self

    def put_object(self, **parameters: Any) -> None:
        self.objects.append(parameters)


def captured(config: dict[str, Any], *exchanges: Exchange) -> list[dict[str, Any]]:
    """Return the objects that some exchanges leave behind."""
    bucket = Bucket()
    capture = DataCapture(cast("Account", bucket))
    variant = Variant("Main", "config", "ml.c7i.large", "", 1, 1, cast("Any", None), "arn:role", config)
    for exchange in exchanges:
        capture.record("kennel", variant, exchange)
    capture.write()
    return bucket.objects


def exchange(kind: str = "application/json", **members: str) -> Exchange:
    return Exchange(Payload(PHOTO, "image/jpeg"), Payload(ANSWER, kind), **members)


def test_exchanges_become_lines_where_and_as_sagemaker_writes_them() -> None:
    (file,) = captured(CONFIG, exchange(attributes="top_k=3", inference_id="id-1"), exchange())
    assert file["Bucket"] == "bucket"
    assert re.fullmatch(r"capture/kennel/Main/\d{4}/\d\d/\d\d/\d\d/[\w-]+\.jsonl", file["Key"])
    first, second = map(json.loads, file["Body"].decode().splitlines())
    assert first["captureData"] == {
        "endpointInput": {
            "observedContentType": "image/jpeg",
            "mode": "INPUT",
            "data": base64.b64encode(PHOTO).decode(),
            "encoding": "BASE64",
        },
        "endpointOutput": {
            "observedContentType": "application/json",
            "mode": "OUTPUT",
            "data": ANSWER.decode(),
            "encoding": "JSON",
        },
    }
    assert first["eventVersion"] == "0"
    metadata = first["eventMetadata"]
    assert (metadata["inferenceId"], metadata["customAttributes"]) == ("id-1", ["top_k=3"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["inferenceTime"])
    assert metadata["eventId"] != second["eventMetadata"]["eventId"]
    assert second["eventMetadata"].keys() == {"eventId", "inferenceTime"}


@pytest.mark.parametrize(
    ("modes", "parts"),
    [
        (["Output"], {"endpointOutput"}),
        (["Input"], {"endpointInput"}),
        (["InputAndOutput"], {"endpointInput", "endpointOutput"}),
    ],
)
def test_the_modes_say_what_is_kept(modes: list[str], parts: set[str]) -> None:
    options = [{"CaptureMode": mode} for mode in modes]
    (file,) = captured({**CONFIG, "CaptureOptions": options}, exchange())
    assert json.loads(file["Body"])["captureData"].keys() == parts


@pytest.mark.parametrize(
    ("kind", "headers", "encoding"),
    [
        ("application/json; charset=utf-8", CONFIG["CaptureContentTypeHeader"], "JSON"),
        ("text/csv", CONFIG["CaptureContentTypeHeader"], "CSV"),
        ("text/html", CONFIG["CaptureContentTypeHeader"], "BASE64"),
        ("application/json", {}, "BASE64"),
    ],
)
def test_the_content_type_decides_the_encoding(kind: str, headers: dict[str, Any], encoding: str) -> None:
    (file,) = captured({**CONFIG, "CaptureContentTypeHeader": headers}, exchange(kind))
    output = json.loads(file["Body"])["captureData"]["endpointOutput"]
    assert output["encoding"] == encoding
    assert output["data"] == (base64.b64encode(ANSWER).decode() if encoding == "BASE64" else ANSWER.decode())


def test_a_percentage_is_sampled() -> None:
    (file,) = captured({**CONFIG, "InitialSamplingPercentage": 30}, *[exchange()] * 1000)
    assert 200 < len(file["Body"].splitlines()) < 400
    assert captured({**CONFIG, "InitialSamplingPercentage": 0}, *[exchange()] * 100) == []
    assert captured({**CONFIG, "EnableCapture": False}, exchange()) == []


def test_the_key_of_the_configuration_encrypts_the_files() -> None:
    (file,) = captured({**CONFIG, "KmsKeyId": "arn:key"}, exchange())
    assert (file["ServerSideEncryption"], file["SSEKMSKeyId"]) == ("aws:kms", "arn:key")


@pytest.mark.parametrize("value", ["", "x" * 65, " x", "x\ty", "ü"])
def test_an_inference_id_that_sagemaker_refuses_is_refused(value: str) -> None:
    with pytest.raises(ServiceError, match="at 'inferenceId' failed to satisfy constraint") as caught:
        _inference_id({"x-amzn-sagemaker-inference-id": value})
    assert caught.value.code == "ValidationError"


@pytest.mark.parametrize("value", [None, "x", "x" * 64, "5bd97a4b-6f5c-4b7b-a6cf-6e9d0a1f3b2c", "a photo"])
def test_an_inference_id_that_sagemaker_takes_is_taken(value: str | None) -> None:
    assert _inference_id({} if value is None else {"x-amzn-sagemaker-inference-id": value}) == value
