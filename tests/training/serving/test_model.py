"""What a model must prove before it may answer, and what it answers then."""

import dataclasses
import hashlib
import json
import logging
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL.JpegImagePlugin import JpegImageFile

from training.artifact.layout import SERVING
from training.serving import inference
from training.serving.cores import cores
from training.serving.inference import Attributes, Model, input_fn, model_fn, output_fn, predict_fn, respond
from training.serving.photo_file import PhotoFile
from training.serving.serving_errors import ArtifactError, RequestError, SettingError

Encode = Callable[..., bytes]
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def model(artifact: Path) -> Model:
    return model_fn(artifact)


def refused(artifact: Path) -> str:
    """Return the one line with which an artifact is refused."""
    with pytest.raises(ArtifactError) as caught:
        model_fn(artifact)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_brightest_colour_wins(model: Model, encode: Encode) -> None:
    for i, colour in enumerate([(250, 20, 30), (20, 250, 30), (20, 30, 250)]):
        prediction = predict_fn(input_fn(encode(colour)), model)
        assert prediction.probabilities.shape == (3,)
        assert prediction.probabilities.dtype == np.float32
        assert prediction.probabilities.argmax() == i


def test_probabilities_are_those_of_the_graph(model: Model, encode: Encode) -> None:
    logits = 0.02 * np.array([250.0, 20.0, 30.0])
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(predict_fn(input_fn(encode()), model).probabilities, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["model.onnx", "model.json"])
def test_a_missing_file_is_refused(name: str, make_artifact: Make) -> None:
    folder = make_artifact()
    (folder / name).unlink()
    assert name in refused(folder)


def test_one_changed_bit_is_refused(make_artifact: Make) -> None:
    graph = make_artifact() / "model.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)
    assert "SHA-256" in refused(graph.parent)


@pytest.mark.parametrize("data", [b"", b"not a graph", bytes(1000)])
def test_what_is_no_graph_is_refused_even_with_the_right_hash(data: bytes, make_artifact: Make) -> None:
    files = {"model.onnx": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}}
    folder = make_artifact(files=files)
    (folder / "model.onnx").write_bytes(data)
    assert "onnxruntime" in refused(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"schema": None},
        {"input": {}},
        {"input": {"resize": 0, "crop": [32, 32], "interpolation": "bilinear"}},
        {"input": {"resize": True, "crop": [32, 32], "interpolation": "bilinear"}},
        {"input": {"resize": "32", "crop": [32, 32], "interpolation": "bilinear"}},
        {"input": {"resize": [32, 32, 32], "crop": [32, 32], "interpolation": "bilinear"}},
        {"input": {"resize": 32, "crop": 32, "interpolation": "bilinear"}},
        {"input": {"resize": 32, "crop": [32, 32.0], "interpolation": "bilinear"}},
        {"input": {"resize": 32, "crop": [32, 32], "interpolation": "nearest"}},
        {"input": {"resize": 99_999, "crop": [32, 32], "interpolation": "bilinear"}},
        {"classes": None},
        {"classes": ["a", "b", "c"]},
        {"files": {}},
    ],
)
def test_a_card_that_says_something_else_is_refused(change: dict[str, object], make_artifact: Make) -> None:
    assert "model.json" in refused(make_artifact(**change))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"card"'])
def test_a_card_that_is_no_object_is_refused(text: str, make_artifact: Make) -> None:
    folder = make_artifact()
    (folder / "model.json").write_text(text)
    assert "model card" in refused(folder)


@pytest.mark.parametrize(
    "change",
    [{"labels": ["only", "two"]}, {"crop": (32, 31)}, {"crop": (16, 16)}, {"input_name": "image"}],
)
def test_a_graph_with_another_interface_than_the_card_is_refused(
    change: dict[str, object], make_artifact: Make
) -> None:
    assert "interface" in refused(make_artifact(**change))


def test_a_model_whose_answers_are_no_distribution_is_refused(make_artifact: Make) -> None:
    assert "sum to" in refused(make_artifact(operator="Identity"))


