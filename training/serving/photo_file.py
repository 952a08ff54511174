"""What a photo's file says about itself: its format, its size and the memory that it will take, without decoding it.

A few bytes can ask for gigabytes of pixels or minutes of work. Everything that bounds them is here, and is decided
before Pillow sees the file. Pillow then gets the picture alone: no metadata, whose parsing takes memory and time that
nothing bounds, no further frames, and nothing that follows the photo.
"""

import contextlib
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .serving_errors import RequestError

MAX_BODY_BYTES = 25 * 1024 * 1024
"""InvokeEndpoint's limit, 25 MB: https://docs.aws.amazon.com/general/latest/gr/sagemaker.html."""

MAX_PIXELS = 50_000_000
"""Above the 48.8 megapixels of a large phone camera."""

MAX_SIDE = 65_535
"""JPEG's own limit. A resize holds some 16 bytes a pixel of the longer side, whatever the area."""

MAX_MEMORY = 230 * 1024 * 1024
"""Bytes that a photo may take while it is decoded, as estimated: 50 megapixels of 4 bytes, and a body of 25 MB.
``tests/training/serving/test_bounds.py`` measures memory and time at the limits of each format."""

MAX_PNG_BYTES = 3 * MAX_PIXELS
"""Bytes that a PNG unpacks to, which its time follows: 50 megapixels of opaque colour, fewer with alpha or 16 bits."""

MAX_SCANS = 20
"""libjpeg's own scripts write 10 scans of a progressive photo, and 18 in CMYK (``jpeg_simple_progression``). A scan of
75 bytes takes some milliseconds, whatever it changes."""

MAX_PARTS = 10_000
"""Segments of a JPEG, or chunks of a PNG or WebP. 25 MB in libpng's chunks of 8 kB are 3,200."""

SIGNATURES = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
}

_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
"""A JPEG marker that is neither a restart (D0 to D7) nor, within a scan, an escaped FF: ITU-T T.81, B.1.1.3. libjpeg
skips those below C0, which are reserved, in a damaged scan and refuses them elsewhere."""

_START_OF_FRAME = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_PROGRESSIVE, _ARITHMETIC = 0xC2, frozenset(range(0xC9, 0xD0))
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xD9, 0xDA
_SCAN = bytes([0xFF, _START_OF_SCAN])
_APP0, _APP14 = 0xE0, 0xEE
_METADATA = frozenset({*range(0xE0, 0xF0), 0xFE} - {_APP0, _APP14})
"""Segments of applications, and comments. JFIF's and Adobe's say what the components of a pixel mean."""

_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"

_PNG_BYTES = {0: 1, 2: 4, 3: 1, 4: 4, 6: 4}
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Bytes that Pillow holds for a pixel, and samples in the file, by PNG's colour type: grey, RGB, palette, grey with
alpha, RGBA."""

_PNG_PICTURE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_PNG_XMP, _PNG_PROFILE = b"XML:com.adobe.xmp\0", b"Raw profile type exif\0"
_MAX_PROFILE_BYTES = 2**20
"""An EXIF segment of 64 kB, as the hexadecimal text that ImageMagick makes of it, eight times."""

_WEBP_PICTURE = frozenset({b"VP8X", b"ALPH", b"VP8 ", b"VP8L", b"ANIM", b"ANMF"})
_WEBP_BYTES = 16
"""Bytes for a pixel at the peak: two canvases of libwebp's animation decoder, which Pillow uses for every WebP, the
frame that it returns, and Pillow's image."""

_ORIENTATION_TAG, _NUMBERS = 0x0112, {1: "B", 3: "H", 4: "I"}
"""The tag, and the types of a whole number: Exif 2.32, 4.6.2 and 4.6.4."""

_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


