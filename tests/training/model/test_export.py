from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from training.model.export import Calibrated, to_onnx
from training.model.network import create

pytestmark = pytest.mark.usefixtures("trains")


@pytest.fixture(scope="module")
def model() -> Calibrated:
    torch.manual_seed(0)
    return Calibrated(create("resnet18", "none", 3, 32, 32).classifier, 1.7).eval()


@pytest.fixture(scope="module")
def graph(model: Calibrated) -> bytes:
    return to_onnx(model, 32)


@pytest.mark.parametrize("photos", [1, 2, 5])
def test_the_graph_answers_any_number_of_photos_as_pytorch_does(model: Calibrated, graph: bytes, photos: int) -> None:
    pixels = np.random.default_rng(photos).integers(0, 256, (photos, 32, 32, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (served,) = session.run(["probabilities"], {"pixels": pixels})
    with torch.no_grad():
        expected = model(torch.from_numpy(pixels)).numpy()
    assert served.dtype == np.float32
    assert np.abs(served - expected).max() < 1e-5
    assert np.allclose(served.sum(axis=1), 1, atol=1e-5)


def test_temperature_and_softmax_are_inside(model: Calibrated) -> None:
    pixels = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.allclose(model(pixels), torch.softmax(model.classifier(pixels) / 1.7, dim=1))


def test_the_same_model_gives_the_same_bytes(model: Calibrated, graph: bytes) -> None:
    assert to_onnx(model, 32) == graph


def test_the_graph_is_one_file_that_names_no_folder(graph: bytes) -> None:
    onnx.checker.check_model(onnx.load_from_string(graph))
    assert b"site-packages" not in graph
    assert str(Path(__file__).parents[3]).encode() not in graph