def test_a_model_that_answers_nan_is_refused(make_artifact: Make) -> None:
    assert "not finite" in refused(make_artifact(scale=float("inf")))


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "999999"])
def test_a_number_of_threads_that_means_nothing_is_refused(
    value: str, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFERENCE_THREADS", value)
    with pytest.raises(SettingError, match="INFERENCE_THREADS"):
        model_fn(artifact)


def test_threads_follow_the_environment_and_the_cores(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERENCE_THREADS", "3")
    assert model_fn(artifact).session.get_session_options().intra_op_num_threads == 3
    monkeypatch.setenv("INFERENCE_THREADS", "")
    assert model_fn(artifact).session.get_session_options().intra_op_num_threads == cores()


def answer(model: Model, body: bytes, **headers: str) -> tuple[int, str, dict[str, Any]]:
    reply = respond(model, body, {name.replace("_", "-"): value for name, value in headers.items()})
    return reply.status, reply.content_type, json.loads(reply.body)


def test_an_answer_is_sorted_json_with_the_artifacts_hash(
    artifact: Path, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_ARTIFACT_SHA256", "ab" * 32)
    status, kind, body = answer(model_fn(artifact), photo)
    assert (status, kind) == (200, "application/json")
    assert set(body) == {"predictions", "artifact_sha256"}
    assert body["artifact_sha256"] == "ab" * 32
    assert [each["label"] for each in body["predictions"]] == ["Red setter", "Blue heeler", "Green dog"]
    probabilities = [each["probability"] for each in body["predictions"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)


def test_an_answer_has_the_name_of_each_class_beside_its_label(artifact: Path, photo: bytes) -> None:
    first = answer(model_fn(artifact), photo)[2]["predictions"][0]
    assert (first["label"], first["name"]) == ("Red setter", "000.Red setter")


def test_a_card_without_names_answers_labels(make_artifact: Make, photo: bytes) -> None:
    model = model_fn(make_artifact(classes=[{"label": text} for text in ("a", "b", "c")]))
    assert {(each["label"], each["name"]) for each in answer(model, photo)[2]["predictions"]} == {
        (text, text) for text in "abc"
    }


@pytest.mark.parametrize("value", [None, ""])
def test_a_hash_that_nobody_told_is_null(
    value: str | None, artifact: Path, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv("MODEL_ARTIFACT_SHA256", raising=False)
    else:
        monkeypatch.setenv("MODEL_ARTIFACT_SHA256", value)
    assert answer(model_fn(artifact), photo)[2]["artifact_sha256"] is None


@pytest.mark.parametrize(
    ("attributes", "count"),
    [
        ("", 3),
        ("top_k=1", 1),
        ("top_k=2", 2),
        ("trace=abc, top_k=2", 2),
        ("top_k=2;trace=abc", 2),
        ("top_k=900", 3),
        ("top_k=" + "9" * 5000, 3),
        ("anything else", 3),
        ("stop_k=1", 3),
    ],
)
def test_top_k_is_a_custom_attribute_capped_at_the_classes(
    attributes: str, count: int, model: Model, photo: bytes
) -> None:
    status, _, body = answer(model, photo, x_amzn_sagemaker_custom_attributes=attributes)
    assert (status, len(body["predictions"])) == (200, count)


def test_without_top_k_there_are_five(make_artifact: Make, photo: bytes) -> None:
    names = tuple(map(str, range(20)))
    prediction = inference.Prediction(np.linspace(0, 0.1, 20, dtype=np.float32), names, names, None)
    body, _ = output_fn(prediction)
    assert [each["label"] for each in json.loads(body)["predictions"]] == ["19", "18", "17", "16", "15"]


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "", "0x2"])
def test_a_bad_top_k_is_400(value: str, model: Model, photo: bytes) -> None:
    status, kind, body = answer(model, photo, x_amzn_sagemaker_custom_attributes=f"top_k={value}")
    assert (status, kind, body["status"]) == (400, "application/problem+json", 400)


@pytest.mark.parametrize(
    ("attributes", "seconds"),
    [
        ("", math.inf),
        ("deadline_ms=2500", 2.5),
        ("top_k=3; deadline_ms=0", 0),
        ("deadline_ms=" + "9" * 5000, 999_999.999),
    ],
)
def test_the_callers_deadline_is_a_custom_attribute(attributes: str, seconds: float) -> None:
    assert Attributes.of({"x-amzn-sagemaker-custom-attributes": attributes}).seconds == seconds


@pytest.mark.parametrize("value", ["-1", "1.5", "soon", "", "1s"])
def test_a_bad_deadline_is_400(value: str, model: Model, photo: bytes) -> None:
    assert answer(model, photo, x_amzn_sagemaker_custom_attributes=f"deadline_ms={value}")[0] == 400


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 400), (b"hello", 415), (b"\xff\xd8\xff\xe0 broken", 422), (bytes(26_214_401), 413)]
)
def test_a_bad_request_is_a_problem_of_rfc_9457(body: bytes, status: int, model: Model) -> None:
    got, kind, members = answer(model, body)
    assert (got, kind) == (status, "application/problem+json")
    assert set(members) == {"type", "title", "status", "detail"}
    assert (members["type"], members["status"]) == ("about:blank", status)
    assert members["detail"].endswith(".")


