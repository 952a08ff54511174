"""A tiny artifact, made without PyTorch: the more of a colour in a photo, the likelier that colour's class."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SIDE = 32
LABELS = ["Red setter", "Green dog", "Blue heeler"]
RED = (250, 20, 30)


def write_artifact(
    folder: Path,
    labels: list[str] = LABELS,
    resize: int | list[int] = SIDE,
    crop: tuple[int, int] = (SIDE, SIDE),
    operator: str = "Softmax",
    scale: float = 0.02,
    input_name: str = "pixels",
    **card_changes: Any,
) -> Path:
    """Write ``model.onnx`` and ``model.json``: mean colours times ``scale``, then ``operator``."""
    nodes = [
        helper.make_node("Cast", [input_name], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        helper.make_node("Mul", ["means", "scale"], ["logits"]),
        helper.make_node(operator, ["logits"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info(input_name, TensorProto.UINT8, ["n", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", len(LABELS)])],
        [
            numpy_helper.from_array(np.array([1, 2], dtype=np.int64), "axes"),
            numpy_helper.from_array(np.array(scale, dtype=np.float32), "scale"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    data = model.SerializeToString()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(data)
    card = {
        "schema": 1,
        "input": {"resize": resize, "crop": list(crop), "interpolation": "bilinear"},
        "classes": [{"name": f"{i:03}.{label}", "label": label} for i, label in enumerate(labels)],
        "files": {"model.onnx": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}},
    }
    (folder / "model.json").write_text(json.dumps({**card, **card_changes}))
    return folder


@pytest.fixture
def make_artifact(tmp_path: Path) -> Callable[..., Path]:
    return lambda **changes: write_artifact(tmp_path / "artifact", **changes)


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("artifact"))


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Return a function that writes an image, or one of a colour, to bytes."""

    def encode(image: Image.Image | tuple[int, int, int] = RED, kind: str = "PNG", **options: Any) -> bytes:
        if isinstance(image, tuple):
            image = Image.new("RGB", (48, 40), image)
        file = io.BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    return encode


@pytest.fixture(scope="session")
def photo(encode: Callable[..., bytes]) -> bytes:
    """Return a mostly red JPEG."""
    return encode(kind="JPEG")
