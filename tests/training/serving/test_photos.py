"""What becomes of the bytes that a caller sends: a photo as a person would see it, or a reason why not."""

import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from training.common.torchvision_compat import functional
from training.serving.inference import input_fn
from training.serving.photo_file import MAX_PARTS, MAX_SCANS, PhotoFile
from training.serving.photo_pixels import INTERPOLATIONS, ResizeAndCrop, fit
from training.serving.serving_errors import RequestError

BOMB = Path(__file__).parents[2] / "inputs/webp-86-bytes-50MP.webp"

Encode = Callable[..., bytes]


def status_of(body: bytes) -> int:
    with pytest.raises(RequestError) as caught:
        input_fn(body, "image/jpeg")
    assert "\n" not in str(caught.value)
    assert "Traceback" not in caught.value.detail
    return caught.value.status


def _outcome(body: bytes) -> str | int:
    try:
        return input_fn(body).upright().mode
    except RequestError as error:
        return error.status


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(width * 10_000 + height)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)


def png_of_size(width: int, height: int) -> bytes:
    """Return a PNG that claims a size, with the few bytes of pixels that an attacker would bother to write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_nothing_is_400() -> None:
    assert status_of(b"") == 400


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "JPEG2000", "PDF", "EPS"])
def test_other_formats_are_415_though_pillow_knows_them(kind: str, encode: Encode) -> None:
    assert status_of(encode(kind=kind)) == 415


@pytest.mark.parametrize(
    "body",
    [
        b"\x00",
        b"hello",
        b'{"url": "https://example.com/dog.jpg"}',
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        b"<!DOCTYPE html><html></html>",
        b"%PDF-1.7",
        b"PK\x03\x04" + bytes(40),
        b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(30),
        b"\x00\x00\x00\x1cftypheic" + bytes(60),
        b"\x1f\x8b\x08" + bytes(30),
        bytes(100_000),
    ],
)
def test_what_is_no_image_is_415(body: bytes) -> None:
    assert status_of(body) == 415


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("kept", [0.02, 0.2, 0.5, 0.9, 0.99])
def test_truncated_images_are_422(kind: str, kept: float, encode: Encode) -> None:
    whole = encode(noise(200, 150), kind)
    assert status_of(whole[: max(12, int(len(whole) * kept))]) == 422


@pytest.mark.parametrize("head", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\xff\xff\xff\xffWEBP"])
def test_a_signature_followed_by_garbage_is_422(head: bytes) -> None:
    chance = random.Random(1)
    for size in (0, 1, 20, 5000):
        assert status_of(head + chance.randbytes(size)) == 422


def test_damaged_bytes_give_a_photo_or_a_422_and_nothing_else(encode: Encode) -> None:
    chance, outcomes = random.Random(2), set()
    for kind in ("JPEG", "PNG", "WEBP"):
        whole = encode(noise(60, 50), kind, exif=_exif(6))
        for _ in range(150):
            body = bytearray(whole)
            for _ in range(chance.randint(1, 8)):
                body[chance.randrange(12, len(body))] = chance.randrange(256)
            outcomes.add(_outcome(bytes(body)))
    assert outcomes == {"RGB", 413, 422}  # 413: a changed size may be too large


@pytest.mark.parametrize(("width", "height"), [(0, 10), (10, 0), (0, 0)])
def test_a_size_of_nothing_is_422(width: int, height: int) -> None:
    assert status_of(png_of_size(width, height)) == 422


@pytest.mark.parametrize(
    ("width", "height"), [(7072, 7072), (9434, 9434), (20_000, 20_000), (2**31 - 1, 2**31 - 1), (65_536, 1)]
)
def test_too_many_pixels_are_413_and_are_not_decoded(width: int, height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
    assert status_of(png_of_size(width, height)) == 413


def test_a_photo_just_within_the_limit_gets_as_far_as_its_pixels() -> None:
    assert status_of(png_of_size(7071, 7071)) == 422  # which are missing


def test_a_38_byte_webp_of_268_megapixels_is_413(encode: Encode) -> None:
    body = encode(Image.new("RGB", (1, 1)), "WEBP", lossless=True)
    start = body.index(b"VP8L") + 9  # 14 bits each of width - 1 and height - 1
    (rest,) = struct.unpack("<I", body[start : start + 4])
    bomb = body[:start] + struct.pack("<I", rest | (1 << 28) - 1) + body[start + 4 :]
    assert status_of(bomb) == 413


def test_a_body_above_25_mb_is_413(photo: bytes) -> None:
    assert input_fn(photo + bytes(25 * 1024 * 1024 - len(photo))).size == (48, 40)
    assert status_of(photo + bytes(25 * 1024 * 1024 - len(photo) + 1)) == 413


def test_the_bytes_decide_and_not_the_header(photo: bytes) -> None:
    for header in ("image/png", "text/plain", "application/x-image", "nonsense", "", None):
        assert input_fn(photo, header).size == (48, 40)


def colour_of(body: bytes) -> tuple[int, ...]:
    photo = input_fn(body).upright()
    assert photo.mode == "RGB"
    return tuple(np.asarray(photo)[5, 5].tolist())


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P", "RGBA", "I;16"])
def test_png_modes_become_the_colour_that_a_person_sees(mode: str, encode: Encode) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((20, 20), 200 * 257, dtype=np.uint16))
    else:
        image = Image.new("RGB", (20, 20), (255, 255, 255) if mode == "1" else (200, 200, 200)).convert(mode)
    expected = 255 if mode == "1" else 200
    assert colour_of(encode(image)) == pytest.approx((expected,) * 3, abs=5)  # a palette has few greys


def test_sixteen_bit_rgb_png_becomes_eight_bit() -> None:
    row = b"\x00" + struct.pack(">HHH", 250 * 257, 20 * 257, 30 * 257) * 8
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    body = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * 8)) + chunk(b"IEND", b"")
    assert colour_of(body) == (250, 20, 30)


@pytest.mark.parametrize("mode", ["CMYK", "L"])
def test_jpeg_modes_become_rgb(mode: str, encode: Encode) -> None:
    grey = Image.new("RGB", (20, 20), (120, 120, 120)).convert(mode)
    assert colour_of(encode(grey, "JPEG")) == pytest.approx((120, 120, 120), abs=3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparent_pixels_are_white_and_half_transparent_ones_half_white(kind: str, encode: Encode) -> None:
    clear = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    half = Image.new("RGBA", (20, 20), (0, 0, 0, 128))
    assert colour_of(encode(clear, kind, lossless=True)) == (255, 255, 255)
    assert colour_of(encode(half, kind, lossless=True)) == pytest.approx((127, 127, 127), abs=1)


def test_a_palette_with_a_transparent_colour_is_white_there(encode: Encode) -> None:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([9, 9, 9, 250, 20, 30])
    assert colour_of(encode(image, transparency=1)) == (255, 255, 255)
    assert colour_of(encode(image, transparency=0)) == (250, 20, 30)


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_of_an_animation_the_first_frame_counts(kind: str, encode: Encode) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ((250, 20, 30), (0, 0, 255), (0, 255, 0))]
    body = encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=10, lossless=True)
    assert colour_of(body) == (250, 20, 30)


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "corner"),  # where the pixel stored at the top left is when the photo is upright
    [
        (1, (0, 0)),
        (2, (-1, 0)),
        (3, (-1, -1)),
        (4, (0, -1)),
        (5, (0, 0)),
        (6, (-1, 0)),
        (7, (-1, -1)),
        (8, (0, -1)),
    ],
)
def test_photos_are_turned_upright(kind: str, orientation: int, corner: tuple[int, int], encode: Encode) -> None:
    stored = Image.new("RGB", (64, 32), "black")
    stored.paste("white", (0, 0, 16, 16))
    upright = input_fn(encode(stored, kind, exif=_exif(orientation))).upright()
    assert upright.size == ((64, 32) if orientation < 5 else (32, 64))
    x, y = (3 if each == 0 else size - 4 for each, size in zip(corner, upright.size, strict=True))
    assert np.asarray(upright)[y, x].min() > 230
    assert np.asarray(upright)[upright.height - 1 - y, upright.width - 1 - x].max() < 25


def test_unreadable_metadata_does_not_spoil_a_photo(encode: Encode) -> None:
    assert input_fn(encode(kind="JPEG", exif=b"Exif\x00\x00nonsense that is no TIFF header")).size == (48, 40)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("width", "height"), [(150, 200), (333, 130), (64, 128), (90, 500)])
def test_a_photo_in_strips_is_to_the_pixel_the_whole_one(
    width: int, height: int, orientation: int, encode: Encode
) -> None:
    for mode in ("RGB", "RGBA", "L", "LA"):
        image = noise(width, height).convert("RGBA")
        image.putalpha(noise(width, height, "L"))
        image = image.convert(mode)
        whole = ImageOps.exif_transpose(Image.open(io.BytesIO(encode(image, exif=_exif(orientation)))))
        if "A" in mode:
            white = Image.new("RGBA", whole.size, "white")
            whole = Image.alpha_composite(white, whole.convert("RGBA"))
        photo, whole = input_fn(encode(image, exif=_exif(orientation))), whole.convert("RGB")
        assert photo.size == whole.size
        np.testing.assert_array_equal(np.asarray(photo.upright()), np.asarray(whole))
        for resize, filter_ in ((40, Image.Resampling.BILINEAR), ((300, 301), Image.Resampling.BICUBIC)):
            rule = ResizeAndCrop(resize, (40, 40), filter_)
            np.testing.assert_array_equal(np.asarray(fit(photo, rule)), np.asarray(fit(whole, rule)))


def test_large_photos_are_the_same_for_training_which_turns_them_first(encode: Encode) -> None:
    rule = ResizeAndCrop(64, (64, 64), Image.Resampling.BILINEAR)
    image = noise(250, 100).resize((12_500, 2_500))
    photo = input_fn(encode(image, "JPEG", exif=_exif(6)))
    np.testing.assert_array_equal(np.asarray(fit(photo, rule)), np.asarray(fit(photo.upright(), rule)))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_sixteen_bit_grey_keeps_its_transparency() -> None:
    row = b"\x00" + struct.pack(">HH", 1000, 1001) * 4
    header = struct.pack(">IIBBBBB", 8, 8, 16, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"tRNS", struct.pack(">H", 1000)), (b"IDAT", zlib.compress(row * 8)), (b"IEND", b"")]
    body = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)
    assert np.asarray(input_fn(body).upright())[0, :2].tolist() == [[255] * 3, [3] * 3]


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'


def _metadata() -> dict[str, bytes]:
    """Return photos that are turned by each kind of metadata; the last is not."""
    little = b"Exif\0\0II*\0" + struct.pack("<IHHHIHHI", 8, 1, 274, 3, 1, 6, 0, 0)
    image, turned = noise(40, 20), _exif(6).tobytes().removeprefix(b"Exif\0\0")
    png, jpeg, webp = (_bytes(image, kind) for kind in ("PNG", "JPEG", "WEBP"))
    profile = b"\nexif\n%8d\n" % len(turned) + turned.hex().encode() + b"\n"
    text = b"Raw profile type exif\0"
    return {
        "little endian": _bytes(image, "JPEG", exif=little),
        "xmp in jpeg": _bytes(image, "JPEG", xmp=XMP),
        "xmp in webp": _bytes(image, "WEBP", xmp=XMP),
        "xmp in png": png[:33] + _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP) + png[33:],
        "exif after the pixels": png[:-12] + _chunk(b"eXIf", turned) + png[-12:],
        "imagemagick": png[:33] + _chunk(b"tEXt", text + profile) + png[33:],
        "imagemagick, packed": png[:33] + _chunk(b"zTXt", text + b"\0" + zlib.compress(profile)) + png[33:],
        "exif before xmp": _bytes(image, "JPEG", exif=_exif(3), xmp=XMP),
        "webp": _bytes(image, "WEBP", exif=_exif(6)),
        "damaged profile": png[:33] + _chunk(b"zTXt", text + b"\0nonsense") + png[33:],
        "short": jpeg[:2] + b"\xff\xe1\x00\x10Exif\0\0MM\0*\0\0\0\x08" + jpeg[2:],
        "nothing": webp,
    }


def _bytes(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("name", _metadata())
def test_what_turns_a_photo_is_read_as_pillow_does(name: str) -> None:
    body = _metadata()[name]
    image = Image.open(io.BytesIO(body))
    image.load()
    try:
        expected = ImageOps.exif_transpose(image)
    except Exception:
        expected = image
    np.testing.assert_array_equal(np.asarray(input_fn(body).upright()), np.asarray(expected))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_of_a_file_the_picture_alone_is_kept(kind: str) -> None:
    image = noise(40, 30)
    plain = _bytes(image, kind)
    options = {"exif": b"Exif\0\0MM\0*" + bytes(5000), "icc_profile": bytes(3000)}
    body = _bytes(image, kind, **options) + bytes(100_000)
    file = PhotoFile.parse(body)
    assert len(plain) <= len(file.data) <= len(plain) + 30
    np.testing.assert_array_equal(np.asarray(input_fn(body).upright()), np.asarray(input_fn(plain).upright()))


def test_of_an_animation_the_first_frame_alone_is_kept(encode: Encode) -> None:
    frames = [noise(50, 40 + i).resize((50, 40)) for i in range(20)]
    body = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert len(PhotoFile.parse(body).data) < len(body) / 10
    np.testing.assert_array_equal(np.asarray(input_fn(body).upright()), np.asarray(frames[0]))


def with_scans(jpeg: bytes, scans: int) -> bytes:
    """Repeat the last scan of a JPEG until it has so many."""
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * (scans - jpeg.count(b"\xff\xda")) + jpeg[-2:]


def test_a_progressive_jpeg_of_too_many_scans_is_422_and_is_not_decoded(
    encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    progressive = encode(noise(40, 30), "JPEG", progressive=True)
    assert input_fn(with_scans(progressive, MAX_SCANS)).size == (40, 30)
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("decoded"))
    for scans in (MAX_SCANS + 1, 5000):
        assert status_of(with_scans(progressive, scans)) == 422


@pytest.mark.parametrize("cover", [b"\xff\x02", b"\xff\xfe", b"\xff\xc4"])
def test_scans_that_hide_behind_a_length_are_counted(
    cover: bytes, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    progressive = encode(noise(40, 30), "JPEG", progressive=True)
    last = progressive.rindex(b"\xff\xda")
    hidden = progressive[:last] + cover + b"\xff\xff" + progressive[last:-2] * 100 + bytes(70_000) + progressive[last:]
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("decoded"))
    assert status_of(hidden) == 422


def test_scans_of_a_preview_and_of_what_follows_the_photo_do_not_count(encode: Encode) -> None:
    other = with_scans(encode((1, 2, 3), "JPEG", progressive=True), 200)
    photo = encode(kind="JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0" + other)
    assert input_fn(photo + other).size == (48, 40)


def test_a_file_of_too_many_parts_is_422_and_is_not_decoded(encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("decoded"))
    jpeg, png, webp = (encode(kind=kind) for kind in ("JPEG", "PNG", "WEBP"))
    parts = b"JUNK\0\0\0\0" * MAX_PARTS
    for body in (
        jpeg[:2] + b"\xff\xfe\0\2" * MAX_PARTS + jpeg[2:],
        png[:33] + _chunk(b"tEXt", b"") * MAX_PARTS + png[33:],
        png[:33] + _chunk(b"IDAT", b"") * MAX_PARTS + png[33:],
        webp[:4] + struct.pack("<I", len(webp) + len(parts) - 8) + webp[8:] + parts,
    ):
        assert status_of(body) == 422


def test_a_jpeg_with_arithmetic_coding_is_415(encode: Encode) -> None:
    assert status_of(encode(kind="JPEG").replace(b"\xff\xc0", b"\xff\xc9")) == 415


def test_a_file_that_says_two_sizes_is_422(encode: Encode) -> None:
    small, large = (encode(Image.new("RGB", size)) for size in ((8, 8), (9, 9)))
    assert status_of(small[:33] + large[8:]) == 422


def test_86_bytes_of_webp_that_ask_for_a_gigabyte_are_413(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("decoded"))
    assert status_of(BOMB.read_bytes()) == 413


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("resize", "crop"),
    [(256, (224, 224)), (32, (32, 32)), (37, (29, 30)), ((64, 48), (64, 48)), ((40, 70), (33, 64)), (20, (28, 25))],
)
def test_resize_and_crop_equal_torchvision_to_the_pixel(
    resize: int | tuple[int, int], crop: tuple[int, int], interpolation: str
) -> None:
    from torchvision.transforms import v2  # importable only after training.common.torchvision_compat

    size, filters = resize if isinstance(resize, int) else list(resize), functional.InterpolationMode(interpolation)
    new = v2.Compose([v2.Resize(size, filters), v2.CenterCrop(crop)])
    for width, height in [(640, 480), (333, 500), (256, 256), (19, 23), (31, 32), (300, 41), (8, 8), (1, 1), (97, 600)]:
        image = noise(width, height)
        old = functional.center_crop(functional.resize(image, size, filters), list(crop))
        mine = np.asarray(fit(image, ResizeAndCrop(resize, crop, INTERPOLATIONS[interpolation])))
        assert mine.shape == (*crop, 3)
        np.testing.assert_array_equal(mine, np.asarray(old))
        np.testing.assert_array_equal(mine, np.asarray(new(image)))


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (10, 65_535)])
def test_a_photo_that_would_grow_beyond_the_limit_in_resizing_is_413(size: tuple[int, int], encode: Encode) -> None:
    photo = input_fn(encode(Image.new("RGB", size)))
    with pytest.raises(RequestError, match="elongated") as caught:
        fit(photo, ResizeAndCrop(256, (224, 224), Image.Resampling.BILINEAR))
    assert caught.value.status == 413


def test_a_tall_photo_squeezed_into_a_square_is_bounded_on_the_way_too() -> None:
    with pytest.raises(RequestError, match="elongated"):
        fit(Image.new("RGB", (100, 65_535)), ResizeAndCrop((1024, 1024), (1024, 1024), Image.Resampling.BILINEAR))


def test_every_kind_of_photo_survives_a_round_trip_unchanged_when_lossless(encode: Encode) -> None:
    image = noise(41, 33)
    for kind in ("PNG", "WEBP"):
        np.testing.assert_array_equal(
            np.asarray(input_fn(encode(image, kind, lossless=True)).upright()), np.asarray(image)
        )
    assert torch.from_numpy(np.array(input_fn(encode(image)).upright())).shape == (33, 41, 3)


def test_decoding_is_pillows_own(tmp_path: Path, encode: Encode) -> None:
    body = encode(noise(321, 123), "JPEG", quality=80)
    np.testing.assert_array_equal(np.asarray(input_fn(body).upright()), np.asarray(Image.open(io.BytesIO(body))))
