"""From the bytes of a photo to the pixels that a model sees, with numpy and Pillow alone.

Training imports this file too (``training/pixels.py``), so that a model learns from the pixels that it will be sent.
"""

import contextlib
import io
import re
from dataclasses import dataclass

import numpy as np
from PIL import (
    Image,
    ImageOps,
    WebPImagePlugin,  # noqa: F401 or the first WebP makes Pillow load every plugin it has
)

from .serving_errors import RequestError

MAX_BODY_BYTES = 25 * 1024 * 1024
"""InvokeEndpoint's limit, 25 MB: https://docs.aws.amazon.com/general/latest/gr/sagemaker.html."""

MAX_PIXELS = 50_000_000
"""Above the 48.8 megapixels of a large phone camera. Pillow takes 4 bytes a pixel: at most 200 MB a copy."""

MAX_SIDE = 65_535
"""JPEG's own limit. A resize holds some 16 bytes a pixel of the longer side, whatever the area."""

SIGNATURES = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
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


def decode(body: bytes) -> Image.Image:
    """Decode a photo to RGB, upright as its EXIF orientation says, in its own size.

    JPEG's draft mode (decoding at a half or a quarter) is not used: no model was trained on such pixels.

    Parameters
    ----------
    body
        A JPEG, PNG or WebP file, as its first bytes say; of an animation, the first frame counts.

    Raises
    ------
    RequestError
        400 if there are no bytes, 413 if there are too many or too many pixels, 415 if it is another format,
        422 if the file is damaged.
    """
    if not body:
        raise RequestError(400, "Empty body", "Send the bytes of a JPEG, PNG or WebP image.")
    if len(body) > MAX_BODY_BYTES:
        raise RequestError(413, "Body too large", "Send at most 25 MB, the limit of InvokeEndpoint.")
    kind = next((name for name, signature in SIGNATURES.items() if signature.match(body)), None)
    if kind is None:
        raise RequestError(415, "Unsupported image format", "The body is not a JPEG, PNG or WebP image.")
    try:
        image = Image.open(io.BytesIO(body), formats=[kind])  # reads the header alone
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels() from error
    except Exception as error:  # Pillow's decoders raise whatever the bytes lead them to
        raise _damaged(kind) from error
    if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
        raise _too_many_pixels(image.size)
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:
        raise _damaged(kind) from error
    return upright_rgb(image)


def upright_rgb(image: Image.Image) -> Image.Image:
    """Turn any image into the RGB that a person would see: upright, and on white where transparent."""
    image.load()
    with contextlib.suppress(Exception):  # a photo with unreadable metadata is still a photo
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits of grey, of which Pillow's own conversion keeps the wrong half
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def fit(photo: Image.Image, rule: ResizeAndCrop) -> Image.Image:
    """Resize and crop the centre, to the pixel as torchvision's ``Resize`` and ``CenterCrop`` do with PIL.

    Raises
    ------
    RequestError
        413 if the resized photo, or what Pillow holds on the way, would have more than ``MAX_PIXELS``.
    """
    width, height = photo.size
    if isinstance(rule.resize, int):  # torchvision truncates the longer side
        short = min(width, height)
        new_width, new_height = (rule.resize * width // short, rule.resize * height // short)
    else:
        new_height, new_width = rule.resize
    # Pillow resizes rows first, and holds new_width x height on the way.
    if new_width * max(height, new_height) > MAX_PIXELS:
        raise RequestError(
            413, "Too many pixels", f"{width} x {height} pixels are too elongated to resize; crop the photo."
        )
    if (new_width, new_height) != photo.size:
        photo = photo.resize((new_width, new_height), rule.interpolation)
    crop_height, crop_width = rule.crop
    left, top = _margin(new_width, crop_width), _margin(new_height, crop_height)
    return photo.crop((left, top, left + crop_width, top + crop_height))


def _margin(size: int, crop: int) -> int:
    """Return where a centred crop begins; below zero if it is larger than the photo (the rest is black)."""
    return round((size - crop) / 2) if size >= crop else -((crop - size) // 2)


def _damaged(kind: str) -> RequestError:
    return RequestError(422, "Damaged image", f"The {kind} image is damaged or cut short; send it again.")


def _too_many_pixels(size: tuple[int, int] | None = None) -> RequestError:
    found = f"{size[0]} x {size[1]} pixels are" if size else "The image is"
    limit = f"at most {MAX_PIXELS // 10**6} megapixels, and {MAX_SIDE} pixels a side, are read"
    return RequestError(413, "Too many pixels", f"{found} too large: {limit}.")
