"""From the bytes of a photo to the pixels that a model sees, with numpy and Pillow alone.

Training imports this file too (``training/data/reading.py``): a model learns from the pixels that it will be sent.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import (
    Image,
    WebPImagePlugin,  # noqa: F401 or the first WebP makes Pillow load every plugin it has
)

from .photo_file import MAX_MEMORY, PhotoFile, damaged
from .serving_errors import RequestError

STRIP = 64
"""Rows that are turned, converted and resized at a time, beside the photo as it is stored."""

TALL = 1.8
"""Height to width up to which every Pillow resizes rows first: it includes 16 : 9."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a photo upright, by its EXIF orientation."""

INTERPOLATIONS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class ResizeAndCrop:
    """How a photo gets the size of a model's input.

    Parameters
    ----------
    resize
        Pixels of the shorter side after resizing, or (height, width).
    crop
        (height, width) of the centre that the model sees.
    interpolation
        Filter of the resize.
    """

    resize: int | tuple[int, int]
    crop: tuple[int, int]
    interpolation: Image.Resampling


@dataclass(frozen=True)
class Photo:
    """A decoded photo that is turned upright and to RGB when it is used, a strip at a time: a copy would double it.

    Parameters
    ----------
    stored
        The pixels in the file's order and mode.
    orientation
        EXIF's number for how they are turned upright; 1 is as they are.
    """

    stored: Image.Image
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) of the upright photo."""
        width, height = self.stored.size
        return (height, width) if self.orientation in (5, 6, 7, 8) else (width, height)

    @property
    def memory(self) -> int:
        """Return the bytes that Pillow holds, at most."""
        return 4 * self.stored.width * self.stored.height

    def rows(self, top: int, bottom: int) -> Image.Image:
        """Return the upright photo's rows from ``top`` to ``bottom``, in RGB."""
        width, height = self.stored.size
        if self.orientation in (3, 4):
            box = (0, height - bottom, width, height - top)
        elif self.orientation in (5, 6):
            box = (top, 0, bottom, height)
        elif self.orientation in (7, 8):
            box = (width - bottom, 0, width - top, height)
        else:
            box = (0, top, width, bottom)
        strip = _rgb(self.stored.crop(box))
        turn = TURNS.get(self.orientation)
        return strip if turn is None else strip.transpose(turn)

    def strips(self) -> Iterator[tuple[int, Image.Image]]:
        """Yield the upright photo's rows from top to bottom, each strip after the row at which it starts."""
        for top in range(0, self.size[1], STRIP):
            yield top, self.rows(top, min(top + STRIP, self.size[1]))

    def upright(self) -> Image.Image:
        """Return the whole photo as a person would see it."""
        if self.stored.mode == "RGB" and not self.stored.has_transparency_data and self.orientation not in TURNS:
            return self.stored
        photo = Image.new("RGB", self.size)
        for top, strip in self.strips():
            photo.paste(strip, (0, top))
        return photo


def decode(body: bytes | PhotoFile) -> Photo:
    """Decode a photo in its own size.

    JPEG's draft mode (decoding at a half or a quarter) is not used: no model was trained on such pixels.

    Parameters
    ----------
    body
        A JPEG, PNG or WebP file, as its first bytes say, or one that is parsed; of an animation, the first frame
        counts.

    Raises
    ------
    RequestError
        400 if there are no bytes, 413 if there are too many or too many pixels, 415 if it is another format,
        422 if the file is damaged or has too many parts.
    """
    file = body if isinstance(body, PhotoFile) else PhotoFile.parse(body)
    try:
        image = Image.open(io.BytesIO(file.data), formats=[file.kind])  # reads the header alone
        if image.size != file.size:
            raise damaged(file.kind)  # it says two things, of which the other was not checked
        image.load()
    except (MemoryError, RequestError):
        raise
    except Exception as error:  # Pillow's decoders raise whatever the bytes lead them to
        raise damaged(file.kind) from error
    return Photo(image, file.orientation)


def _rgb(image: Image.Image) -> Image.Image:
    """Turn any image into RGB, on white where it is transparent."""
    if image.mode.startswith("I"):  # 16 bits of grey, of which Pillow's own conversion keeps the wrong half
        grey = np.asarray(image)
        shown = np.where(grey == image.info.get("transparency"), 255, grey >> 8)
        return Image.fromarray(shown.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def fit(photo: Photo | Image.Image, rule: ResizeAndCrop) -> Image.Image:
    """Resize and crop the centre, to the pixel as torchvision's ``Resize`` and ``CenterCrop`` do with PIL.

    Parameters
    ----------
    photo
        A decoded photo, or an image that is upright and RGB.

    Raises
    ------
    RequestError
        413 if the resized photo, and what is held on the way, would take more than ``MAX_MEMORY``.
    """
    if isinstance(photo, Image.Image):
        photo = Photo(photo)
    width, height = photo.size
    if isinstance(rule.resize, int):  # torchvision truncates the longer side
        short = min(width, height)
        new_width, new_height = (rule.resize * width // short, rule.resize * height // short)
    else:
        new_height, new_width = rule.resize
    if photo.memory + 4 * new_width * (height + new_height) > MAX_MEMORY:
        raise RequestError(
            413, "Too many pixels", f"{width} x {height} pixels are too elongated to resize; crop the photo."
        )
    resized = _resize(photo, (new_width, new_height), rule.interpolation)
    crop_height, crop_width = rule.crop
    left, top = _margin(new_width, crop_width), _margin(new_height, crop_height)
    return resized.crop((left, top, left + crop_width, top + crop_height))


def _resize(photo: Photo, size: tuple[int, int], interpolation: Image.Resampling) -> Image.Image:
    """Resize to the pixel as Pillow does, but with as much of the photo upright as is being resized.

    Pillow resizes each row, and then each column of the narrower photo; rows can come in strips. Since 13.0 it begins
    with the columns of a photo more than twice as tall as wide: there it has the whole photo, unless two are too large.
    """
    width, height = photo.size
    if size == photo.size:
        return photo.upright()
    if height > TALL * width and 2 * photo.memory <= MAX_MEMORY:
        return photo.upright().resize(size, interpolation)
    narrow = Image.new("RGB", (size[0], height))
    for top, strip in photo.strips():
        narrow.paste(strip.resize((size[0], strip.height), interpolation), (0, top))
    return narrow.resize(size, interpolation)


def _margin(size: int, crop: int) -> int:
    """Return where a centred crop begins; below zero if it is larger than the photo (the rest is black)."""
    return round((size - crop) / 2) if size >= crop else -((crop - size) // 2)
