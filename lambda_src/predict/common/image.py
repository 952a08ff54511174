"""What kind of picture some bytes are, told by the bytes alone."""

from __future__ import annotations

from .problem import Problem


def content_type(image: bytes | bytearray) -> str:
    """Return the media type of a JPEG, PNG or WebP by its signature.

    The signatures are those of the WHATWG MIME Sniffing Standard, section 6.1. Headers and file names do
    not count, so that an HTML page named ``.jpg`` goes no further.

    Raises
    ------
    Problem
        415 for any other bytes.
    """
    if image.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if image.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if image.startswith(b"RIFF") and image[8:14] == b"WEBPVP":
        return "image/webp"
    raise Problem(415, "The photo is not a JPEG, PNG or WebP.")


def check_size(size: int, limit: int) -> None:
    """Refuse ``size`` bytes over ``limit``.

    Raises
    ------
    Problem
        413, naming the limit.
    """
    if size > limit:
        raise Problem(413, f"The photo is larger than the limit of {limit} bytes; send a smaller one.")
