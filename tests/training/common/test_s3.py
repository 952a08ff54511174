"""Addresses, and objects brought into files."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ResponseStreamingError
from botocore.response import StreamingBody

from training.common.errors import TrainingError
from training.common.s3 import ATTEMPTS, Address, Bucket, Object, parse, split


class Client:
    """Gives an object whose first transfers break off."""

    def __init__(self, content: bytes, breaks: int = 0) -> None:
        self.content, self.breaks = content, breaks
        self.asked: list[dict[str, str]] = []

    def get_object(self, **asked: str) -> dict[str, Any]:
        self.asked.append(asked)
        body = StreamingBody(io.BytesIO(self.content), len(self.content))
        if len(self.asked) <= self.breaks:
            body.iter_chunks = self._break_off  # type: ignore[method-assign]
        return {"Body": body}

    def _break_off(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self.content[:2]
        raise ResponseStreamingError(error="reset by peer")


class LargeObjects:
    """Breaks a transfer off after its first bytes."""

    def download_file(self, bucket: str, key: str, file: str) -> None:
        Path(file).write_bytes(b"ph")
        raise ResponseStreamingError(error="reset by peer")


def bucket(client: Any) -> Bucket:
    return Bucket(client, "photos")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("s3://abc", Address("abc", "")),
        ("s3://abc/", Address("abc", "")),
        ("s3://a.b-c/d/e f.tar.gz", Address("a.b-c", "d/e f.tar.gz")),
        *((text, None) for text in ("s3://", "s3://ab", "s3://Abc/d", "s3:///d", "s3://abc-/d", "abc/d", " s3://abc")),
    ],
)
def test_what_is_an_address(text: str, address: Address | None) -> None:
    assert parse(text) == address
    if address and address.key:
        assert (split(text), str(address)) == (address, text)


def test_a_transfer_that_breaks_off_is_repeated(tmp_path: Path) -> None:
    client = Client(b"photo", ATTEMPTS - 1)
    bucket(client).download("cat.jpg", tmp_path / "cat.jpg", Object("cat.jpg", "abc", 5))
    assert (tmp_path / "cat.jpg").read_bytes() == b"photo"
    assert client.asked == [{"Bucket": "photos", "Key": "cat.jpg", "IfMatch": "abc"}] * ATTEMPTS


@pytest.mark.parametrize(
    ("client", "listed", "error"),
    [
        (Client(b"photo", ATTEMPTS), Object("cat.jpg", "abc", 5), ResponseStreamingError),
        (Client(b"photo"), Object("cat.jpg", "abc", 6), TrainingError),
        (LargeObjects(), None, ResponseStreamingError),
    ],
)
def test_what_does_not_come_whole_leaves_no_file(
    client: Client | LargeObjects, listed: Object | None, error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error):
        bucket(client).download("cat.jpg", tmp_path / "cat.jpg", listed)
    assert not list(tmp_path.iterdir())
