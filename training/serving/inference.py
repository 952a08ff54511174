"""An image classifier's answers: photo bytes in; labels with probabilities out, or the reason why not.

SageMaker's four functions (https://docs.aws.amazon.com/sagemaker/latest/dg/adapt-inference-container.html)
over an artifact of Kennel, with numpy, Pillow and onnxruntime alone. ``respond`` puts them together for both
servers, ``server.py`` and ``deployment.py``, so that they give the same bytes.

>>> model = model_fn("/opt/ml/model")
>>> prediction = predict_fn(input_fn(Path("dog.jpg").read_bytes(), "image/jpeg"), model)
>>> body, content_type = output_fn(prediction, "application/json")
"""

import hashlib
import io
import json
import logging
import math
import os
import re
import warnings
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

# Official builds of ONNX Runtime report their use to Microsoft over HTTPS unless this is set before the import
# (Privacy.md in its package); a server of other people's photos reports nothing to anybody.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from .cores import cores
from .model_card import Card
from .photo_file import PhotoFile
from .photo_pixels import Photo, decode, fit
from .serving_errors import ArtifactError, RequestError, SettingError

DEFAULT_TOP_K = 5

ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
INFERENCE_ID = "x-amzn-sagemaker-inference-id"

log = logging.getLogger(__name__)
_request: ContextVar[str] = ContextVar("request", default="none")
"""What the log calls the request that this thread works on."""


@dataclass(frozen=True)
class Model:
    """A model that has proved that it answers."""

    card: Card
    session: onnxruntime.InferenceSession
    artifact_sha256: str | None


@dataclass(frozen=True)
class Prediction:
    """One photo's answer: ``probabilities`` is float32 of shape [classes], in the order of ``labels`` and ``names``."""

    probabilities: NDArray[np.float32]
    labels: tuple[str, ...]
    names: tuple[str, ...]
    artifact_sha256: str | None


@dataclass(frozen=True)
class Attributes:
    """What a caller asks for in ``X-Amzn-SageMaker-Custom-Attributes: top_k=3, deadline_ms=2500``.

    Parameters
    ----------
    top_k
        How many labels to answer.
    seconds
        For how long the caller still waits for an answer, from the moment at which the request arrives.
    """

    top_k: int = DEFAULT_TOP_K
    seconds: float = math.inf

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> "Attributes":
        """Read a request's headers, whose names are in lower case.

        Raises
        ------
        RequestError
            400 if a value means nothing.
        """
        parts = (each.partition("=") for each in re.split(r"[,;&\s]+", headers.get(ATTRIBUTES, "")))
        given = {name: value for name, _, value in reversed(list(parts))}
        top_k, milliseconds = given.get("top_k"), given.get("deadline_ms")
        if top_k is not None and not re.fullmatch("[1-9][0-9]*", top_k):
            raise RequestError(400, "Bad top_k", "top_k is a whole number of at least 1, as in top_k=3.")
        if milliseconds is not None and not re.fullmatch("[0-9]+", milliseconds):
            raise RequestError(400, "Bad deadline_ms", "deadline_ms is a whole number, as in deadline_ms=2500.")
        return cls(
            DEFAULT_TOP_K if top_k is None else int(top_k[:9]),
            math.inf if milliseconds is None else int(milliseconds[:9]) / 1000,
        )


@dataclass(frozen=True)
class Reply:
    """What goes back over HTTP."""

    status: int
    content_type: str
    body: bytes


def model_fn(model_dir: str | Path) -> Model:
    """Load the model, and let it answer one generated photo.

    Parameters
    ----------
    model_dir
        The unpacked artifact. The environment variable ``MODEL_ARTIFACT_SHA256`` names the archive that it
        came from, which it cannot know by itself.

    Raises
    ------
    ArtifactError
        If a file is missing or altered, the graph and the card disagree, or the answer is not a distribution.
    SettingError
        If ``INFERENCE_THREADS`` is not a number of threads.
    """
    folder = Path(model_dir)
    card = Card.read(folder / "model.json")
    graph = folder / "model.onnx"
    _check_bytes(graph, card)
    options = _session_options()
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common class for what it raises
        raise ArtifactError(f"{graph} is refused by onnxruntime: {_first_line(error)}") from error
    _check_graph(graph, session, card)
    model = Model(card, session, os.environ.get("MODEL_ARTIFACT_SHA256") or None)
    try:
        total = float(predict_fn(input_fn(_generated_photo(), "image/jpeg"), model).probabilities.sum())
    except Exception as error:
        raise ArtifactError(f"{graph} does not answer a photo: {_first_line(error)}") from error
    if abs(total - 1) > 1e-3:
        raise ArtifactError(f"{graph} answers probabilities that sum to {total:.4f}, not 1")
    return model


def input_fn(body: bytes | PhotoFile, content_type: str | None = None) -> Photo:
    """Decode a photo in its own size; it is turned upright, as its EXIF orientation says, when it is used.

    It does not know the model: ``predict_fn`` brings the photo to the size of the model's input.

    Parameters
    ----------
    body
        A JPEG, PNG or WebP file; of an animation, the first frame counts.
    content_type
        Ignored: the bytes decide.

    Raises
    ------
    RequestError
        400 if there are no bytes, 413 if there are too many or too many pixels, 415 if it is another format,
        422 if the file is damaged or has too many parts.
    """
    return decode(body)


