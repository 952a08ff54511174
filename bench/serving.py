"""One photo answered by Kennel's serving code, against the same network in PyTorch, in one run.

The common baseline serves a PyTorch module in eager mode. Both sides get the same JPEG bytes and give the same labels.
There is one client, and decoding counts. The bench prints the median of each side in milliseconds, and the median of
their ratios.
"""

import hashlib
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from bench import command
from training.commands.arguments import Parser, whole
from training.common.torchvision_compat import models
from training.model.export import Calibrated, to_onnx
from training.model.network import Classifier, check_architecture
from training.serving import inference
from training.serving.photo_pixels import decode, fit

CLASSES, SIDE = 133, 224
Probabilities = NDArray[np.float32]


def photographs(count: int) -> list[bytes]:
    """Return JPEG files of 640 x 480 pixels whose content compresses about as a photo's does."""
    generator = np.random.default_rng(0)
    files = []
    for _ in range(count):
        rough = Image.fromarray(generator.integers(0, 256, (60, 80, 3), dtype=np.uint8))
        file = io.BytesIO()
        rough.resize((640, 480), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def load(folder: Path, network: torch.nn.Module) -> tuple[Calibrated, inference.Model]:
    """Return the network in PyTorch, and as the artifact's serving code loads it."""
    classifier = Classifier(network.eval(), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    calibrated = Calibrated(classifier, 1.0).eval()
    graph = to_onnx(calibrated, SIDE)
    (folder / "model.onnx").write_bytes(graph)
    card = {
        "schema": 1,
        "input": {"resize": 256, "crop": [SIDE, SIDE], "interpolation": "bilinear"},
        "classes": [{"name": str(i), "label": str(i)} for i in range(CLASSES)],
        "files": {"model.onnx": {"sha256": hashlib.sha256(graph).hexdigest(), "size": len(graph)}},
    }
    (folder / "model.json").write_text(json.dumps(card))
    return calibrated, inference.model_fn(folder)


def milliseconds(answer: Callable[[bytes], object], photo: bytes) -> float:
    """Return how long one answer takes."""
    start = time.perf_counter()
    answer(photo)
    return (time.perf_counter() - start) * 1000


def parser() -> Parser:
    """Return the parser of the command line."""
    made = command.parser_of("serving", __doc__)
    made.add_argument(
        "--architecture", default="resnet50", help="network, by torchvision's name (default: %(default)s)"
    )
    made.add_argument("--photos", type=whole(1), default=40, help="photos to answer (default: %(default)s)")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Measure both in turn, photo by photo, so that a slow moment of the machine meets both."""
    options = parser().parse_args(arguments)
    check_architecture(options.architecture)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        network = models.get_model(options.architecture, num_classes=CLASSES)
        eager, served = load(Path(folder), network)

        def pytorch(photo: bytes) -> Probabilities:
            image = fit(decode(photo), served.card.input_rule)
            with torch.no_grad():
                probabilities: Probabilities = eager(torch.from_numpy(np.asarray(image).copy())[None]).numpy()[0]
            return probabilities

        def kennel(photo: bytes) -> Probabilities:
            return inference.predict_fn(inference.input_fn(photo), served).probabilities

        photos = photographs(options.photos)
        for answer in (pytorch, kennel):
            answer(photos[0])
        difference = max(float(np.abs(pytorch(photo) - kennel(photo)).max()) for photo in photos[:5])
        times = [(milliseconds(pytorch, photo), milliseconds(kennel, photo)) for photo in photos]
    baseline, ours = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(a / b for a, b in times)
    print(f"{options.architecture}, {CLASSES} classes, {len(photos)} JPEG photos of 640 x 480, one client")
    print(f"  PyTorch eager        {baseline:7.1f} ms")
    print(f"  Kennel's inference   {ours:7.1f} ms   {ratio:.2f}x as fast; probabilities differ by {difference:.0e}")
    return 0


if __name__ == "__main__":
    command.run(main)
