"""A tiny artifact, made without PyTorch: the more of a colour in a photo, the likelier that colour's class."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

SIDE = 32
LABELS = ["Red setter", "Green dog", "Blue heeler"]


def write_artifact(
    folder: Path,
    labels: list[str] | None = None,
    resize: int | list[int] = SIDE,
    crop: tuple[int, int] = (SIDE, SIDE),
    last: str = "Softmax",
    card_changes: dict[str, Any] | None = None,
) -> Path:
    """Write ``model.onnx`` and ``model.json``; ``last`` is the graph's last operator, after mean colours."""
    labels = LABELS if labels is None else labels
    mean_colour = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        helper.make_node("Mul", ["means", "scale"], ["logits"]),
        helper.make_node(last, ["logits"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        mean_colour,
        "colours",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", *crop, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 3])],
        [
            numpy_helper.from_array(np.array([1, 2], dtype=np.int64), "axes"),
            numpy_helper.from_array(np.array(0.02, dtype=np.float32), "scale"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    data = model.SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    card = {
        "schema": 1,
        "input": {"resize": resize, "crop": list(crop), "interpolation": "bilinear"},
        "classes": [{"name": f"{i:03}.{label}", "label": label} for i, label in enumerate(labels)],
        "files": {"model.onnx": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}},
    }
    (folder / "model.json").write_text(json.dumps({**card, **(card_changes or {})}))
    return folder


@pytest.fixture
def make_artifact(tmp_path: Path) -> Callable[..., Path]:
    return lambda **kwargs: write_artifact(tmp_path / "artifact", **kwargs)


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("artifact"))
