"""The photos that the function takes: their media type, by the bytes alone, and their size."""

from __future__ import annotations

import re
from typing import NamedTuple, Self

from .problem import Problem, ProblemType

_SIGNATURES = {
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/webp": re.compile(rb"RIFF.{4}WEBPVP", re.DOTALL),
}
"""First bytes of each media type. Source: WHATWG MIME Sniffing Standard, section 6.1."""


def media_type(content: bytes) -> str | None:
    """Return the media type of a JPEG, PNG or WebP by its signature; None for any other bytes.

    Headers and file names do not count, so that an HTML page named ``.jpg`` goes no further.
    """
    return next((name for name, signature in _SIGNATURES.items() if signature.match(content)), None)


class Photo(NamedTuple):
    """The bytes of a JPEG, PNG or WebP, as sent, with their media type."""

    content: bytes
    media_type: str

    @classmethod
    def of(cls, content: bytes, media_type: str | None) -> Self:
        """Return the photo that ``content`` is, by what `media_type` says of it.

        Raises
        ------
        Problem
            415 if it has none of the media types.
        """
        if media_type is None:
            raise Problem(ProblemType.UNSUPPORTED_FORMAT, "The photo is not a JPEG, PNG or WebP.")
        return cls(content, media_type)


def check_size(size: int, limit: int) -> None:
    """Refuse ``size`` bytes over ``limit``.

    Parameters
    ----------
    size, limit
        Bytes.

    Raises
    ------
    Problem
        413, naming the limit.
    """
    if size > limit:
        raise Problem(
            ProblemType.PHOTO_TOO_LARGE, f"The photo is larger than the limit of {limit} bytes; send a smaller one."
        )
