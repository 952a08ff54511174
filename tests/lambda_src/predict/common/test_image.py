import pytest

from lambda_src.predict.common.image import Photo, check_size, media_type
from lambda_src.predict.common.problem import Problem


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "image/png"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8L", "image/webp"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8X", "image/webp"),
    ],
)
def test_the_bytes_tell_the_type(content: bytes, kind: str) -> None:
    assert media_type(content) == kind
    assert Photo.of(content, kind) == Photo(content, kind)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\xff\xd8", b"\x89PNG", b"RIFF\x24\x00\x00\x00WAVEfmt ", b"RIFF", b"GIF89a", b"BM6\x00", b"II*\x00"),
        *(b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<!DOCTYPE html>", b"%PDF-1.7", b"\x1f\x8b\x08\x00"),
        *(b" \xff\xd8\xff\xe0", b"\x00\x00\x00\x1cftypavif", b"\x00\x00\x00\x18ftypheic", b"8BPS", b"%!PS-Adobe"),
    ],
)
def test_anything_else_is_an_unsupported_type(content: bytes) -> None:
    with pytest.raises(Problem) as caught:
        Photo.of(content, media_type(content))
    assert caught.value.status == 415


def test_the_limit_itself_is_allowed_and_one_more_is_not() -> None:
    check_size(10, 10)
    with pytest.raises(Problem, match="10 bytes") as caught:
        check_size(11, 10)
    assert caught.value.status == 413