@pytest.mark.parametrize("accept", ["application/json", "*/*", "application/*;q=0.5", "text/html, Application/JSON"])
def test_json_is_what_is_accepted(accept: str, model: Model, photo: bytes) -> None:
    assert answer(model, photo, accept=accept)[0] == 200


def test_who_accepts_no_json_gets_406(model: Model, photo: bytes) -> None:
    assert answer(model, photo, accept="text/csv")[0] == 406
    with pytest.raises(RequestError):
        output_fn(predict_fn(input_fn(photo), model), "text/csv")


def test_a_fault_of_ours_is_a_500_that_tells_the_log_and_not_the_caller(
    model: Model, photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def run(self, *_: object) -> None:
            raise RuntimeError("secret of /opt/ml/model")

    with caplog.at_level(logging.ERROR):
        reply = respond(dataclasses.replace(model, session=Broken()), photo, {})
    assert reply.status == 500
    assert b"secret" not in reply.body
    assert b"Traceback" not in reply.body
    assert "secret" in caplog.text


def test_pillows_warnings_name_their_request(
    model: Model, photo: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = JpegImageFile.load

    def warn(image: JpegImageFile) -> object:
        warnings.warn_explicit("odd photo\n", UserWarning, "PIL/JpegImagePlugin.py", 1, "PIL.JpegImagePlugin", {})
        return load(image)

    monkeypatch.setattr(JpegImageFile, "load", warn)
    with warnings.catch_warnings():
        inference.log_warnings()
        for name in ("first", "second"):
            answer(model, photo, x_amzn_sagemaker_inference_id=name)
    lines = [record.getMessage() for record in caplog.records]
    assert list(dict.fromkeys(lines)) == [
        f"request {name} (JPEG, 48 x 40 pixels, {len(PhotoFile.parse(photo).data)} bytes): odd photo"
        for name in ("first", "second")
    ]


def test_labels_keep_their_letters(make_artifact: Make, photo: bytes) -> None:
    model = model_fn(make_artifact(labels=["Épagneul", "犬", 'a "dog"']))
    labels = {each["label"] for each in answer(model, photo)[2]["predictions"]}
    assert labels == {"Épagneul", "犬", 'a "dog"'}


def test_onnxruntime_reports_its_use_to_nobody(artifact: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    code = "import sys; from serving import inference; inference.model_fn(sys.argv[1])"
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(SERVING.parent)}
    subprocess.run([sys.executable, "-c", code, str(artifact)], env=environment, check=True)
    assert list(home.rglob("*")) == [], "it keeps an identifier of the machine for its reports"
