import re
from pathlib import Path

import pytest

from lambda_src.predict.common.problem import ProblemType, retry_after

PAGE = Path(__file__).parents[4] / "docs" / "lambda_src.md"

# A released type never changes: callers compare it. A new type is added here.
RELEASED = {
    "address-not-public": 403,
    "bad-request": 400,
    "bad-url": 400,
    "damaged-photo": 422,
    "internal-error": 500,
    "method-not-allowed": 405,
    "model-failed": 502,
    "model-timeout": 504,
    "model-unavailable": 503,
    "no-photo-at-url": 422,
    "photo-too-large": 413,
    "remote-host-failed": 502,
    "remote-host-timeout": 504,
    "throttled": 429,
    "unsupported-format": 415,
}


def test_types_and_statuses_are_stable() -> None:
    assert {each.uri: each.status for each in ProblemType} == {
        f"urn:kennel:problem:{name}": status for name, status in RELEASED.items()
    }
    assert len({each.title for each in ProblemType}) == len(RELEASED)


def test_the_page_of_the_docs_has_the_same_table() -> None:
    rows = re.findall(r"^\| `(urn:\S+)` \| (\d{3}) \| \S", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert [(uri, int(status)) for uri, status in rows] == [(each.uri, each.status) for each in ProblemType]


@pytest.mark.parametrize(
    ("upstream", "default", "header"),
    [
        ("7", 1, "7"),
        ("86400", None, "86400"),
        (None, 1, "1"),
        *((value, 1, "1") for value in ("", "-1", "1.5", "999999", "7\r\nX: y", "\u0663")),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 1, "1"),
        (None, None, None),
        ("soon", None, None),
    ],
)  # fmt: skip
def test_the_wait_of_the_upstream_counts_before_ours(
    upstream: str | None, default: int | None, header: str | None
) -> None:
    assert retry_after(upstream, default).get("Retry-After") == header
