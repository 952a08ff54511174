"""From a PyTorch classifier to an ONNX graph with everything inside: pixels in, calibrated probabilities out."""

import io
import logging
import warnings

import onnx
import torch
from torch import Tensor, nn

from training.common.errors import TrainingError
from training.model.network import Classifier


class Calibrated(nn.Module):
    """Pixels in, probabilities out."""

    def __init__(self, classifier: Classifier, temperature: float) -> None:
        super().__init__()
        self.classifier, self.temperature = classifier, temperature

    def forward(self, pixels: Tensor) -> Tensor:
        """Take uint8 pixels of shape [photos, height, width, 3] to probabilities of shape [photos, classes]."""
        return torch.softmax(self.classifier(pixels) / self.temperature, dim=1)


def to_onnx(model: Calibrated, side: int) -> bytes:
    """Export for any number of photos: ``pixels`` in, ``probabilities`` out.

    Parameters
    ----------
    side
        Pixels of each side of the model's input.

    Raises
    ------
    TrainingError
        PyTorch cannot export this architecture.
    """
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)  # one photo would be taken for a constant
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model.eval().cpu(),
                (example,),
                dynamo=True,
                external_data=False,
                input_names=["pixels"],
                output_names=["probabilities"],
                dynamic_shapes=({0: torch.export.Dim("N")},),
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[0]
        raise TrainingError(f"PyTorch cannot export this architecture to ONNX: {reason}") from error
    assert program is not None  # noqa: S101
    buffer = io.BytesIO()
    onnx.save(_without_source(program.model_proto), buffer)
    return buffer.getvalue()


def _without_source(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the notes about where each node comes from in somebody's file system."""
    for node in [graph.graph, *graph.graph.node, *graph.graph.input, *graph.graph.output, *graph.graph.value_info]:
        del node.metadata_props[:]
        node.doc_string = ""
    for function in graph.functions:
        del function.metadata_props[:]
        for node in function.node:
            del node.metadata_props[:]
            node.doc_string = ""
    del graph.metadata_props[:]
    return graph