def predict_fn(photo: Photo | Image.Image, model: Model) -> Prediction:
    """Classify a photo, or an image that is upright and RGB.

    Raises
    ------
    RequestError
        413 if the photo is too elongated to resize.
    ArithmeticError
        If the model's answer is not finite.
    """
    pixels = np.asarray(fit(photo, model.card.input_rule), dtype=np.uint8)[np.newaxis]
    (probabilities,) = model.session.run(["probabilities"], {"pixels": pixels})
    if not np.isfinite(probabilities).all():
        raise ArithmeticError("the model's probabilities are not finite")
    return Prediction(probabilities[0], model.card.labels, model.card.names, model.artifact_sha256)


def output_fn(prediction: Prediction, accept: str | None = None, top_k: int = DEFAULT_TOP_K) -> tuple[bytes, str]:
    """Write the ``top_k`` most probable classes as JSON, each with its label and its name, the most probable first.

    Returns
    -------
    The body and its content type.

    Raises
    ------
    RequestError
        406 if ``accept`` (an HTTP ``Accept`` header) leaves no room for JSON.
    """
    ranges = {each.partition(";")[0].strip().lower() for each in (accept or "*/*").split(",")}
    if not ranges & {"*/*", "application/*", "application/json"}:
        raise RequestError(406, "Not acceptable", "The answer is application/json; accept that.")
    best = np.argsort(-prediction.probabilities, kind="stable")[:top_k]
    answer = {
        "predictions": [
            {
                "label": prediction.labels[i],
                "name": prediction.names[i],
                "probability": round(float(prediction.probabilities[i]), 6),
            }
            for i in best
        ],
        "artifact_sha256": prediction.artifact_sha256,
    }
    return json.dumps(answer, ensure_ascii=False).encode(), "application/json"


def respond(model: Model, body: bytes | PhotoFile, headers: Mapping[str, str]) -> Reply:
    """Answer one request of ``POST /invocations``; never raises.

    Parameters
    ----------
    headers
        With lower-case names; see ``Attributes``.
    """
    name = headers.get(INFERENCE_ID, "without an id")[:64]
    _request.set(name)
    try:
        top_k = Attributes.of(headers).top_k
        file = body if isinstance(body, PhotoFile) else PhotoFile.parse(body)
        width, height = file.size
        _request.set(f"{name} ({file.kind}, {width} x {height} pixels, {len(file.data)} bytes)")
        prediction = predict_fn(input_fn(file), model)
        answer, content_type = output_fn(prediction, headers.get("accept"), top_k)
        return Reply(200, content_type, answer)
    except RequestError as error:
        return problem(error.status, error.title, error.detail)
    except Exception:  # a fault of ours: the log has it, the caller must not
        log.exception("request %s failed", _request.get())
        return problem(500, "Internal error", "The model could not answer; the server's log says why.")


def log_warnings() -> None:
    """Write Pillow's warnings to the log, each with the request that it is about, and each time."""
    show = warnings.showwarning

    def log_or_show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, *place: Any, **options: Any
    ) -> None:
        if Path(filename).parent.name == "PIL":
            log.warning("request %s: %s", _request.get(), str(message).strip())
        else:
            show(message, category, filename, lineno, *place, **options)

    warnings.filterwarnings("always", module="PIL")
    warnings.showwarning = log_or_show


def problem(status: int, title: str | None = None, detail: str | None = None) -> Reply:
    """Write an error as RFC 9457 says; ``title`` is the status's own name if none is given."""
    members = {"type": "about:blank", "title": title or HTTPStatus(status).phrase, "status": status}
    if detail:
        members["detail"] = detail
    return Reply(status, "application/problem+json", json.dumps(members).encode())


def _check_bytes(graph: Path, card: Card) -> None:
    try:
        with graph.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"{graph} cannot be read: {error.strerror}") from error
    if (size, digest) != (card.size, card.sha256):
        raise ArtifactError(
            f"{graph} has {size} bytes with SHA-256 {digest}; model.json says {card.size} with {card.sha256}"
        )


def _check_graph(graph: Path, session: onnxruntime.InferenceSession, card: Card) -> None:
    found = [(each.name, each.type, list(each.shape)) for each in session.get_inputs() + session.get_outputs()]
    wanted = [
        ("pixels", "tensor(uint8)", ["N", *card.input_rule.crop, 3]),
        ("probabilities", "tensor(float)", ["N", len(card.labels)]),
    ]
    # The name of the first dimension, which is the number of photos, is the exporter's own affair.
    comparable = [
        (name, kind, ["N", *shape[1:]] if shape and not isinstance(shape[0], int) else shape)
        for name, kind, shape in found
    ]
    if comparable != wanted:
        raise ArtifactError(f"{graph} has the interface {found}; model.json asks for {wanted}")


def _session_options() -> onnxruntime.SessionOptions:
    """Return onnxruntime's settings: ``INFERENCE_THREADS`` threads, which do not spin while they wait for work.

    Spinning takes the cores from other requests: it doubled the time of each on two busy cores (ResNet-50).
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = whole_number("INFERENCE_THREADS", cores())
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors alone
    return options


def whole_number(name: str, default: int) -> int:
    """Return an environment variable's whole number of at least 1, or ``default`` if it is unset.

    Raises
    ------
    SettingError
        If it is anything else.
    """
    value = os.environ.get(name) or str(default)
    if not re.fullmatch("[1-9][0-9]{0,4}", value):
        raise SettingError(f"{name} is {value!r}; it must be a whole number of at least 1")
    return int(value)


def _generated_photo() -> bytes:
    rows, columns = np.mgrid[0:96, 0:128].astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.stack([2 * rows, 2 * columns, rows + columns], axis=-1)).save(file, "JPEG")
    return file.getvalue()


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
