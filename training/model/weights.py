"""Weights to begin with, and the preprocessing that they were trained with."""

import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import URLError

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from training.common.console import console, say
from training.common.errors import TrainingError
from training.common.torchvision_compat import models
from training.data.pixels import InputRule
from training.data.reading import photo_pixels
from training.model.mlp import Mlp
from training.model.weights_file import read_weights

METADATA_KEY = "kennel"

MOST_PIXELS = 4096
"""Of a side, as the model card has it (``serving/model_card.py``)."""

RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)"), r"\1\2"),  # _load_state_dict of its densenet.py
    (re.compile(r"\.mlp\.linear_1\."), ".mlp.0."),  # MLPBlock of its vision_transformer.py
    (re.compile(r"\.mlp\.linear_2\."), ".mlp.3."),
)


@dataclass(frozen=True)
class InitialWeights:
    """Weights, and the preprocessing that they were trained with.

    Parameters
    ----------
    label
        Where they come from, as the manifest says it.
    state
        None if training begins without any; the preprocessing is then torchvision's usual one.
    mean, std
        Of each channel, for values from 0 to 1.
    mlp
        What stands in place of torchvision's last layer, if it is more than a layer.
    whole
        Whether the last layer must be among them.
    """

    label: str
    state: dict[str, Tensor] | None
    mean: list[float]
    std: list[float]
    rule: InputRule
    mlp: Mlp | None = None
    whole: bool = False


def find_weights(architecture: str, weights: str, key: str | None = None) -> InitialWeights:
    """Return what ``--weights`` names: ``none``, a name of torchvision's or a file of weights.

    Parameters
    ----------
    key
        Under which a checkpoint has the weights; if None, under one of the usual names.

    Raises
    ------
    TrainingError
        There is no such thing, it is for another architecture, or it cannot be fetched.
    """
    presets = models.get_model_weights(architecture)
    if weights.lower() == "none":
        return with_preset("none", None, presets.DEFAULT)
    if weights in presets.__members__:
        preset = presets[weights]
        return with_preset(weights, _download(preset, f"--weights {weights} for {architecture}"), preset)
    path = Path(weights)
    if not path.is_file():
        raise TrainingError(
            f"--weights {weights} is neither a file nor weights of {architecture}; "
            f"use {', '.join(presets.__members__)}, a file or none"
        )
    state, metadata = _read(path, key)
    label = path.name if key is None else f"{path.name} ({key})"
    other = architecture_of(metadata)
    if other is None:  # not a file of ours
        return with_preset(label, state, presets.DEFAULT)
    if other != architecture:
        raise TrainingError(f"--weights {weights} is for {other}, not for {architecture}; add --arch {other}")
    return with_metadata(label, state, metadata)


def with_preset(label: str, state: dict[str, Tensor] | None, weights: Any) -> InitialWeights:
    """Return weights that were trained with the preprocessing of those of torchvision's.

    Parameters
    ----------
    label
        Where the weights come from, as the manifest says it.
    state
        Tensors by name; None to begin without any.
    weights
        One of torchvision's weights, whose preprocessing is taken.
    """
    preset = weights.transforms()
    rule = InputRule(preset.resize_size[0], preset.crop_size[0], preset.interpolation.value)
    if state is not None:
        state = {_current_name(name): tensor for name, tensor in state.items()}
    return InitialWeights(label, state, preset.mean, preset.std, rule)


def _current_name(name: str) -> str:
    """Return what a tensor is called in torchvision's modules today; some of its files are older than they are."""
    for pattern, replacement in RENAMED:
        name = pattern.sub(replacement, name)
    return name


def with_metadata(label: str, state: dict[str, Tensor], metadata: Mapping[str, str]) -> InitialWeights:
    """Return the weights of a file that has Kennel's own metadata, see ``Recipe.metadata``.

    Parameters
    ----------
    label
        Where the weights come from, as the manifest says it.
    metadata
        Of the safetensors file.
    """
    facts = _facts(metadata)
    mlp = Mlp(facts["mlp"]["position"], tuple(facts["mlp"]["widths"])) if "mlp" in facts else None
    return InitialWeights(label, state, facts["mean"], facts["std"], InputRule(**facts["input"]), mlp)


def architecture_of(metadata: Mapping[str, str]) -> str | None:
    """Return the architecture that ``Recipe.metadata`` wrote into a safetensors file; None for others' files."""
    return str(_facts(metadata)["architecture"]) if METADATA_KEY in metadata else None


def _facts(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads(metadata[METADATA_KEY])
        rule = InputRule(**facts["input"])
        if rule.interpolation not in photo_pixels.INTERPOLATIONS:
            raise ValueError(f"interpolation {rule.interpolation!r}")
        if not all(1 <= side <= MOST_PIXELS for side in (rule.resize, rule.crop)):
            raise ValueError(f"resize {rule.resize}, crop {rule.crop}")
        if facts.keys() < {"architecture", "mean", "std"} or not len(facts["mean"]) == len(facts["std"]) == 3:
            raise ValueError("the mean or standard deviation lacks one of three channels")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(
            f"this version of Kennel cannot read the metadata of the weights ({first_line(error)}); use the version "
            "that wrote them"
        ) from error
    return facts


def _download(weights: Any, what: str) -> dict[str, Tensor]:
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        state: dict[str, Tensor] = weights.get_state_dict(
            progress=console.is_terminal, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:  # no network, no disk, another hash
        if file.exists():
            # Not PyTorch's text, which advises to load the file without weights_only.
            kind = type(error).__name__
            raise TrainingError(f"{what}: {file} is damaged ({kind}); remove it, and try again") from error
        reason = error.reason if isinstance(error, URLError) else first_line(error)
        raise TrainingError(
            f"{what}: {weights.url} cannot be downloaded ({reason}); save that file to {file.parent}, "
            "give a safetensors file, or use --weights none"
        ) from error
    return state


def _read(path: Path, key: str | None) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Read a file as ``package`` does; one of ours as it is."""
    try:
        with safe_open(path, framework="pt") as file:
            if METADATA_KEY in (metadata := file.metadata() or {}) and key is None:
                return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (SafetensorError, OSError):
        pass  # read_weights says what it is
    with TemporaryDirectory() as work:
        try:
            file = read_weights(path, Path(work), key)
        except TrainingError as error:
            raise TrainingError(f"--weights {error}") from error
    for note in file.notes:
        say("Weights", f"{file.name}: {note}")
    return file.state, file.metadata


def first_line(error: Exception) -> str:
    """Return what an error says, in one line."""
    return (str(error) or type(error).__name__).splitlines()[0]
