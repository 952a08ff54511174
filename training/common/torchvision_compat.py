"""Torchvision, also where its compiled operators do not fit PyTorch. The other modules import torchvision from here.

PyPI's torchvision for Linux is linked against CUDA. Beside a CPU build of PyTorch its operators do not load, which it
tolerates, but it then registers shape functions for two of them by name, and ``import torchvision`` fails with
``operator torchvision::nms does not exist``. Declaring the two is enough: models, transforms and weights are plain
Python. What needs the compiled operators (``torchvision.ops.nms``, detection models, its image decoders) still fails
when it is called; classifiers need none of it.

Where the import works, nothing is changed.
"""

import sys

import torch

try:
    import torchvision  # noqa: F401
except RuntimeError as error:
    if "operator torchvision::" not in str(error):
        raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # half imported
    # The declarations live as long as this object.
    operators = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]

from torchvision import models
from torchvision.transforms import functional

__all__ = ["functional", "models"]
