"""Classifiers of other libraries than torchvision's, told by names alone."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

NUMBERED = re.compile(r"0\.\d+\."), re.compile(r"1\.\d+\.(weight|bias)$")
"""fastai's ``vision_learner`` is a Sequential of the body and of its own head, both Sequential themselves."""

HUGGING_FACE = re.compile(
    r"(^|\.)(embeddings|embedder\.embedder)\.|conv_stem\.(first_conv\.)?convolution\.|encoder\.layer\.\d+\.attention\."
)
"""As in ``ViTForImageClassification``, ``ResNetForImageClassification`` and the like."""

TIMM = re.compile(
    r"(patch_embed|conv_stem|s1\.b1|head\.fc|conv1\.3|layer1\.0\.se)\.|cls_token$|blocks\.\d+\.(?!layers\.)|"
    r"stages\.\d+\.|layers\.\d+\.blocks\."
)
"""At the beginning of a name; MaxVit of torchvision has ``blocks.0.layers``."""

PACKAGES = {
    "fastai": "fastai",
    "fastcore": "fastai",
    "timm": "timm",
    "transformers": "Hugging Face Transformers",
    "ultralytics": "Ultralytics",
}

INSTEAD = (
    "`package` takes torchvision's classifiers only, so train one of them on the same photos: "
    "`./kennel fit --data DIR --arch resnet50 --weights DEFAULT`"
)


def stranger(names: Iterable[str], content: Mapping[Any, Any]) -> str | None:
    """Return the library of a model's tensors and the name that shows it; None if they may be torchvision's.

    Parameters
    ----------
    names
        Of the tensors, without prefixes.
    content
        The checkpoint; timm's training script keeps the model's name in it, as ``arch``.
    """
    names = list(names)
    body, head = (_first(names, kind.match) for kind in NUMBERED)
    if body and head:
        return f"a model of fastai (it has {body} and {head})"
    if name := _first(names, HUGGING_FACE.search):
        return f"a model of Hugging Face Transformers (it has {name})"
    if name := _first(names, TIMM.match):
        architecture = content.get("arch")
        model = f"the model {architecture}" if isinstance(architecture, str) else "a model"
        return f"{model} of timm (it has {name})"
    return None


def _first(names: Iterable[str], fits: Callable[[str], object]) -> str | None:
    return next((name for name in names if fits(name)), None)


def library_of(qualified: str) -> str | None:
    """Return whose class or function a pickle names."""
    return PACKAGES.get(qualified.partition(".")[0])