@dataclass(frozen=True)
class PhotoFile:
    """A photo that may be decoded.

    Parameters
    ----------
    kind
        ``JPEG``, ``PNG`` or ``WEBP``.
    data
        The file's bytes that make the picture.
    size
        (width, height) as stored, which is before the photo is turned upright.
    orientation
        How the photo is turned upright, as EXIF numbers it; 1 is as it is.
    memory
        Estimate of the bytes that decoding takes at its peak, ``data`` included.
    """

    kind: str
    data: bytes
    size: tuple[int, int]
    orientation: int
    memory: int

    @classmethod
    def parse(cls, body: bytes) -> "PhotoFile":
        """Read a file's structure, and refuse what would take too much memory or time.

        Raises
        ------
        RequestError
            400 if there are no bytes, 413 if there are too many, or too many pixels for this kind of photo, 415 if it
            is another format, 422 if the file is damaged or has too many parts.
        """
        if not body:
            raise RequestError(400, "Empty body", "Send the bytes of a JPEG, PNG or WebP image.")
        if len(body) > MAX_BODY_BYTES:
            raise RequestError(413, "Body too large", "Send at most 25 MB, the limit of InvokeEndpoint.")
        kind = next((name for name, signature in SIGNATURES.items() if signature.match(body)), None)
        if kind is None:
            raise RequestError(415, "Unsupported image format", "The body is not a JPEG, PNG or WebP image.")
        try:
            picture = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp}[kind](body)
        except (struct.error, IndexError) as error:  # it ends within its header
            raise damaged(kind) from error
        memory = picture.bytes_of_pixels + picture.copies * len(picture.data)
        file = cls(kind, picture.data, picture.size, picture.metadata.orientation(), memory)
        file._check_size(picture)
        return file

    def _check_size(self, picture: "_Picture") -> None:
        width, height = self.size
        if not width or not height:
            raise damaged(self.kind)
        pixels = width * height
        if pixels > picture.most_pixels or max(self.size) > MAX_SIDE or self.memory > MAX_MEMORY:
            room = MAX_MEMORY - picture.copies * len(self.data)
            most = min(picture.most_pixels, room * pixels // picture.bytes_of_pixels) / 10**6
            raise RequestError(
                413,
                "Too many pixels",
                f"The photo has {width} x {height} pixels. A {picture.name} may have at most {most:.3g} megapixels and "
                f"{MAX_SIDE} pixels a side. Send a smaller photo.",
            )


class _Picture(NamedTuple):
    """What a format's parser found.

    ``bytes_of_pixels`` is what the decoder and Pillow hold at the peak, beside ``copies`` of ``data``.
    """

    name: str
    data: bytes
    size: tuple[int, int]
    metadata: "_Metadata"
    bytes_of_pixels: int
    most_pixels: int
    copies: int = 1


@dataclass
class _Metadata:
    """What may say how a photo is turned, each the first of its kind, still in the file's bytes.

    ``profile`` is EXIF as ImageMagick writes it into a PNG: a chunk of text, its kind included.
    """

    exif: memoryview | bytes = b""
    profile: memoryview | bytes = b""
    xmp: memoryview | bytes = b""

    def read_jpeg(self, body: bytes, start: int, end: int) -> None:
        """Note a segment of a JPEG, if it is EXIF or XMP."""
        whole = memoryview(body)
        if body.startswith(_EXIF, start + 4):
            self.exif = self.exif or whole[start + 4 + len(_EXIF) : end]
        elif body.startswith(_XMP, start + 4):
            self.xmp = self.xmp or whole[start + 4 + len(_XMP) : end]

    def read_png(self, body: bytes, start: int, end: int) -> None:
        """Note a chunk of a PNG, if it is EXIF, EXIF as text, or XMP."""
        chunk = memoryview(body)[start + 4 : end - 4]
        if body.startswith(b"eXIf", start + 4):
            self.exif = self.exif or chunk[4:]
        elif body.startswith(_PNG_PROFILE, start + 8):
            self.profile = self.profile or chunk
        elif body.startswith(_PNG_XMP, start + 8):
            self.xmp = self.xmp or chunk

    def read_webp(self, body: bytes, start: int, end: int) -> None:
        """Note a chunk of a WebP, if it is EXIF or XMP."""
        content = memoryview(body)[start + 8 : end]
        if body.startswith(b"EXIF", start):
            self.exif = self.exif or content[len(_EXIF) * body.startswith(_EXIF, start + 8) :]
        elif body.startswith(b"XMP ", start):
            self.xmp = self.xmp or content

    def orientation(self) -> int:
        """Return EXIF's orientation, else XMP's, else 1, as Pillow does (``Image.getexif``)."""
        with contextlib.suppress(struct.error, ValueError, zlib.error):  # a photo with unreadable metadata is one
            number = _exif_orientation(self.exif or _profile(self.profile))
            if number is not None:
                return number
        found = _XMP_ORIENTATION.search(self.xmp)
        return int(found[1]) if found else 1


def _exif_orientation(exif: memoryview | bytes) -> int | None:
    """Return the orientation that the first directory of EXIF has, which has the form of TIFF."""
    order = {b"MM\0*": ">", b"II*\0": "<"}.get(bytes(exif[:4]))
    if order is None:
        return None
    (offset,) = struct.unpack_from(f"{order}I", exif, 4)
    (tags,) = struct.unpack_from(f"{order}H", exif, offset)
    for at in range(offset + 2, offset + 2 + 12 * tags, 12):
        tag, kind = struct.unpack_from(f"{order}HH", exif, at)
        if tag == _ORIENTATION_TAG:
            return int(struct.unpack_from(order + _NUMBERS.get(kind, "H"), exif, at + 8)[0])
    return None


def _profile(chunk: memoryview | bytes) -> bytes:
    """Return EXIF from its form as text: a line break, the name, the length, and hexadecimal digits in lines."""
    text = chunk[4 + len(_PNG_PROFILE) :]
    if chunk[:4] == b"zTXt":
        text = zlib.decompressobj().decompress(text[1:], _MAX_PROFILE_BYTES)
    digits = b"".join(bytes(text[:_MAX_PROFILE_BYTES]).split(b"\n")[3:])
    return bytes.fromhex(digits.decode("ascii")).removeprefix(_EXIF)


def damaged(kind: str) -> RequestError:
    """Return the error for a file that cannot be decoded."""
    return RequestError(422, "Damaged image", f"The {kind} image is damaged or cut short; send it again.")


def _too_many(kind: str, what: str, most: int) -> RequestError:
    detail = f"The {kind} image has more than {most} {what}, the most that are read; save it again with fewer."
    return RequestError(422, f"Too many {what}", detail)


def _jpeg(body: bytes) -> _Picture:
    """Read the segments of a JPEG (ITU-T T.81, B.1) up to its end."""
    frame: _Frame | None = None
    scans = first_scan = 0
    kept, metadata = _Kept(body), _Metadata()
    for marker, start, end in _segments(body):
        scans = _count_scans(scans, body, start, end)
        if marker in _START_OF_FRAME:
            frame = frame or _Frame.read(body, start, marker)
        elif marker == _START_OF_SCAN:
            first_scan = first_scan or body[start + 4]
        elif marker == _END_OF_IMAGE:
            kept.end(end)
        elif marker in _METADATA and not scans:
            kept.drop(start, end)
            metadata.read_jpeg(body, start, end)
    if frame is None:
        raise damaged("JPEG")
    several = frame.has_several_scans(first_scan)
    name = "progressive JPEG" if several else "JPEG"
    return _Picture(name, kept.join(), frame.size, metadata, frame.memory(several), MAX_PIXELS)


def _count_scans(before: int, body: bytes, start: int, end: int) -> int:
    """Count a segment that starts a scan. After the first, count also what a segment skips: a decoder may read it."""
    scans = before + body.count(_SCAN, start, end if before else start + 2)
    if scans > MAX_SCANS:
        raise _too_many("JPEG", "scans", MAX_SCANS)
    return scans


class _Frame(NamedTuple):
    """What the header of a JPEG's frame says; ``samples`` is how many a pixel takes: 1.5 in a phone's photo."""

    size: tuple[int, int]
    components: int
    samples: float
    progressive: bool

    @classmethod
    def read(cls, body: bytes, start: int, marker: int) -> "_Frame":
        """Read the segment that begins at ``start`` (ITU-T T.81, B.2.2)."""
        length, _, height, width, components = struct.unpack_from(">HBHHB", body, start + 2)
        factors = [(each >> 4, each & 15) for each in body[start + 11 : start + 10 + 3 * components : 3]]
        across, down = (max((each[i] for each in factors), default=0) for i in (0, 1))
        if not across or not down or length != 8 + 3 * components:
            raise damaged("JPEG")
        if marker in _ARITHMETIC:  # no browser reads it, and its time does not follow its size
            detail = "The JPEG image has arithmetic coding; save it with Huffman coding."
            raise RequestError(415, "Unsupported image format", detail)
        samples = sum(x * y for x, y in factors) / (across * down)
        return cls((width, height), components, samples, marker == _PROGRESSIVE)

    def has_several_scans(self, first: int) -> bool:
        """Return whether the photo is complete only after several scans, by the components of the first."""
        return self.progressive or first < self.components

    def memory(self, several_scans: bool) -> int:
        """Return the bytes that decoding holds: the pixels, and 2 for each coefficient if several scans make them."""
        pixel = (4 if self.components > 1 else 1) + 2 * self.samples * several_scans
        return int(self.size[0] * self.size[1] * pixel)


def _segments(body: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield each JPEG marker, and where its segment starts and ends, up to the end of the image."""
    position = 2
    for _ in range(MAX_PARTS):
        found = _MARKER.search(body, position)
        if found is None:
            return
        marker, start = body[found.start() + 1], found.start()
        if marker in (_START_OF_IMAGE, _END_OF_IMAGE):
            yield marker, start, found.end()
            return
        if found.end() + 2 > len(body):
            return
        (length,) = struct.unpack_from(">H", body, found.end())
        position = found.end() + length
        yield marker, start, position
    raise _too_many("JPEG", "segments", MAX_PARTS)


def _png(body: bytes) -> _Picture:
    """Read the chunks of a PNG (https://www.w3.org/TR/png-3/#5Chunk-layout) up to its end."""
    width, height, depth, colour = struct.unpack_from(">IIBB", body, 16)
    if colour not in _PNG_BYTES or depth not in (1, 2, 4, 8, 16):
        raise damaged("PNG")
    kept, metadata, position = _Kept(body), _Metadata(), 8
    for _ in range(MAX_PARTS):
        if position + 8 > len(body):
            break
        (length,) = struct.unpack_from(">I", body, position)
        kind, start, position = body[position + 4 : position + 8], position, position + 12 + length
        if kind not in _PNG_PICTURE:
            kept.drop(start, position)
            metadata.read_png(body, start, position)
        if kind == b"IEND":
            kept.end(position)
            break
    else:
        raise _too_many("PNG", "chunks", MAX_PARTS)
    held = 2 if (colour, depth) == (0, 16) else _PNG_BYTES[colour]
    name = "PNG with transparency" if colour in (4, 6) else f"PNG of {depth} bits" if depth > 8 else "PNG"
    most = min(MAX_PIXELS, MAX_PNG_BYTES * 8 // (_PNG_CHANNELS[colour] * depth))
    return _Picture(name, kept.join(), (width, height), metadata, width * height * held, most)


def _webp(body: bytes) -> _Picture:
    """Read the chunks of a WebP (RFC 9649) up to its end; of an animation, the first frame is kept."""
    size = _webp_size(body)
    kept, metadata, position, frames = _Kept(body), _Metadata(), 12, 0
    end = min(len(body), 8 + struct.unpack_from("<I", body, 4)[0])
    for _ in range(MAX_PARTS):
        if position + 8 > end:
            break
        kind, length = struct.unpack_from("<4sI", body, position)
        start, position = position, position + 8 + length + length % 2
        frames += kind == b"ANMF"
        if kind not in _WEBP_PICTURE or (kind == b"ANMF" and frames > 1):
            kept.drop(start, position)
            metadata.read_webp(body, start, position)
    else:
        raise _too_many("WebP", "chunks", MAX_PARTS)
    kept.end(end)
    data = kept.join()
    if len(data) < len(body) and position <= len(body):
        data = b"".join((b"RIFF", struct.pack("<I", len(data) - 8), data[8:]))
    return _Picture("WebP", data, size, metadata, size[0] * size[1] * _WEBP_BYTES, MAX_PIXELS, copies=2)


def _webp_size(body: bytes) -> tuple[int, int]:
    """Return (width, height) of the canvas: RFC 9649, 2.7 and 3.4; RFC 6386, 9.1."""
    kind = body[12:16]
    if kind == b"VP8X":
        width, more_width, height, more_height = struct.unpack_from("<HBHB", body, 24)
        return (more_width << 16 | width) + 1, (more_height << 16 | height) + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", body, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise damaged("WEBP")


class _Kept:
    """The parts of a file that are left when others are dropped, from its start to its end."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._parts: list[tuple[int, int]] = []
        self._from = 0
        self._end = len(body)

    def drop(self, start: int, end: int) -> None:
        """Leave out the bytes from ``start`` to ``end``, which follow those left out before."""
        self._parts.append((self._from, start))
        self._from = end

    def end(self, end: int) -> None:
        """Leave out what follows ``end``."""
        self._end = min(self._end, end)

    def join(self) -> bytes:
        """Return what is left."""
        parts = [*self._parts, (self._from, self._end)]
        if parts == [(0, len(self._body))]:
            return self._body
        whole = memoryview(self._body)
        return b"".join(whole[start:end] for start, end in parts if start < end)
