"""Photos read by the very code that reads them when the model serves; needs no PyTorch.

What serving does (upright by EXIF, on white where transparent, its limits) is written once, in
``training/serving/photo_pixels.py``, which travels in the artifact. Training on anything else would cost accuracy that
no test on this side could see.
"""

import warnings
from pathlib import Path

from PIL import Image

from training.common.errors import TrainingError
from training.serving import photo_pixels
from training.serving.serving_errors import RequestError

__all__ = ["UnreadableError", "decode", "photo_pixels", "read_bytes", "read_photo"]

# Pillow warns of odd metadata and many pixels on its way; what matters of a photo is what ``decode`` says in the end.
warnings.filterwarnings("ignore", module="PIL")

NAMES = {"Empty body": "empty file", "Body too large": "file too large"}
"""Serving's titles of what it refuses, where a file would be called otherwise."""


LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""How a file begins that stands for another one (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md)."""

REMEDIES = {"Git LFS pointer": "the photo itself is not here; run `git lfs pull`"}


def advise(reason: str) -> str:
    """Return why a file cannot be read, and what to do."""
    return f"{reason}; {REMEDIES.get(reason, 'replace the file or remove it')}"


class UnreadableError(TrainingError):
    """A file is no photo that the endpoint would accept.

    Parameters
    ----------
    reason
        A few words, the same for every such file.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {advise(reason)}")
        self.reason = reason


def read_photo(path: Path) -> Image.Image:
    """Read a photo as the endpoint would: RGB, upright, in its own size.

    Raises
    ------
    UnreadableError
        It is not a JPEG, PNG or WebP file that the endpoint would accept; the message names it.
    """
    return decode(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """Return a file's content.

    Raises
    ------
    UnreadableError
        There is no way to read it.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableError(path, f"cannot be read ({error.strerror})") from error


def decode(body: bytes, path: Path) -> Image.Image:
    """Decode the bytes of a photo as the endpoint would; ``path`` is named by the error, as in ``read_photo``."""
    try:
        return photo_pixels.decode(body).upright()
    except RequestError as error:
        if body.startswith(LFS_POINTER):
            raise UnreadableError(path, "Git LFS pointer") from error
        raise UnreadableError(path, NAMES.get(error.title, error.title.lower())) from error
