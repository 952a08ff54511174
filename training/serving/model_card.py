"""The model card, ``model.json`` in the artifact: what serving must know about the graph beside it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .photo_pixels import INTERPOLATIONS, ResizeAndCrop
from .serving_errors import ArtifactError


@dataclass(frozen=True)
class Card:
    """What ``model.json`` in the artifact says about the model.

    Parameters
    ----------
    input_rule
        How a photo gets the size of the model's input.
    labels, names
        One for each class, in the order of the model's output: what people read, and what its folder was called.
    sha256, size
        Of ``model.onnx``: hexadecimal digits, and bytes.
    """

    input_rule: ResizeAndCrop
    labels: tuple[str, ...]
    names: tuple[str, ...]
    sha256: str
    size: int

    @classmethod
    def read(cls, path: Path) -> "Card":
        """Read a card.

        Raises
        ------
        ArtifactError
            If it is missing, is not JSON, or says something that this code does not understand.
        """
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
            if card["schema"] != 1:
                raise ArtifactError(f"{path} has schema {card['schema']!r}; this code reads schema 1")
            rule, file = card["input"], card["files"]["model.onnx"]
            return cls(
                input_rule=_resize_and_crop(rule),
                labels=tuple(str(each["label"]) for each in card["classes"]),
                names=tuple(str(each.get("name", each["label"])) for each in card["classes"]),
                sha256=str(file["sha256"]),
                size=int(file["size"]),
            )
        except OSError as error:
            raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(f"{path} is not a model card: {error!r}") from error


def _resize_and_crop(rule: dict[str, Any]) -> ResizeAndCrop:
    resize = rule["resize"]
    return ResizeAndCrop(
        resize=_pixels(resize) if isinstance(resize, int) else _height_width(resize),
        crop=_height_width(rule["crop"]),
        interpolation=INTERPOLATIONS[rule["interpolation"]],
    )


def _pixels(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 4096:
        raise ValueError(f"{value!r} is not a number of pixels from 1 to 4096")
    return value


def _height_width(value: Any) -> tuple[int, int]:
    height, width = value
    return _pixels(height), _pixels(width)
